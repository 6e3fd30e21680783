"""From profiles and evaluations to a report, on files that need no toolchain."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.profiling.machine_load import QUIET_CORES
from mobile_kit.reporting.report import ReportOptions, report, to_markdown
from sample_apps.checkpoints.digits import LABELS, held_out_views
from tests.conftest import Answer
from tests.exports import DIGITS
from tests.surveys import BOARD, PHONE, profiled, quantized, surveyed

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets")
SLUG = "mobilevitv2-digits"
PROFILE = profile_name("host")
FILES = {"report.html", "report.json", "report.md"}


@pytest.fixture
def artifact(paper_artifact: Path) -> Path:
    return paper_artifact


def written(folder: Path) -> tuple[dict[str, list[dict[str, object]]], str]:
    """The JSON and the Markdown of a report on a folder."""
    report(ReportOptions((folder,)))
    return json.loads((folder / "report.json").read_text()), (folder / "report.md").read_text()


def test_every_result_has_its_line_and_says_why_it_is_compared_with_nothing(artifact: Path) -> None:
    other = quantized(artifact)
    quantized(artifact, "fp16", target="coreml")
    profiled(artifact, 12.0)
    profiled(other, 4.0)
    profiled(other, 400.0, device=BOARD)
    profiled(other, 2.0, device=PHONE, undisturbed=False)
    content, text = written(artifact.parents[1])
    notes = [line.rsplit(" | ", 1)[1].removesuffix(" |") for line in text.splitlines()[4:] if line]
    assert notes == [
        "not timed: only a Mac or a phone runs it",
        "",
        f"not valid: other processes used more than {QUIET_CORES:.0%} of a core in too many rounds",
        "",
        "emulated",
    ]
    assert [each["artifact"] for each in content["results"]] == [f"{SLUG}/{artifact.name}"] + [
        f"{SLUG}/{other.name}"
    ] * 3
    (compared,) = content["comparisons"]
    assert (compared["device"], compared["ratio"], compared["paired"]) == ("host", pytest.approx(1 / 3), True)
    assert len(content["artifacts"]) == 3


def test_a_device_s_words_are_no_markdown() -> None:
    found = surveyed(["a|b"], [replace(PHONE, model="<b>|*x*\n\x1b[1m")])
    text = to_markdown(found)
    assert "### a\\|b" in text
    assert "&lt;b&gt;\\|\\*x\\*  \\[1m (adb:R5CT)" in text
    assert all(line.replace("\\|", "").count("|") == 14 for line in text.splitlines() if line.startswith("|"))


def test_files_go_where_they_are_asked_for(artifact: Path, tmp_path: Path, command: Command) -> None:
    out, page, table = artifact.parents[1], tmp_path / "x.html", tmp_path / "x.md"
    answer = command("report", out, "--html", page, "--markdown", table)
    assert answer.code == 0, answer.err
    assert page.read_text().startswith("<!doctype html>")
    assert table.read_text().startswith("### ")
    assert {path.name for path in out.glob("report*")} == {"report.json"}


def test_several_folders_are_reported_into_the_first(artifact: Path, tmp_path: Path, command: Command) -> None:
    other = quantized(artifact)
    (tmp_path / "more" / SLUG).mkdir(parents=True)
    other.rename(tmp_path / "more" / SLUG / other.name)
    answer = command("report", tmp_path / "more", artifact.parents[1], "--json")
    assert answer.code == 0, answer.err
    models = [row["model"] for row in json.loads(answer.out)["artifacts"]]
    assert models == [f"more/{SLUG}", f"out/{SLUG}"]
    assert {path.name for path in (tmp_path / "more").iterdir()} > FILES
    assert not list(artifact.parents[1].glob("report*"))


def test_a_file_that_can_not_be_written_is_said_and_none_is_left_half(
    artifact: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "taken").mkdir()
    for place, reason in ((tmp_path / "no" / "x.html", "No such file or directory"), (tmp_path / "taken", "directory")):
        answer = command("report", artifact.parents[1], "--html", place)
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
        assert answer.err.startswith(f"mobile-kit: report {place}: can't be written (")
        assert reason in answer.err
    assert not list(tmp_path.rglob(".partial-*"))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_is_refused(value: str, artifact: Path, command: Command) -> None:
    profiled(artifact, 12.0)
    record = json.loads((artifact / PROFILE).read_text())
    record[0]["latency"]["p50"] = "VALUE"
    (artifact / PROFILE).write_text(json.dumps(record).replace('"VALUE"', value))
    answer = command("report", artifact.parents[1])
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert answer.err.startswith(f"mobile-kit: results {artifact / PROFILE}: can't be read (")


def test_a_report_has_what_was_measured_and_leaves_out_what_was_not(
    artifact: Path, tmp_path: Path, command: Command
) -> None:
    quantized(artifact)
    views = tmp_path / "views"
    for number, (image, label) in enumerate(held_out_views(4, 1)):
        place = views / LABELS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    assert command("evaluate", artifact, "--images", views, "--checkpoint", DIGITS).code == 0
    answer = command("report", tmp_path / "out")
    assert answer.code == 0, answer.err
    header, *rows = answer.out.splitlines()
    assert header.split()[:4] == ["model", "target", "recipe", "verified"]
    assert rows[0].split()[:4] == [SLUG, "paper", "fp32", "passed"]
    names = ("report.json", "report.md", "report.html")
    assert rows[-3:] == [str(tmp_path / "out" / name) for name in names]
    first, second = json.loads((tmp_path / "out" / "report.json").read_text())["artifacts"]
    assert (first["size_ratio"], first["metric"], first["difference"]) == (1, "top1", 0)
    assert (second["recipe"], second["value"], second["untimed"]) == ("static_wi8_ai8", None, None)
    assert "megabytes, as no latency was measured" in (tmp_path / "out" / "report.html").read_text()
    table = (tmp_path / "out" / "report.md").read_text().splitlines()
    assert table[0] == f"### {SLUG}"
    assert table[4].startswith("| paper | fp32 | passed | ")
    assert "| +0.00 (" in table[4]


def test_a_folder_without_artifacts_is_refused(tmp_path: Path, command: Command) -> None:
    answer = command("report", tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"mobile-kit: folder {tmp_path}: holds no artifact. Give one that an export wrote to.\n"


SCORE = {"artifact": "a", "images": 1, "metric": "top1", "value": 1, "checkpoint": 1, "difference": 0}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("verify.json", {"checks": [], "outputs": [{"bound": "none"}]}, "at outputs/0: Object missing required field"),
        ("verify.json", {"status": "perfect"}, "at status: Invalid enum value 'perfect'"),
        ("verify.json", [], "at top level: Expected `object`, got `array`"),
        ("evaluation.json", [{**SCORE, "interval": None}], "at 0/interval: Expected `array`, got `null`"),
        ("evaluation.json", "top1", "at top level: Expected `array`, got `str`"),
    ],
)
def test_a_result_of_another_shape_is_refused(
    name: str, content: object, said: str, artifact: Path, command: Command
) -> None:
    (artifact / name).write_text(json.dumps(content))
    answer = command("report", artifact.parents[1])
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert answer.err.startswith(f"mobile-kit: artifact {artifact}: {name} {said}")


@pytest.mark.parametrize("name", ["verify.json", PROFILE, "evaluation.json"])
@pytest.mark.parametrize("content", ["{", "[NaN]"])
def test_a_torn_result_is_named(name: str, content: str, artifact: Path, command: Command) -> None:
    (artifact / name).write_text(content)
    answer = command("report", artifact.parents[1])
    assert answer.code == 1
    named = f"results {artifact / name}:" if name == PROFILE else f"artifact {artifact}: {name}"
    assert answer.err.startswith(f"mobile-kit: {named} can't be read (")
    assert answer.err.count("\n") == 1
