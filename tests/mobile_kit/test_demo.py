import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mobile_kit.cli import SHIPPED
from mobile_kit.demo import demo
from mobile_kit.errors import LoweringError
from mobile_kit.manifest import read_manifest
from mobile_kit.progress import Progress
from tests.conftest import Answer

Command = Callable[..., Answer]

# The trained checkpoint reads 98 % of unseen digits and, with red and blue swapped, 1 %: on 20 of them a miss or two.
LEAST_ACCURACY, GREATEST_SWAPPED = 0.9, 0.1
FILES = [f"{target}-{recipe}" for target in ("coreml", "executorch-xnnpack", "tflite") for recipe in ("fp32", "fp16")]


@pytest.mark.parametrize("family", SHIPPED)
def test_the_demo_ends_with_a_verified_row_a_file(family: str, tmp_path: Path, command: Command) -> None:
    # The first checkpoint's files for the others are what the fixture `digits` exports.
    targets = ("tflite",) if family == "mobilevitv2" else ("coreml", "executorch", "tflite")
    asked = ("--target", ",".join(targets), "--family", family)
    answer = command("demo", "--out", tmp_path, *asked, "--views", "20", "--json")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    assert [Path(row["file"]).parent.name for row in rows] == [name for name in FILES if name.startswith(targets)]
    for row in rows:
        assert set(row) == {"file", "bytes", "parity", "status", "accuracy", "swapped_accuracy"}
        file = Path(row["file"])  # an .mlpackage is a folder
        assert sum(part.stat().st_size for part in (file, *file.rglob("*")) if part.is_file()) == row["bytes"]
        assert row["status"] == "passed"
        assert row["accuracy"] >= LEAST_ACCURACY
        assert row["swapped_accuracy"] <= GREATEST_SWAPPED
        size, unit = row["parity"].split()
        if Path(row["file"]).parent.name.endswith("fp32"):
            assert (unit, float(size) < 1e-4) == ("sigma", True)
        else:
            assert (unit, float(size) > 45) == ("dB", True)
    assert "[" in answer.err
    assert read_manifest(Path(rows[0]["file"]).parent).data["model"]["family"] == family


@pytest.mark.usefixtures("paper_targets")
def test_people_get_a_table(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_kit.demo.RECIPES", ("fp32",))
    answer = command("demo", "--out", tmp_path, "--target", "paper", "--family", "mobilevitv2", "--views", "3")
    header, row = answer.out.splitlines()
    assert header.split()[:4] == ["file", "size", "parity", "verified"]
    assert row.split()[0].endswith("paper-fp32/model.paper")
    assert row.split()[-2:] == ["100.0%", "0.0%"]


@pytest.mark.usefixtures("paper_targets")
def test_all_families_are_shown_unless_one_is_named(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobile_kit.demo.RECIPES", ("fp32",))
    answer = command("demo", "--out", tmp_path, "--target", "paper", "--views", "3", "--json")
    folders = [Path(row["file"]).parent.parent.name for row in json.loads(answer.out)]
    assert folders == [f"{family}-digits" for family in SHIPPED]


@pytest.mark.usefixtures("paper_targets")
def test_a_failing_target_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_kit.demo.RECIPES", ("fp32",))
    with pytest.raises(LoweringError, match=r"raising-fp32: the toolchain failed .*raising-fp32\.log"):
        demo(tmp_path, ("mobilevitv2",), ("paper", "raising"), 1, Progress(quiet=True))
