import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from mobile_kit.artifacts.layout import ANSWERS
from mobile_kit.evaluation.evaluate import EvaluateOptions, evaluate
from mobile_kit.evaluation.intervals import mean_iou_interval, paired_interval
from mobile_kit.exporting.export import export
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.progress import Progress
from sample_apps.checkpoints.digits import LABELS, held_out_views
from tests.conftest import Answer
from tests.exports import DIGITS
from tests.small_checkpoints import save, small_model

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets", "one_process")
VIEWS = 12


@pytest.fixture
def artifact(paper_artifact: Path) -> Path:
    return paper_artifact


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """Unseen digits in a folder a class; the last is called by a class that it isn't."""
    for number, (image, label) in enumerate(held_out_views(VIEWS, 1)):
        wrong = number == VIEWS - 1
        place = tmp_path / "views" / LABELS[(label + wrong) % len(LABELS)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
    return tmp_path / "views"


def test_a_file_that_is_the_checkpoint_is_as_right_as_it(artifact: Path, views: Path, command: Command) -> None:
    answer = command("evaluate", artifact, "--images", views, "--checkpoint", DIGITS, "--json")
    assert answer.code == 0, answer.err
    top1, top5 = json.loads(answer.out)
    assert (top1["metric"], top1["images"], top5["metric"]) == ("top1", VIEWS, "top5")
    assert top1["value"] == top1["checkpoint"] == pytest.approx((VIEWS - 1) / VIEWS)
    assert top1["difference"] == 0
    low, high = top1["interval"]
    assert low < 0 < high


def test_it_goes_on_where_it_was_stopped(artifact: Path, views: Path) -> None:
    options = EvaluateOptions((artifact,), views, str(DIGITS))
    whole = evaluate(options, Progress(quiet=True))
    journal = artifact / ANSWERS
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == VIEWS + 1
    # Stopped within a line; what was measured before stays, even where it is odd.
    forged = json.loads(lines[1])
    forged["found"][0] = [not hit for hit in forged["found"][0]]
    journal.write_text("".join([lines[0], json.dumps(forged) + "\n", *lines[2:5], lines[5][:7]]))
    again = evaluate(options, Progress(quiet=True))
    assert again[0].value == pytest.approx(whole[0].value - 1 / VIEWS)
    # The torn line is gone, and each image has its own.
    read = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len({line["image"] for line in read[1:]}) == len(read) - 1 == VIEWS
    assert sorted(path.name for path in artifact.glob("*evaluation*")) == ["evaluation.json", "evaluation.jsonl"]


def test_only_what_is_new_is_measured(artifact: Path, views: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = EvaluateOptions((artifact,), views, str(DIGITS))
    evaluate(options, Progress(quiet=True))
    measured: list[Path] = []

    def reading(path: Path, channels: int) -> Any:
        measured.append(path)
        return read_image(path, channels)

    monkeypatch.setattr("mobile_kit.evaluation.evaluate.read_image", reading)
    gone, changed, moved, *_ = sorted(views.rglob("*.png"))
    gone.unlink()
    assert evaluate(options, Progress(quiet=True))[0].images == VIEWS - 1
    assert measured == []
    Image.fromarray(scene(1, 32, 32)).save(changed)
    place = views / LABELS[3 if moved.parent.name == LABELS[2] else 2] / "moved.png"
    place.parent.mkdir(exist_ok=True)
    moved.rename(place)
    evaluate(options, Progress(quiet=True))
    assert sorted(measured) == sorted([changed, place])


def test_a_label_that_changed_is_measured_again(artifact: Path, views: Path, tmp_path: Path) -> None:
    paths = sorted(views.rglob("*.png"))
    table = tmp_path / "labels.csv"
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in paths]
    table.write_text("\n".join(["image,label", *rows]))
    options = EvaluateOptions((artifact,), table, str(DIGITS))
    whole = evaluate(options, Progress(quiet=True))[0].value
    right = paths[0].parent.name
    wrong = next(label for label in LABELS if label != right)
    table.write_text("\n".join(["image,label", rows[0].replace(f",{right}", f",{wrong}"), *rows[1:]]))
    assert evaluate(options, Progress(quiet=True))[0].value == pytest.approx(whole - 1 / VIEWS)


def test_another_checkpoint_is_refused(artifact: Path, views: Path, tmp_path: Path, command: Command) -> None:
    other = Path(shutil.copytree(DIGITS, tmp_path / DIGITS.name))
    tensors = load_file(other / "model.safetensors")
    tensors["classifier.weight"] *= 1.5
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    answer = command("evaluate", artifact, "--images", views, "--checkpoint", other)
    assert (answer.code, answer.out) == (1, "")
    assert "not the checkpoint that was exported" in answer.err
    assert not (artifact / ANSWERS).exists()


def test_probabilities_order_classes_too(views: Path, tmp_path: Path, command: Command) -> None:
    (done,) = export(ExportOptions(str(DIGITS), tmp_path / "p", ("paper",), outputs=("probabilities",))).artifacts
    answer = command("evaluate", done.manifest.folder, "--images", views, "--checkpoint", DIGITS, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)[0]["value"] == pytest.approx((VIEWS - 1) / VIEWS)


def test_people_get_a_table(artifact: Path, views: Path, command: Command) -> None:
    answer = command("evaluate", artifact, "--images", views, "--checkpoint", DIGITS)
    header, top1, _ = answer.out.splitlines()
    assert header.split()[:4] == ["artifact", "images", "metric", "value"]
    assert top1.split()[:5] == ["paper-fp32", str(VIEWS), "top1", "91.67%", "91.67%"]


def test_an_artifact_is_whole_after_it_was_evaluated(artifact: Path, views: Path, command: Command) -> None:
    evaluate(EvaluateOptions((artifact,), views, str(DIGITS)), Progress(quiet=True))
    assert command("verify", artifact).code == 0


def test_labels_of_other_classes_are_refused(artifact: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "other" / "fox").mkdir(parents=True)
    Image.fromarray(scene(1)).save(tmp_path / "other/fox/1.png")
    answer = command("evaluate", artifact, "--images", tmp_path / "other", "--checkpoint", DIGITS)
    assert answer.code == 1
    assert "'fox' is no class of the checkpoint" in answer.err


def test_a_segmentation_is_measured_by_its_masks(tmp_path: Path, command: Command) -> None:
    source = save(small_model("segmentation"), tmp_path / "segmenter")
    (done,) = export(ExportOptions(str(source), tmp_path / "out", ("paper",), outputs=("mask",))).artifacts
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(scene(number, 70, 90)).save(folder / f"{number}.jpg")
        mask = rng.integers(0, done.manifest.record.model.num_labels, (70, 90)).astype(np.uint8)
        mask[:10] = 255
        Image.fromarray(mask).save(folder / f"{number}.png")
    answer = command("evaluate", done.manifest.folder, "--images", folder, "--checkpoint", source, "--json")
    assert answer.code == 0, answer.err
    (found,) = json.loads(answer.out)
    assert found["metric"] == "mean_iou"
    assert 0 < found["value"] < 0.5
    assert found["difference"] == pytest.approx(0, abs=0.01)


def test_a_mask_that_does_not_fit_is_refused(tmp_path: Path, command: Command) -> None:
    source = save(small_model("segmentation"), tmp_path / "segmenter")
    (done,) = export(ExportOptions(str(source), tmp_path / "out", ("paper",), outputs=("mask",))).artifacts
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(scene(1, 70, 90)).save(folder / "1.jpg")
    gray = np.zeros((70, 90), np.uint8)
    for content, expected in (
        (scene(2, 70, 90), "is a picture in colours"),
        (None, "can't be decoded"),
        (gray.T, "is 70x90, and its photo, upright, 90x70"),
        (gray + 85, "holds 85, and the checkpoint's classes are 0 to 4"),
        (gray.astype(np.uint16) + 256, "holds 256, and the checkpoint's classes are 0 to 4"),
    ):
        mask = folder / "1.png"
        if content is None:
            mask.write_bytes(b"no picture")
        else:
            Image.fromarray(content).save(mask)
        answer = command("evaluate", done.manifest.folder, "--images", folder, "--checkpoint", source)
        assert (answer.code, answer.out) == (1, "")
        assert expected in answer.err


def test_an_interval_holds_its_promise() -> None:
    """Of 400 draws of 60 pairs whose rates differ by 5 points, about 95 % of the intervals hold that."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        draws = rng.uniform(size=60)
        ours, theirs = draws < 0.85, (draws < 0.80) | (draws > 0.90)
        low, high = paired_interval(ours, theirs)
        held += low <= -0.05 <= high
    assert 0.92 <= held / 400 <= 0.995


def test_no_difference_is_within_the_interval_of_two_equal_maps() -> None:
    counts = np.random.default_rng(0).integers(1, 9, (20, 1, 2, 3)).repeat(2, axis=1)
    value, checkpoint, interval = mean_iou_interval(counts)
    assert value == checkpoint
    assert interval == (0, 0)
