"""What the Android app reads in manifests and in outputs, held against the kit's own reading."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mobile_kit.evaluation.overlay import class_color, legend
from mobile_kit.evaluation.predictor import Reading
from tests.apps.kotlin_app import MODULE, App, tensor, write_artifact, write_photo
from tests.apps.vectors import write_answers

# Of the module's own code.
MOST_LINES = 1000


def test_outputs_are_read_as_the_kit_reads_them(kotlin: App, tmp_path: Path) -> None:
    cases = write_answers(tmp_path)
    for number, case in enumerate(cases):
        _write_case(tmp_path / str(number), case, tmp_path)
    said = kotlin.ask("answers", tmp_path)
    for number, (case, answer) in enumerate(zip(cases, said["answers"], strict=True)):
        if "best" in case:
            assert [found[0] for found in answer] == [index for index, _ in case["best"]]
            assert [found[1] for found in answer] == pytest.approx([score for _, score in case["best"]], rel=1e-6)
            continue
        expected = np.fromfile(tmp_path / case["result"], np.uint8)
        found = np.fromfile(tmp_path / str(number) / "classes.bin", np.uint8)
        assert (answer["height"], answer["width"]) == (case["height"], case["width"])
        np.testing.assert_array_equal(found, expected, err_msg=case["kind"])
        assert [found[:2] for found in answer["shares"]] == _legend(expected)
        assert answer["first"] == _packed(int(expected[0]))
    assert said["colors"] == [_packed(index) for index in range(150)]


def _write_case(folder: Path, case: dict[str, Any], vectors: Path) -> None:
    """Write an artifact whose golden output is a case's."""
    folder.mkdir()
    name = "logits" if case["kind"] == "score_planes" else case["kind"]
    shape = case.get("shape") or [1, case["classes"]]
    dtype = np.int32 if name == "mask" else np.float32
    values = np.fromfile(vectors / case["values"], dtype).reshape(shape)
    activation = case.get("activation")
    record = tensor(name, values, folder, "values" if activation == "none" else name)
    head = "classification" if "best" in case else "segmentation"
    crop = [case.get("height", 32), case.get("width", 32)]
    write_artifact(folder, model={"head": head, "activation": activation}, outputs=[record], preprocess={"crop": crop})


def test_a_classifier_of_the_first_version_has_a_softmax(kotlin: App, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    record = tensor("logits", np.array([[0.0, np.log(3)]], np.float32), tmp_path / "0", "logits")
    write_artifact(tmp_path / "0", schema_version=1, outputs=[record])
    (tmp_path / "cases.json").write_text("[{}]")
    (answer,) = kotlin.ask("answers", tmp_path)["answers"]
    assert [found[:2] for found in answer] == [[1, pytest.approx(0.75)], [0, pytest.approx(0.25)]]


def _legend(classes: NDArray[np.uint8]) -> list[list[float]]:
    """Return the classes that the kit's legend names, with their shares of the pixels."""
    reading = Reading(np.bincount(classes.ravel()) / classes.size, classes.astype(np.int64), "share")
    manifest = SimpleNamespace(label=int)
    named = legend(manifest, reading)  # type: ignore[arg-type] # of which it takes the label alone
    return [[label, share] for label, share, _ in named]  # type: ignore[list-item]


def _write_map(root: Path, mask: NDArray[np.int32], **model: Any) -> None:
    folder = root / "0"
    folder.mkdir()
    outputs = [tensor("mask", mask, folder, "mask")]
    write_artifact(folder, model={"head": "segmentation", **model}, outputs=outputs)
    (root / "cases.json").write_text("[{}]")


def test_a_legend_names_what_the_kits_names(kotlin: App, tmp_path: Path) -> None:
    """All classes of at least 0.2 % of the pixels, and no other: 2 of 1,000 are enough, 1 isn't."""
    mask = np.zeros((1, 25, 40), np.int32)
    mask.ravel()[:67] = np.repeat(np.arange(1, 15), [2, 1, 3, 4, 5, 6, 7, 1, 8, 9, 2, 10, 8, 1])
    _write_map(tmp_path, mask, num_labels=15)
    (answer,) = kotlin.ask("answers", tmp_path)["answers"]
    assert [found[:2] for found in answer["shares"]] == _legend(mask.astype(np.uint8))
    assert len(answer["shares"]) == 12


@pytest.mark.parametrize(("found", "known"), [(-1, 21), (21, 21), (999, None)])
def test_a_class_that_is_not_the_models_is_refused_in_a_line(
    kotlin: App, tmp_path: Path, found: int, known: int | None
) -> None:
    mask = np.zeros((1, 2, 3), np.int32)
    mask[0, 1, 1] = found
    _write_map(tmp_path, mask, num_labels=known)
    reason = f"0: its mask names class {found}, and it has {known or 256}. Export the model again."
    assert kotlin.ask("answers", tmp_path) == {"refused": reason}


def _packed(index: int) -> int:
    return int.from_bytes(bytes(class_color(index)), "big")


def test_other_heads_show_shapes_and_norms(kotlin: App, tmp_path: Path) -> None:
    folder = tmp_path / "0"
    folder.mkdir()
    values = np.random.default_rng(0).normal(size=(1, 5, 7)).astype(np.float32)
    kept = np.arange(6, dtype=np.int64).reshape(1, 6)
    write_artifact(
        folder, model={"head": "base"}, outputs=[tensor("hidden", values, folder), tensor("kept", kept, folder)]
    )
    (tmp_path / "cases.json").write_text("[{}]")
    ((hidden, order),) = kotlin.ask("answers", tmp_path)["answers"]
    assert hidden == ["hidden", [1, 5, 7], pytest.approx(float(np.linalg.norm(values)), rel=1e-6)]
    assert order == ["kept", [1, 6], pytest.approx(float(np.linalg.norm(kept)))]


def test_models_and_labels_are_read(kotlin: App, tmp_path: Path) -> None:
    files = {"labels.txt": {"sha256": "0" * 64, "bytes": 1}, "model.tflite": {"sha256": "0" * 64, "bytes": 12}}
    write_artifact(tmp_path / "größe 'eins'", files=files)
    (tmp_path / "größe 'eins'" / "labels.txt").write_text("猫\nein Hund, nass\n\n", encoding="utf-8")
    _write_index(tmp_path, "größe 'eins'", {"logits": 30})
    assert kotlin.ask("models", tmp_path)["größe 'eins'"] == {
        "title": "a title",
        "labels": ["猫", "ein Hund, nass", ""],
        "inputs": [],
        "size": 12,
        "least": {"logits": 30},
    }


def _write_index(root: Path, folder: str, least: dict[str, float], **changes: Any) -> None:
    models = [{"folder": folder, "title": "a title", "least_sqnr_db": least}]
    index = {"schema_version": 1, "models": models, **changes}
    (root / "models.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize(
    ("index", "manifest", "reason"),
    [
        ({"schema_version": 2}, {}, "models.json: schema version 2 is unknown. Known: up to 1. Update the app."),
        ({"models": []}, {}, "models.json: names no model. Bundle the app again."),
        ({"models": [{}]}, {}, "models.json: isn't as the kit writes it"),
        ({}, {"schema_version": "1"}, "a/manifest.json: schema version 1 is unknown. Known: up to 2. Update the app."),
        ({}, {"model": {"activation": "tanh"}}, "a/manifest.json: isn't as the kit writes it (activation tanh is not"),
        ({}, {"inputs": [{}]}, "a/manifest.json: isn't as the kit writes it"),
        ({}, {"preprocess": {"rounding": "nearest"}}, "a/manifest.json: isn't as the kit writes it (rounding nearest"),
    ],
)
def test_what_is_unknown_or_broken_is_refused_in_a_line(
    kotlin: App, tmp_path: Path, index: dict[str, Any], manifest: dict[str, Any], reason: str
) -> None:
    write_artifact(tmp_path / "a", **manifest)
    _write_index(tmp_path, "a", {}, **index)
    said = kotlin.ask("models", tmp_path)
    assert said["refused"].startswith(reason)
    assert "\n" not in said["refused"]


def test_missing_files_and_torn_ones_are_refused(kotlin: App, tmp_path: Path) -> None:
    assert kotlin.ask("models", tmp_path)["refused"].startswith("models.json: is missing from the app")
    (tmp_path / "models.json").write_text('{"schema_version": 1, "mod')
    assert kotlin.ask("models", tmp_path)["refused"].startswith("models.json: isn't as the kit writes it")
    _write_index(tmp_path, "nowhere", {})
    assert kotlin.ask("models", tmp_path)["refused"].startswith("nowhere/manifest.json: is missing from the app")


@pytest.mark.parametrize(
    ("target", "backend", "units"),
    [("tflite", None, ["CPU", "GPU"]), ("executorch", "xnnpack", ["xnnpack"]), ("coreml", None, None)],
)
def test_units_are_the_targets(
    kotlin: App, tmp_path: Path, target: str, backend: str | None, units: list[str] | None
) -> None:
    packed = {"model_file": "model.mlpackage"} if target == "coreml" else {}
    write_artifact(tmp_path / "artifact", target=target, backend=backend, **packed)  # type: ignore[arg-type]
    said = kotlin.ask("units", tmp_path)
    assert said.get("units") == units
    assert units or said["refused"] == "artifact: coreml doesn't run on Android. Export tflite."


@pytest.mark.parametrize("target", ["tflite", "executorch"])
def test_a_runtime_or_a_file_that_fails_is_told_in_a_line(kotlin: App, tmp_path: Path, target: str) -> None:
    folder = tmp_path / "artifact"
    write_artifact(folder, target=target)
    torn = "artifact/model.tflite: is missing or torn. Bundle the app again."
    assert kotlin.ask("open", tmp_path)["refused"] == torn
    (folder / "model.tflite").write_bytes(b"12")
    assert kotlin.ask("open", tmp_path)["refused"] == torn
    (folder / "model.tflite").write_bytes(b"1")
    said = kotlin.ask("open", tmp_path)["refused"]
    reason = (
        "failed (Failed to create model from file.)"
        if target == "tflite"
        else "its runtime isn't in this app or device"
    )
    assert reason in said
    assert "\n" not in said


def test_too_little_memory_is_told_in_a_line(kotlin: App, tmp_path: Path) -> None:
    write_artifact(tmp_path / "artifact", preprocess={"resize": {"shortest_edge": 2400}, "crop": [2400, 2400]})
    said = kotlin.ask("heavy", tmp_path)["refused"]
    assert said == "photo of 4000 x 3000: not enough memory. Close other apps, or take something smaller."


def test_other_filters_and_narrow_photos_are_refused_in_a_line(kotlin: App, tmp_path: Path) -> None:
    for name, changes, reason in (
        ("filter", {"resample": "lanczos"}, "resample lanczos: not known here. Known: bilinear, bicubic."),
        ("narrow", {"resize": {"shortest_edge": 20000}}, "photo of 8 x 4: too narrow for a short side of 20000."),
    ):
        (tmp_path / name).mkdir()
        resize = {"resize": {"shortest_edge": 32}, **changes}
        write_artifact(tmp_path / name / "artifact", preprocess=resize)
        write_photo(np.zeros((4, 8, 3), np.uint8), tmp_path / name)
        assert kotlin.ask("entering", tmp_path / name)["refused"].startswith(reason)


def test_the_module_is_small() -> None:
    lines = [line.strip() for path in sorted(MODULE.glob("*.kt")) for line in path.read_text().splitlines()]
    code = [line for line in lines if line and not line.startswith(("//", "/**", "*"))]
    assert 100 < len(code) < MOST_LINES
