"""One measurement against another, on files that need no toolchain."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.errors import ArtifactError
from mobile_kit.measurements.result import Config, write_results
from mobile_kit.reporting.compare_runs import versus
from tests.conftest import Answer
from tests.surveys import BOARD, HOST, PHONE, profiled, quantized

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets")
PROFILE = profile_name("host")


@pytest.fixture
def other(paper_artifact: Path) -> Path:
    return quantized(paper_artifact)


@pytest.mark.parametrize(("ms", "verdict"), [(4.0, "faster"), (12.1, "no difference"), (14.0, "slower")])
def test_b_is_held_against_a(ms: float, verdict: str, paper_artifact: Path, other: Path, command: Command) -> None:
    profiled(paper_artifact, 12.0)
    profiled(other, ms)
    answer = command("report", paper_artifact, other, "--compare")
    assert (answer.code, answer.err) == (0, "")
    header, line = answer.out.splitlines()
    assert header.split()[:3] == ["artifact", "device", "A"]
    ratio = f"{ms / 12:.3f}"
    names = [other.name, "against", paper_artifact.name]
    assert line.split() == [*names, "host", "12.00", f"{ms:.2f}", ratio, ratio, "to", ratio, "yes", *verdict.split()]
    assert not list(paper_artifact.parents[1].rglob("report*"))


def test_of_another_run_is_not_in_turns(paper_artifact: Path, other: Path, command: Command) -> None:
    profiled(paper_artifact, 12.0, run="one")
    profiled(other, 4.0, run="two")
    answer = command("report", paper_artifact, other, "--compare", "--json")
    (record,) = json.loads(answer.out)
    assert record["comparison"] == {
        "ratio": pytest.approx(1 / 3),
        "interval": [pytest.approx(1 / 3)] * 2,
        "paired": False,
        "verdict": "faster",
    }
    assert (record["refused"], record["devices"], record["medians_ms"]) == (None, ["host", "host"], [12.0, 4.0])


def test_two_devices_are_compared_and_said_to_be_two(paper_artifact: Path, other: Path) -> None:
    profiled(paper_artifact, 12.0, device=HOST)
    profiled(other, 24.0, device=PHONE)
    (found,), alone = versus(paper_artifact, other)
    assert (found.device, alone) == ("Pixel 8 (adb:R5CT) against host", [])
    assert found.comparison is not None
    assert (found.comparison.verdict, found.comparison.paired) == ("slower", False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"single": False}, "its source gives no single calls"),
        ({"undisturbed": False}, "it isn't valid: other processes used more than"),
        ({"device": BOARD}, "its device is emulated"),
        ({"runs": 5}, "it isn't valid: 5 calls of at least 50"),
    ],
)
@pytest.mark.parametrize("which", ["A", "B"])
def test_what_proves_nothing_is_refused_in_one_line(
    which: str, changes: dict[str, object], reason: str, paper_artifact: Path, other: Path, command: Command
) -> None:
    profiled(paper_artifact, 12.0, **(changes if which == "A" else {}))  # type: ignore[arg-type]
    profiled(other, 4.0, **(changes if which == "B" else {}))  # type: ignore[arg-type]
    answer = command("report", paper_artifact, other, "--compare")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1
    assert reason in answer.err
    assert str(paper_artifact if which == "A" else other) in answer.err


def test_folders_are_compared_artifact_by_artifact_and_device_by_device(
    paper_artifact: Path, other: Path, tmp_path: Path, command: Command
) -> None:
    for device in (HOST, PHONE):
        profiled(paper_artifact, 12.0, device=device)
        profiled(other, 8.0, device=device)
    new = Path(shutil.copytree(tmp_path / "out", tmp_path / "new"))
    name = other.relative_to(tmp_path / "out")
    profiled(new / name, 4.0, run="two", device=PHONE)
    (new / name / PROFILE).unlink()
    answer = command("report", tmp_path / "out", new, "--compare")
    assert answer.code == 0
    assert [line.split()[-1] for line in answer.out.splitlines()[1:]] == ["difference", "difference", "faster"]
    assert answer.err == f"mobile-kit: {other / PROFILE}: host has no counterpart\n"


def test_a_file_of_results_stands_for_its_results(paper_artifact: Path, other: Path, tmp_path: Path) -> None:
    first, second = profiled(paper_artifact, 12.0), profiled(other, 8.0)
    for name, factor in (("old.json", 1), ("new.json", 2)):
        times = [replace(each, latency=profiled(paper_artifact, 12.0 * factor).latency) for each in (first, second)]
        write_results(times, tmp_path / name)
    found, alone = versus(tmp_path / "old.json", tmp_path / "new.json")
    assert [each.name for each in found] == [paper_artifact.name, other.name]
    assert [each.comparison and each.comparison.ratio for each in found] == [2, 2]
    assert alone == []


def test_results_of_one_device_are_told_apart_by_what_computes(paper_artifact: Path, tmp_path: Path) -> None:
    found = profiled(paper_artifact, 12.0)
    both = [replace(found, config=Config(delegate)) for delegate in ("CPU", "GPU")]
    write_results(both, tmp_path / "both.json")
    assert len(versus(tmp_path / "both.json", tmp_path / "both.json")[0]) == 2
    write_results([found, found], tmp_path / "twice.json")
    with pytest.raises(ArtifactError, match="there are several of one file on host"):
        versus(tmp_path / "twice.json", tmp_path / "both.json")


def test_what_has_nothing_in_common_is_refused(paper_artifact: Path, other: Path, tmp_path: Path) -> None:
    found, another = profiled(paper_artifact, 12.0), profiled(other, 8.0)
    write_results([replace(found, device=PHONE), replace(another, device=PHONE)], tmp_path / "a.json")
    write_results([found, another], tmp_path / "b.json")
    with pytest.raises(ArtifactError, match="none are of the same artifact and device"):
        versus(tmp_path / "a.json", tmp_path / "b.json")


def test_no_results_are_refused(paper_artifact: Path, other: Path, tmp_path: Path, command: Command) -> None:
    profiled(other, 8.0)
    for wrong, words in (
        (paper_artifact, "there are none. Run mobile-kit profile on it first."),
        (tmp_path / "nothing.json", "can't be read"),
        (tmp_path, None),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        answer = command("report", tmp_path / "empty" if words is None else wrong, other, "--compare")
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
        assert (words or "holds no artifact") in answer.err


@pytest.mark.parametrize(
    "options", [["one"], ["one", "two", "three"], ["one", "two", "--html", "x"], ["one", "two", "--fail-if", "cv > 1"]]
)
def test_a_comparison_of_other_than_two_is_a_usage_error(options: list[str], command: Command) -> None:
    answer = command("report", *options, "--compare")
    assert (answer.code, answer.out) == (2, "")
    assert "--compare" in answer.err.splitlines()[-1]
