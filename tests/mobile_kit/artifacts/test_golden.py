from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mobile_kit.artifacts.golden import (
    FEW_VALUES,
    LEAST_SCENES,
    MOST_SCENES,
    Golden,
    measure_golden,
    read_answers,
    read_golden,
    write_golden,
)
from mobile_kit.artifacts.manifest import Manifest, build_manifest
from mobile_kit.artifacts.manifest_record import JudgedRecord, ModelRecord
from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import ArtifactError
from mobile_kit.measurements.metrics import sqnr_db
from mobile_kit.models.spec import TensorSpec
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.quantization.recipes import RECIPES, QualityTarget
from mobile_kit.target_api.interface import Lowered
from tests.small_checkpoints import save, small_model

IMAGE = TensorSpec("image", (1, 64, 64, 3), "uint8", "NHWC", "image", "RGB", (0, 255))
MODEL = ModelRecord("mobilevitv2", "classification", "model", None, None, (64, 64), 12345, 5, "softmax", False)


def written(
    folder: Path,
    classes: int,
    half: bool,
    names: tuple[str, ...] = ("logits",),
    calibration: NDArray[np.uint8] | None = None,
) -> tuple[Manifest, Oracle]:
    source = save(small_model("classification", num_labels=classes), folder / "checkpoint")
    shapes = {"logits": (1, classes), "hidden_states_0": (1, 16, 32, 32)}
    outputs = tuple(TensorSpec(name, shapes[name]) for name in names)
    oracle = Oracle(load(str(source)), outputs)
    artifact = folder / "artifact"
    recipes = {artifact: RECIPES["fp16" if half else "fp32"], folder / "float32": RECIPES["fp32"]}
    golden = Golden(scene(1), calibration, QualityTarget(12.5, 0.9))
    files = measure_golden(oracle, golden, (IMAGE,), recipes.values())
    for place, recipe in recipes.items():
        write_golden(files, MODEL, {place: recipe})
    lowered = Lowered(recipes[artifact], (IMAGE,), outputs, {})
    preprocess = oracle.checkpoint.preprocess
    record = build_manifest(
        model=MODEL,
        target="paper",
        backend=None,
        model_file="m",
        preprocess=preprocess,
        lowered=lowered,
        folder=artifact,
        judged=JudgedRecord("drawn scenes", None, None, stored=True),
    )
    return Manifest(artifact, record), oracle


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest, oracle = written(tmp_path, FEW_VALUES, half=True)
    golden, answers = read_golden(manifest), read_answers(manifest)
    fitted = oracle.checkpoint.preprocess.geometry(scene(1))
    assert np.array_equal(golden.inputs["image"], fitted[None])
    assert np.allclose(golden.reference["logits"], oracle.run(oracle.pixel_values(scene(1)))["logits"], atol=1e-6)
    assert answers.model == MODEL
    assert answers.preprocess == manifest.record.preprocess
    assert answers.outputs == manifest.record.outputs
    assert (answers.wanted, answers.recipe) == (QualityTarget(12.5, 0.9), "fp16")
    plain = manifest.folder.with_name("float32")
    assert (plain / "golden/outputs/logits.bin").read_bytes() == golden.reference["logits"].tobytes()
    assert not (plain / "golden/scenes.npz").exists()


@pytest.mark.parametrize(
    ("classes", "count"), [pytest.param(1, MOST_SCENES, marks=pytest.mark.slow), (64, 19), (FEW_VALUES, LEAST_SCENES)]
)
def test_an_output_of_few_values_is_judged_on_more_scenes(classes: int, count: int, tmp_path: Path) -> None:
    manifest, oracle = written(tmp_path, classes, half=True)
    golden, answers = read_golden(manifest), read_answers(manifest)
    samples = answers.samples(manifest, golden)
    assert len(samples) == len(answers.scenes) == count
    values = [oracle.checkpoint.preprocess.arithmetic(sample.inputs["image"][0]) for sample in [golden, *samples]]
    again = [oracle.run(value)["logits"] for value in values]
    stored = [sample.reference["logits"] for sample in [golden, *samples]]
    assert np.allclose(np.concatenate(again), np.concatenate(stored), atol=1e-6)
    yardstick = oracle.measure(np.concatenate(values), half=True)[0]["logits"]
    assert answers.yardsticks["logits"].float16_sqnr_db == pytest.approx(yardstick.float16_sqnr_db, abs=1.0)


def test_calibration_images_stand_in_for_scenes(tmp_path: Path) -> None:
    images = np.stack([scene(seed, 64, 64) for seed in range(20)])
    manifest, oracle = written(tmp_path, 64, half=True, calibration=images)
    golden, answers = read_golden(manifest), read_answers(manifest)
    samples = answers.samples(manifest, golden)
    assert len(samples) == len(images)
    for number, sample in zip(answers.scenes, samples, strict=True):
        assert np.array_equal(sample.inputs["image"][0], images[number])
        again = oracle.run(oracle.checkpoint.preprocess.arithmetic(images[number]))["logits"]
        assert np.allclose(again, sample.reference["logits"], atol=1e-6)


def test_a_large_output_is_judged_on_the_photo_alone(tmp_path: Path) -> None:
    manifest, _ = written(tmp_path, FEW_VALUES, half=True, names=("logits", "hidden_states_0"))
    samples = read_answers(manifest).samples(manifest, read_golden(manifest))
    assert {tuple(sample.reference) for sample in samples} == {("logits",)}


def test_calibration_images_judge_large_outputs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.stack([scene(seed, 64, 64) for seed in range(9)])
    monkeypatch.setattr("mobile_kit.artifacts.golden.MOST_STORED", 4 * 16 * 32 * 32)
    manifest, _ = written(tmp_path, FEW_VALUES, half=True, names=("logits", "hidden_states_0"), calibration=images)
    samples = read_answers(manifest).samples(manifest, read_golden(manifest))
    assert len(samples) == len(images)
    # The photo, and as many images as there is room for beside it.
    assert ["hidden_states_0" in sample.reference for sample in samples] == [True] * 3 + [False] * 6


def test_float32_alone_needs_no_scenes(tmp_path: Path) -> None:
    manifest, _ = written(tmp_path, 5, half=False)
    answers = read_answers(manifest)
    assert answers.scenes == {}
    assert replace(answers.yardsticks["logits"], float32_error=0.0).float16_sqnr_db is None


def test_decibels_of_few_values_scatter() -> None:
    """Why the scenes: the same noise over one value and over 64."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(200, FEW_VALUES))
    noisy = signal + 1e-3 * rng.normal(size=signal.shape)
    few = [sqnr_db(a[:2], b[:2]) for a, b in zip(noisy, signal, strict=True)]
    many = [sqnr_db(a, b) for a, b in zip(noisy, signal, strict=True)]
    assert np.std(many) < 2 < np.std(few)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY"])
def test_torn_answers_are_refused(content: bytes, tmp_path: Path) -> None:
    manifest, _ = written(tmp_path, FEW_VALUES, half=False)
    (manifest.folder / "golden/scenes.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"golden/scenes\.npz can't be read \(.*\)\. Export the model again"):
        read_answers(manifest)
