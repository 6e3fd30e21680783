import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.errors import ArtifactError
from sample_apps.checkpoints.digits import held_out_views
from targets.coreml import TARGET
from targets.coreml.mil import read_program, run
from targets.coreml.runtime import MilRuntime
from tests.exports import Export
from tests.parity import assert_parity

FILES = [
    ("digits", "coreml-fp32"),
    ("digits", "coreml-fp16"),
    ("segmentation", "coreml-fp16"),
    ("base", "coreml-fp16"),
    ("mask", "coreml-fp32"),
    ("odd", "coreml-fp32"),
    pytest.param("whole_segmentation", "coreml-fp32", marks=pytest.mark.slow),
    pytest.param("whole_base", "coreml-fp32", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("fixture", "name"), FILES)
def test_a_file_computes_what_hugging_face_computes(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    assert_parity(request.getfixturevalue(fixture), name)


def test_the_runtime_says_who_it_is(digits: Export) -> None:
    manifest = read_manifest(digits["coreml-fp16"])
    runtime = TARGET.load(manifest.model_path, manifest.inputs, manifest.outputs)
    assert runtime.name.startswith("Core ML" if sys.platform == "darwin" else "mil interpreter")
    assert runtime.inputs == {"image": ((1, 128, 128, 3), "uint8")}
    assert runtime.outputs == {"probabilities": ((1, 20), "float32"), "logits": ((1, 20), "float32")}


def test_the_dictionary_is_in_the_labels_order(digits: Export) -> None:
    manifest = read_manifest(digits["coreml-fp32"])
    image, _ = next(held_out_views(1, seed=4))
    raw = run(read_program(manifest.model_path), {"image": image.transpose(2, 0, 1)[None]}).outputs
    ours = MilRuntime(manifest.model_path, manifest.inputs, manifest.outputs).run({"image": image[None]})
    assert manifest.labels is not None
    dictionary = raw["probabilities"]
    assert isinstance(dictionary, dict)
    assert tuple(dictionary) == manifest.labels
    # One thread there, torch's own number here: sums differ in their last bits (2e-6 measured).
    np.testing.assert_allclose(ours["probabilities"][0], [dictionary[label] for label in manifest.labels], rtol=1e-5)
    assert raw["classLabel"] == manifest.labels[int(ours["logits"].argmax())]


def test_fp16_stays_within_its_range(digits: Export) -> None:
    program = read_program(read_manifest(digits["coreml-fp16"]).model_path)
    image, _ = next(held_out_views(1, seed=4))
    seen = run(program, {"image": image.transpose(2, 0, 1)[None]}, watch=program.tensor_names).observed
    assert len(seen) > 200
    assert [name for name, observation in seen.items() if observation.nonfinite] == []


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML says it in words of its own")
@pytest.mark.parametrize("damage", ["no manifest", "no model", "torn weights", "no protobuf"])
def test_a_package_that_cant_be_read_is_refused(damage: str, digits: Export, tmp_path: Path) -> None:
    manifest = read_manifest(digits["coreml-fp32"])
    package = Path(shutil.copytree(manifest.model_path, tmp_path / "model.mlpackage"))
    inside = package / "Data/com.apple.CoreML"
    if damage == "no manifest":
        (package / "Manifest.json").unlink()
    elif damage == "no model":
        (inside / "model.mlmodel").unlink()
    elif damage == "torn weights":
        weights = inside / "weights/weight.bin"
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        (inside / "model.mlmodel").write_bytes(b"no protobuf at all")
    with pytest.raises(ArtifactError) as raised:
        TARGET.load(package, manifest.inputs, manifest.outputs)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shape", [(20, 1), (1, 19)])
def test_the_interface_is_the_file_s_and_not_the_manifest_s(shape: tuple[int, int], digits: Export) -> None:
    manifest = read_manifest(digits["coreml-fp32"])
    lying = tuple(replace(out, shape=shape) for out in manifest.outputs)
    runtime = TARGET.load(manifest.model_path, manifest.inputs, lying)
    assert runtime.outputs == {"probabilities": ((1, 20), "float32"), "logits": ((1, 20), "float32")}
