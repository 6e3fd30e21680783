from pathlib import Path

import pytest
import torch

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.errors import ArtifactError
from targets.executorch import TARGET
from tests.exports import Export
from tests.parity import assert_parity

FILES = [
    ("digits", "executorch-xnnpack-fp32"),
    ("digits", "executorch-xnnpack-fp16"),
    ("segmentation", "executorch-xnnpack-fp16"),
    ("base", "executorch-xnnpack-fp32"),
    ("mask", "executorch-xnnpack-fp32"),
    ("odd", "executorch-xnnpack-fp32"),
    pytest.param("whole_segmentation", "executorch-xnnpack-fp32", marks=pytest.mark.slow),
    pytest.param("whole_base", "executorch-xnnpack-fp16", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("fixture", "name"), FILES)
def test_a_file_computes_what_hugging_face_computes(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    assert_parity(request.getfixturevalue(fixture), name)


def test_the_runtime_says_who_it_is(digits: Export) -> None:
    manifest = read_manifest(digits["executorch-xnnpack-fp16"])
    runtime = TARGET.load(manifest.model_path, manifest.inputs, manifest.outputs)
    assert runtime.name.startswith("ExecuTorch 1.")
    assert runtime.inputs == {"image": ((1, 128, 128, 3), "uint8")}
    assert runtime.outputs == {"probabilities": ((1, 20), "float32"), "logits": ((1, 20), "float32")}


def test_names_and_labels_are_the_file_s_and_not_the_manifest_s(digits: Export) -> None:
    manifest = read_manifest(digits["executorch-xnnpack-fp32"])
    runtime = TARGET.load(manifest.model_path, manifest.inputs, manifest.outputs[:1])
    assert list(runtime.outputs) == ["probabilities", "logits"]
    assert runtime.labels == manifest.labels


def test_a_file_of_another_maker_has_numbers_for_names(tmp_path: Path) -> None:
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(torch.nn.ReLU(), (torch.zeros(1, 2),))
    path = tmp_path / "model.pte"
    path.write_bytes(to_edge_transform_and_lower(program).to_executorch().buffer)
    runtime = TARGET.load(path, (), ())
    assert (list(runtime.inputs), list(runtime.outputs), runtime.labels) == (["unnamed.0"], ["unnamed.0"], None)


@pytest.mark.parametrize("content", [b"", b"no program at all", None], ids=["empty", "text", "half"])
def test_a_file_that_cant_be_loaded_is_refused(
    content: bytes | None, digits: Export, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = (digits["executorch-xnnpack-fp32"] / "model.pte").read_bytes()
    path = tmp_path / "model.pte"
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ArtifactError, match=r"file model\.pte: ExecuTorch can't load it here") as raised:
        TARGET.load(path, (), ())
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["executorch-coreml-fp16", "executorch-vulkan-fp32"])
def test_a_device_s_delegate_isnt_run_here(name: str, delegates: Export) -> None:
    manifest = read_manifest(delegates[name])
    with pytest.raises(ArtifactError, match="ExecuTorch can't load it here"):
        TARGET.load(manifest.model_path, manifest.inputs, manifest.outputs)
