"""What is measured of heads whose labels aren't one class of many, beside their checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from mobile_kit.checkpoints.load import load
from mobile_kit.preprocessing.synthetic_images import scene
from tests.conftest import Answer
from tests.small_checkpoints import LABELS, PROCESSOR, save, small_model

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets", "one_process")
IMAGES = 12


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number:02}.png" for number in range(IMAGES)]
    for number, path in enumerate(paths):
        Image.fromarray(scene(number, 70, 90)).save(path)
    return paths


def scores_of_transformers(folder: Path, photos: list[Path]) -> Any:
    """(N, K) what its own pipeline says of photos, by label."""
    classify = transformers.pipeline("image-classification", model=str(folder))
    said = [{each["label"]: each["score"] for each in classify(str(path), top_k=len(LABELS))} for path in photos]
    return np.array([[each[label] for label in LABELS] for each in said])


def table(photos: list[Path], rows: Any, columns: tuple[str, ...] = LABELS) -> Path:
    path = photos[0].with_name("labels.csv")
    lines = [",".join([photo.name, *map(str, row)]) for photo, row in zip(photos, rows, strict=True)]
    path.write_text("\n".join([",".join(["image", *columns]), *lines]), encoding="utf-8")
    return path


def exported(command: Command, source: Path, out: Path, *more: str) -> Path:
    answer = command("export", source, "--out", out, "--target", "paper", *more)
    assert answer.code == 0, answer.err
    return out / source.name / "paper-fp32"


def evaluated(command: Command, artifact: Path, images: Path, source: Path) -> dict[str, Any]:
    answer = command("evaluate", artifact, "--images", images, "--checkpoint", source, "--json")
    assert answer.code == 0, answer.err
    return {each["metric"]: each for each in json.loads(answer.out)}


@pytest.mark.parametrize("outputs", [(), ("--outputs", "logits")])
def test_labels_that_are_right_by_themselves_are_ranked_and_decided(
    outputs: tuple[str, ...], photos: list[Path], tmp_path: Path, command: Command
) -> None:
    source = save(small_model("classification", problem_type="multi_label_classification"), tmp_path / "tags")
    theirs = scores_of_transformers(source, photos)
    truth = (theirs > 0.5).astype(int)
    assert 0.1 < truth.mean() < 0.9
    artifact = exported(command, source, tmp_path / "out", *outputs)
    found = evaluated(command, artifact, table(photos, truth), source)
    assert {name: (each["value"], each["checkpoint"]) for name, each in found.items()} == {
        "mean_average_precision": (1, 1),
        "f1": (1, 1),
    }
    # With a label turned round, neither can be.
    truth[:, int(truth.sum(0).argmax())] ^= 1
    worse = evaluated(command, artifact, table(photos, truth), source)
    assert worse["mean_average_precision"]["value"] < 1
    said = theirs > 0.5
    hits = int((said & (truth > 0)).sum())
    assert worse["f1"]["value"] == pytest.approx(2 * hits / (int(said.sum()) + int(truth.sum())))
    assert worse["f1"]["difference"] == 0


def test_values_are_measured_by_their_error_and_correlation(
    photos: list[Path], tmp_path: Path, command: Command
) -> None:
    source = save(small_model("classification", problem_type="regression"), tmp_path / "values")
    theirs = scores_of_transformers(source, photos)
    artifact = exported(command, source, tmp_path / "out")
    found = evaluated(command, artifact, table(photos, theirs + 0.25), source)
    assert found["mean_absolute_error"]["value"] == pytest.approx(0.25, rel=1e-4)
    assert found["mean_absolute_error"]["difference"] == pytest.approx(0, abs=1e-5)
    assert found["correlation"]["value"] == pytest.approx(1, abs=1e-5)
    low, high = found["correlation"]["interval"]
    assert low <= found["correlation"]["difference"] <= high
    shown = command("evaluate", artifact, "--images", table(photos, theirs + 0.25), "--checkpoint", source)
    assert "%" not in shown.out.partition("\n")[2]
    # One image correlates with nothing.
    alone = evaluated(command, artifact, table(photos[:1], theirs[:1]), source)
    assert set(alone) == {"mean_absolute_error"}


@pytest.mark.parametrize(
    ("columns", "row", "expected"),
    [
        (LABELS[1:], "1,1,1,1", "has no column 'apple'"),
        (LABELS, "1,1,1,1,0.5", "line 2 has '0.5' for 'elder'. Give 0 or 1."),
        (LABELS, "1,1,1,1", "line 2 has None for 'elder'"),
        (LABELS, "1,1,nan,1,1", "line 2 has 'nan' for 'cedar'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    columns: tuple[str, ...], row: str, expected: str, photos: list[Path], tmp_path: Path, command: Command
) -> None:
    source = save(small_model("classification", problem_type="multi_label_classification"), tmp_path / "tags")
    artifact = exported(command, source, tmp_path / "out")
    for images, said in (
        (table(photos[:1], [row.split(",")], columns), expected),
        (tmp_path, "is no file, and a label of this checkpoint is 0 or 1. Give a CSV"),
    ):
        answer = command("evaluate", artifact, "--images", images, "--checkpoint", source)
        assert (answer.code, answer.out) == (1, "")
        assert said in answer.err


def test_masks_are_read_as_the_training_read_them(photos: list[Path], tmp_path: Path, command: Command) -> None:
    """With `do_reduce_labels`, a mask's 0 is ignored and 1 the first class; its classes are the same pixels."""
    model = small_model("segmentation")
    plain = save(model, tmp_path / "plain")
    reduced = save(model, tmp_path / "reduced", {**PROCESSOR, "do_reduce_labels": True})
    assert load(str(reduced)).label_maps.ignored == {0, 255}
    rng = np.random.default_rng(0)
    found = {}
    masks = [rng.integers(0, len(LABELS), (70, 90)).astype(np.uint8) for _ in photos]
    for source, first in ((plain, 0), (reduced, 1)):
        for path, mask in zip(photos, masks, strict=True):
            (tmp_path / "images").mkdir(exist_ok=True)
            (tmp_path / "masks").mkdir(exist_ok=True)
            Image.open(path).save(tmp_path / "images" / path.name)
            Image.fromarray(mask + first).save(tmp_path / "masks" / path.name)
        artifact = exported(command, source, tmp_path / "out", "--outputs", "mask")
        found[source.name] = evaluated(command, artifact, tmp_path, source)["mean_iou"]["value"]
    assert found["reduced"] == found["plain"] > 0.05


def test_pixels_that_training_left_out_count_for_nothing(tmp_path: Path) -> None:
    processor = {**PROCESSOR, "do_reduce_labels": True}
    source = save(small_model("segmentation", semantic_loss_ignore_index=2), tmp_path / "left-out", processor)
    maps = load(str(source)).label_maps
    assert (maps.first, maps.ignored) == (1, {0, 3, 255})
