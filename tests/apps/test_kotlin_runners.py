"""The Android app's runners and the files that they map, with a LiteRT of the tests' own behind its interface."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.apps.kotlin_app import App, tensor, write_artifact, write_photo

VALUES = [4.0, -1.0, 2.5]


def write_model(root: Path, gpu: str, **changes: object) -> None:
    """Write an artifact with noise beside its image, whose model is text; changes: of the model."""
    folder = root / "artifact"
    folder.mkdir()
    photo = np.full((2, 2, 3), (1, 200, 2), np.uint8)
    noise = np.array([[0.25, 0.5, 0.75]], np.float32)
    answers = np.roll(VALUES, -1) + 0.25  # as a model of text computes them
    inputs = [tensor("image", photo[None], folder), tensor("noise", noise, folder)]
    outputs = [tensor("logits", answers[None].astype(np.float32), folder, "logits")]
    outputs.append(tensor("order", answers[None].astype(np.int32), folder))
    # By its names, whatever their order.
    model = {
        "gpu": gpu,
        "outputs": {"order": VALUES, "logits": VALUES},
        "inputs": {"noise": 12, "image": 12},
        **changes,
    }
    content = json.dumps(model).encode()
    (folder / "model.tflite").write_bytes(content)
    files = {"model.tflite": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}}
    write_artifact(folder, inputs=inputs, outputs=outputs, files=files, preprocess={"crop": [2, 2]})
    (folder / "golden").mkdir()
    (folder / "golden/photo.png").touch()  # decoded here
    write_photo(photo, root)


@pytest.mark.parametrize(
    ("gpu", "runner", "threads"),
    [("all", "LiteRT GPU", None), ("some", "LiteRT GPU and CPU", 2), ("none", None, None)],
    ids=str,
)
def test_a_gpu_is_named_where_it_computes_and_the_cpu_goes_on(
    kotlin: App, tmp_path: Path, gpu: str, runner: str | None, threads: int | None
) -> None:
    write_model(tmp_path, gpu)
    on_cpu, on_gpu = kotlin.ask("runners", tmp_path)
    right = {"passed": True, "noise": ["Infinity", "Infinity"]}
    assert on_cpu == {"runner": "LiteRT CPU", "threads": 2, **right}
    none = {"refused": "artifact: this phone has no GPU for LiteRT. Choose the CPU."}
    assert on_gpu == (none if runner is None else {"runner": runner, "threads": threads, **right})


def test_a_wrong_answer_of_a_runtime_fails(kotlin: App, tmp_path: Path) -> None:
    write_model(tmp_path, "none", outputs={"order": VALUES, "logits": VALUES[::-1]})
    assert kotlin.ask("runners", tmp_path)[0]["passed"] is False


def test_a_file_without_an_output_is_refused_in_a_line(kotlin: App, tmp_path: Path) -> None:
    write_model(tmp_path, "none", outputs={"logits": VALUES})
    said = kotlin.ask("runners", tmp_path)[0]["refused"]
    assert said.startswith("artifact on LiteRT CPU: failed (")
    assert "order" in said
    assert "\n" not in said


@pytest.mark.parametrize("target", ["tflite", "executorch"])
def test_inputs_of_unknown_types_are_refused_in_a_line(kotlin: App, tmp_path: Path, target: str) -> None:
    write_model(tmp_path, "none")
    manifest = json.loads((tmp_path / "artifact/manifest.json").read_text())
    manifest["inputs"][1]["dtype"] = "int32"
    (tmp_path / "artifact/manifest.json").write_text(json.dumps({**manifest, "target": target}))
    found = kotlin.ask("runners", tmp_path)[0]
    assert found == {"refused": "noise: values of type int32 aren't known here. Update the app."}


def write_assets(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        write_artifact(root / name, files={"model.tflite": {"sha256": sha256, "bytes": len(text)}})
        (root / name / "model.tflite").write_text(text)


def test_models_are_copied_once_and_old_copies_go(kotlin: App, tmp_path: Path) -> None:
    write_assets(tmp_path, a="one model", b="another")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/torn.tflite.partial").touch()
    said = kotlin.ask("copies", tmp_path)
    assert said["texts"] == ["one model", "another"]
    assert said["copied_once"] is True
    copies = [f"{hashlib.sha256(text.encode()).hexdigest()}.tflite" for text in ("one model", "another")]
    assert said["both"] == sorted([*copies, "torn.tflite.partial"])
    assert said["kept"] == copies[1:]


def test_a_model_that_is_not_its_manifests_never_reaches_a_runtime(kotlin: App, tmp_path: Path) -> None:
    write_assets(tmp_path, a="one model", b="another")
    (tmp_path / "b/model.tflite").write_text("broken!")
    said = kotlin.ask("copies", tmp_path)
    assert said == {"refused": "b/model.tflite: isn't what its manifest says. Bundle the app again."}
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_model_that_is_not_there_is_refused_in_a_line(kotlin: App, tmp_path: Path) -> None:
    write_assets(tmp_path, a="one model", b="another")
    (tmp_path / "b/model.tflite").unlink()
    said = kotlin.ask("copies", tmp_path)["refused"]
    assert said.startswith("b/model.tflite: can't be copied (")
    assert said.endswith("Free some storage, or bundle the app again.")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_photo_beyond_the_memory_is_refused_before_it_is_decoded(kotlin: App, tmp_path: Path) -> None:
    said = kotlin.ask("large", tmp_path)["refused"]
    assert said == "photo of 100000 x 100000: not enough memory. Close other apps, or take something smaller."
