import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.errors import ArtifactError, UnsupportedError
from mobile_kit.evaluation.verify import verify
from sample_apps.checkpoints.digits import LABELS, held_out_views
from targets.tflite import TARGET
from tests.exports import Export
from tests.parity import assert_parity, assert_within_bounds, photos, reference
from tests.small_checkpoints import LABELS as SMALL_LABELS
from tests.targets.conftest import OLD
from tests.targets.tflite.conftest import CLIENT

# MediaPipe runs the same file with a LiteRT of its own: measured 4e-7.
SCORE_TOLERANCE = 1e-4
# Pixels whose best two classes are that close flip with the last bit of a sum: measured none of 9216.
FLIPPED = 1e-3

FILES = [
    ("digits", "tflite-fp32"),
    ("digits", "tflite-fp16"),
    ("segmentation", "tflite-fp32"),
    ("base", "tflite-fp32"),
    ("mask", "tflite-fp32"),
    ("segmenter", "tflite-fp32"),
    ("odd", "tflite-fp32"),
    pytest.param("whole_segmentation", "tflite-fp16", marks=pytest.mark.slow),
    pytest.param("whole_base", "tflite-fp16", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("fixture", "name"), FILES)
def test_a_file_computes_what_hugging_face_computes(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    assert_parity(request.getfixturevalue(fixture), name)


def test_the_runtime_says_who_it_is(digits: Export) -> None:
    manifest = read_manifest(digits["tflite-fp32"])
    runtime = TARGET.load(manifest.model_path, manifest.inputs, manifest.outputs)
    assert runtime.name.startswith("LiteRT 2.")
    assert runtime.inputs == {"image": ((1, 128, 128, 3), "uint8")}
    assert runtime.outputs == {"probabilities": ((1, 20), "float32"), "logits": ((1, 20), "float32")}


@pytest.mark.parametrize("content", [b"", b"no model at all", None], ids=["empty", "text", "half"])
def test_a_file_that_cant_be_loaded_is_refused(
    content: bytes | None, digits: Export, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = (digits["tflite-fp32"] / "model.tflite").read_bytes()
    path = tmp_path / "model.tflite"
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ArtifactError, match=r"file model\.tflite: LiteRT can't load it") as raised:
        TARGET.load(path, (), ())
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def at_model_size(manifest: Manifest) -> list[np.ndarray]:
    """Photos that enter the file as they are: an app's own resizing mustn't blur the comparison."""
    return [image for image, _ in held_out_views(6, seed=3, size_px=manifest.preprocess.image_size[0])]


def answers(manifest: Manifest, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    runtime = TARGET.load(manifest.model_path, manifest.inputs, manifest.outputs)
    return [runtime.run({"image": image[None]}) for image in images]


def ask_mediapipe(python: Path, task: str, model: Path, images: list[np.ndarray], out: Path) -> Path:
    files = [out.parent / f"{index}.png" for index in range(len(images))]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file)
    done = subprocess.run([python, CLIENT, task, model, out, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_mediapipe_opens_a_classifier_as_it_is(recipe: str, mediapipe: Path, digits: Export, tmp_path: Path) -> None:
    manifest = read_manifest(digits[f"tflite-{recipe}"])
    images = at_model_size(manifest)
    results = ask_mediapipe(mediapipe, "classifier", manifest.model_path, images, tmp_path / "out.json")
    ours = [outputs["probabilities"][0] for outputs in answers(manifest, images)]
    assert len({int(scores.argmax()) for scores in ours}) > 1
    for said, expected in zip(json.loads(results.read_text()), ours, strict=True):
        assert list(said) == ["probabilities", "logits"]
        index, label, score = said["probabilities"][0]
        assert (index, label) == (int(expected.argmax()), LABELS[int(expected.argmax())])
        assert score == pytest.approx(float(expected.max()), abs=SCORE_TOLERANCE)


def test_mediapipe_opens_a_segmenter_as_it_is(mediapipe: Path, segmenter: Export, tmp_path: Path) -> None:
    manifest = read_manifest(segmenter["tflite-fp32"])
    images = at_model_size(manifest)
    results = ask_mediapipe(mediapipe, "segmenter", manifest.model_path, images, tmp_path / "out.npz")
    ours = np.concatenate([outputs["segmenter"].argmax(-1) for outputs in answers(manifest, images)])
    with np.load(results) as said:
        assert tuple(said["labels"]) == SMALL_LABELS
        assert len(np.unique(ours)) > 1
        assert np.mean(said["masks"] != ours) <= FLIPPED


@pytest.mark.parametrize(
    ("fixture", "name"), [("digits", "tflite-fp32"), ("digits", "tflite-fp16"), ("mask", "tflite-fp32")]
)
def test_the_old_runtime_agrees(
    fixture: str, name: str, old_runtime: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(old_runtime))
    exported: Export = request.getfixturevalue(fixture)
    report = verify(exported[name], other_runtime=OLD)
    assert report.runtime == "tflite-runtime 2.14.0"
    assert report.status == "passed"
    manifest = read_manifest(exported[name])
    runtime = TARGET.load_with(OLD, manifest.model_path)
    images = photos(exported.checkpoint, manifest.preprocess.channels)
    entering = [manifest.preprocess.entering(manifest.preprocess.geometry(image), True) for image in images]
    results = [runtime.run({manifest.inputs[0].name: image}) for image in entering]
    found = {spec.name: np.concatenate([result[spec.name] for result in results]) for spec in manifest.outputs}
    assert_within_bounds(manifest, found, reference(exported.checkpoint, manifest.outputs))


def test_a_file_that_the_old_runtime_can_t_load_is_said(
    old_runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(old_runtime))
    (tmp_path / "model.tflite").write_bytes(b"no model at all")
    with pytest.raises(ArtifactError, match=r"file model\.tflite: tflite-runtime 2\.14\.0 can't run it \(ValueError"):
        TARGET.load_with(OLD, tmp_path / "model.tflite")


@pytest.mark.parametrize("runtime", ["tflite-runtime", "tflite-runtime>=2", "tensorflow==2.14.0", "-e.==1", ""])
def test_another_runtime_must_be_known(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"isn't known\. Give ai-edge-litert==VERSION or tflite-runtime==VERSION"
    ):
        TARGET.load_with(runtime, tmp_path / "model.tflite")
