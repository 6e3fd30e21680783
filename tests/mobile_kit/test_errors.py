"""Whatever another library says becomes a part of one line."""

import pytest

from mobile_kit.errors import last_line, named_line, one_line

TORCH = (
    "mat1 and mat2\nmust match.\nException raised from meta at ../aten/src/ATen/native/LinearAlgebra.cpp:195\n#0: c10"
)


@pytest.mark.parametrize(
    ("exc", "line", "named"),
    [
        (ValueError("two\n  lines."), "two lines", "ValueError: two lines"),
        (RuntimeError(), "RuntimeError", "RuntimeError"),
        (KeyError("name"), "KeyError: 'name'", "KeyError: 'name'"),
        (RuntimeError(TORCH), "mat1 and mat2 must match", "RuntimeError: mat1 and mat2 must match"),
        (ValueError("x" * 999), "x" * 300, "ValueError: " + "x" * 300),
    ],
)
def test_an_exception_is_one_line(exc: Exception, line: str, named: str) -> None:
    assert (one_line(exc), named_line(exc)) == (line, named)


def test_a_tools_last_words_count() -> None:
    assert last_line("Collecting x\nERROR: no such package.\n\n") == "ERROR: no such package"
    assert last_line(" \n") == "nothing was said"
