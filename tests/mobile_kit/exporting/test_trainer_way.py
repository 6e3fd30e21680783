"""A training's whole way: its checkpoints are exported, measured, exported again and reported, and nothing is lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.preprocessing.synthetic_images import scene
from tests.conftest import Answer
from tests.mobile_kit.exporting.test_export_again import retrain
from tests.small_checkpoints import LABELS

Command = Callable[..., Answer]

pytestmark = [pytest.mark.usefixtures("paper_targets"), pytest.mark.usefixtures("one_process")]

QUICK = ("--runs", "20", "--min-seconds", "0.02")


def checkpoints(model: Path, run: Path) -> tuple[Path, Path]:
    """Two steps of a training, as a Trainer leaves them."""
    first, second = (Path(shutil.copytree(model, run / f"checkpoint-{step}")) for step in (500, 1000))
    retrain(second)
    (first / "optimizer.pt").write_bytes(bytes(100))
    return first, second


def labelled_photos(folder: Path) -> Path:
    for number, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        Image.fromarray(scene(number, 64, 64)).save(folder / label / "1.jpg")
    return folder


def test_nothing_is_lost_from_one_epoch_to_the_next(
    classifier_folder: Path, out: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What else runs on the machine must not decide a test.
    monkeypatch.setattr("mobile_kit.profiling.machine_load.BusyMeter.cores", lambda self: 0.0)
    first, second = checkpoints(classifier_folder, tmp_path / "run")
    photos = labelled_photos(tmp_path / "photos")

    def run(*arguments: str | Path) -> str:
        answer = command(*arguments)
        assert answer.code == 0, answer.err
        return answer.out

    for folder in (first, second):
        run("export", folder, "--out", out, "--target", "paper")
    assert "up to date" in run("export", first, "--out", out, "--target", "paper")
    places = [out / f"run-checkpoint-{step}" / "paper-fp32" for step in (500, 1000)]
    for folder, place in zip((first, second), places, strict=True):
        run("evaluate", place, "--images", photos, "--checkpoint", folder)
        run("profile", place, *QUICK)
    measured = {
        path: path.read_bytes() for place in places for name in ("eval*", "profile-*") for path in place.glob(name)
    }
    assert len(measured) == 6
    # Exported again: the same weights, and others in the same place.
    run("export", first, "--out", out, "--target", "paper", "--force")
    assert {path: path.read_bytes() for path in measured} == measured
    retrain(second)
    run("export", second, "--out", out, "--target", "paper")
    moved = out / "earlier" / "run-checkpoint-1000" / "paper-fp32" / "1"
    now = {path: (moved / path.name if places[1] in path.parents else path) for path in measured}
    assert {path: now[path].read_bytes() for path in measured} == measured
    rows = json.loads(run("report", out, "--html", tmp_path / "report.html", "--json"))
    page = (tmp_path / "report.html").read_text()
    for text in (json.dumps(rows), page):
        assert "run-checkpoint-500" in text
        assert "run-checkpoint-1000" in text
