"""Usage errors of `export` end with 2, and name the option that is meant."""

from collections.abc import Callable

import pytest

from tests.conftest import Answer

Command = Callable[..., Answer]


USAGE = {
    "no command": [],
    "unknown command": ["exprot"],
    "no output folder": ["export", "model"],
    "no model": ["export", "--out", "x"],
    "no names": ["export", "model", "--out", "x", "--target", ","],
    "no size": ["export", "model", "--out", "x", "--image-size", "0"],
    "no decibels": ["export", "model", "--out", "x", "--min-sqnr", "nan"],
    "no such input": ["export", "model", "--out", "x", "--input", "sound"],
    "unknown option": ["export", "model", "--out", "x", "--fast"],
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_errors_end_with_2(case: str, command: Command) -> None:
    answer = command(*USAGE[case])
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("usage: mobile-kit")


@pytest.mark.parametrize(
    ("option", "meant"), [("--quantize=int8", "--recipe"), ("--format", "--target"), ("--fp16", "--recipe fp16")]
)
def test_another_tool_s_option_is_understood(option: str, meant: str, command: Command) -> None:
    answer = command("export", "model", "--out", "x", option)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines()[-1].endswith(f"(is {meant} meant?)")
