"""What an app's own checks ask of a report."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.measurements.result import Memory
from mobile_kit.reporting.summary import ArtifactResult, Summary
from mobile_kit.reporting.thresholds import OF_FILE, OF_RESULT, Threshold, parse_threshold, violations
from tests.conftest import Answer
from tests.surveys import BOARD, HOST, profiled, result, row

Command = Callable[..., Answer]
ROW = row("model", "tflite", "fp16")
PLACE = "model/tflite-fp16"


def lines(*limits: str, **changes: object) -> list[str]:
    measured = ArtifactResult(ROW, "profile-host.json", replace(result(ROW, 10.0), **changes))  # type: ignore[arg-type]
    return violations(Summary((ROW,), (measured,)), [parse_threshold(limit) for limit in limits])


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("p50_ms > 12", Threshold("p50_ms", ">", 12.0)),
        ("p50_ms>12", Threshold("p50_ms", ">", 12.0)),
        ("  cv   >=  1e-1 ", Threshold("cv", ">=", 0.1)),
        ("sqnr_db < 25.5", Threshold("sqnr_db", "<", 25.5)),
        ("size_mb<=.5", Threshold("size_mb", "<=", 0.5)),
    ],
)
def test_a_limit_is_a_field_an_operator_and_a_number(text: str, limit: Threshold) -> None:
    assert parse_threshold(text) == limit
    assert parse_threshold(str(limit)) == limit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p51_ms > 12", "field 'p51_ms': unknown. Known: cold_load_ms, cv, first_ms, max_ms, mean_ms, min_ms, p50_ms"),
        ("p50_ms == 12", "operator '==': unknown. Known: <, <=, >, >=."),
        ("p50_ms =! 12", "operator '=!': unknown"),
        ("p50_ms > twelve", "isn't FIELD OP NUMBER"),
        ("p50_ms > nan", "isn't FIELD OP NUMBER"),
        ("12 < p50_ms", "isn't FIELD OP NUMBER"),
        ("p50_ms > 12 or 1", "isn't FIELD OP NUMBER"),
        ("__import__('os') > 1", "isn't FIELD OP NUMBER"),
        ("p50_ms > 12\np90_ms > 1", "isn't FIELD OP NUMBER"),
        ("", "isn't FIELD OP NUMBER"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, words: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        parse_threshold(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_field_has_its_unit() -> None:
    found = result(ROW, 10.0)
    for field in (*OF_FILE, *OF_RESULT):
        (line,) = lines(f"{field} > -1")
        assert line.startswith(f"{PLACE}{'' if field in OF_FILE else ' on host'}: {field} is "), line
    figures = {"p50_ms": (found.latency.p50 or 0) / 1e3, "cold_load_ms": 41.0, "peak_mb": 180.0, "size_mb": 5.0}
    for field, value in figures.items():
        assert lines(f"{field} >= {value * 0.999}")
        assert not lines(f"{field} > {value * 1.001}")


@pytest.mark.parametrize(("sign", "met"), [("<", False), ("<=", True), (">", False), (">=", True)])
def test_operators_are_what_they_say(sign: str, met: bool) -> None:
    assert bool(lines(f"peak_mb {sign} 180")) == met


def test_a_line_says_what_where_and_how_much() -> None:
    assert lines("peak_mb > 100") == [f"{PLACE} on host: peak_mb is 180, and may not be > 100."]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": BOARD}, "its device is emulated, whose time says nothing of a device's"),
        ({"validity": result(ROW, 1.0, reasons=("3 calls of at least 50",)).validity}, "it isn't valid: 3 calls of at"),
        ({"memory": Memory()}, "its source doesn't say"),
    ],
)
def test_a_check_that_could_not_be_made_is_not_passed(changes: dict[str, object], reason: str) -> None:
    (line,) = lines("peak_mb > 1000", **changes)
    assert f": peak_mb > 1000 can't be checked, as {reason}" in line


def test_a_file_that_is_not_timed_is_not_passed_but_its_size_is_known() -> None:
    untimed = Summary((replace(ROW, untimed="only a Mac or a phone runs it"),), ())
    assert violations(untimed, [parse_threshold("p50_ms > 12"), parse_threshold("size_mb > 50")]) == [
        f"{PLACE}: p50_ms > 12 can't be checked, as it wasn't timed: only a Mac or a phone runs it."
    ]


def test_no_noise_is_more_than_any_decibels() -> None:
    for noise, met in ((math.inf, 0), (20.0, 1), (None, 1)):
        found = Summary((replace(ROW, sqnr_db=noise),), ())
        assert len(violations(found, [parse_threshold("sqnr_db < 25")])) == met


@pytest.mark.usefixtures("paper_targets")
def test_a_met_limit_ends_the_command_with_1_and_the_report_is_written(paper_artifact: Path, command: Command) -> None:
    profiled(paper_artifact, 12.0, device=HOST)
    folder = paper_artifact.parents[1]
    answer = command("report", folder, "--fail-if", "p50_ms > 13", "--fail-if", "size_mb > 1000")
    assert (answer.code, answer.err) == (0, "")
    answer = command("report", folder, "--fail-if", "p50_ms > 11", "--fail-if", "p90_ms > 11")
    assert answer.code == 1
    place = paper_artifact.relative_to(folder).as_posix()
    assert answer.err.splitlines() == [
        f"mobile-kit: {place} on host: p50_ms is 12, and may not be > 11.",
        f"mobile-kit: {place} on host: p90_ms is 12, and may not be > 11.",
    ]
    assert (folder / "report.json").is_file()


def test_an_unknown_field_is_a_usage_error(tmp_path: Path, command: Command) -> None:
    answer = command("report", tmp_path, "--fail-if", "speed > 12")
    assert (answer.code, answer.out) == (2, "")
    assert "field 'speed': unknown. Known: cold_load_ms, cv, first_ms" in answer.err
