"""What each part costs, from the command to the table and the plot, on a target that needs no toolchain."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sample_apps.checkpoints.digits import training_views
from tests.conftest import Answer
from tests.exports import DIGITS

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets", "one_process")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, (image, _) in enumerate(training_views(8, 5)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_each_part_is_measured_once_and_shown(images: Path, tmp_path: Path, command: Command) -> None:
    asked = ("sensitivity", DIGITS, "--target", "promising", "--calibration", images, "--out", tmp_path / "out")
    answer = command(*asked, "--json")
    assert answer.code == 0, answer.err
    (found,) = json.loads(answer.out)
    costs = {cost["part"]: cost["kept"] and cost["kept"]["sqnr_db"] for cost in found["costs"]}
    # On this target what has activations in it costs decibels, and layers hardly any.
    assert costs["activations"] == pytest.approx(26, abs=0.5)
    loud = {part for part, kept in costs.items() if kept is not None and kept < 55}
    assert not {"convolutions", "linear layers", "first layer"} & loud
    assert found["everything"]["sqnr_db"] == pytest.approx(26, abs=0.5)
    with Image.open(found["plot"]) as plot:
        assert min(plot.size) > 200
    stored = Path(found["table"]).with_suffix("")
    before = {path.name: path.stat().st_mtime_ns for path in stored.rglob("*") if path.is_file()}
    shown = command(*asked)
    assert shown.code == 0, shown.err
    assert f"{found['table']}\n{found['plot']}" in shown.out
    assert "activations" in shown.out
    assert {path.name: path.stat().st_mtime_ns for path in stored.rglob("*") if path.is_file()} == before


def test_a_target_without_a_mixed_recipe_is_refused(images: Path, tmp_path: Path, command: Command) -> None:
    asked = ("--target", "paper", "--calibration", images, "--out", tmp_path / "out")
    answer = command("sensitivity", DIGITS, *asked)
    assert (answer.code, answer.out) == (1, "")
    assert "static_wi8_ai8_mixed" in answer.err
    assert not (tmp_path / "out").exists()
