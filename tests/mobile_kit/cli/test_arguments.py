"""What commands parse alike, and what they refuse."""

import argparse
from collections.abc import Callable

import pytest

from mobile_kit.cli.arguments import decibels, names, part, positive, seconds, size


@pytest.mark.parametrize(
    ("text", "found"), [("256", (256, 256)), ("256x320", (256, 320)), ("1", (1, 1)), ("8192x1", (8192, 1))]
)
def test_sizes_are_height_by_width(text: str, found: tuple[int, int]) -> None:
    assert size(text) == found


def test_names_are_split_once_each() -> None:
    assert names(" tflite, coreml,,tflite") == ("tflite", "coreml")


def test_numbers_are_read() -> None:
    assert (positive("12"), decibels("-3.5"), part("1"), part("0.99"), seconds("0"), seconds("1.5")) == (
        12,
        -3.5,
        1.0,
        0.99,
        0.0,
        1.5,
    )


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (names, ["", " , "]),
        (size, ["0", "-1", "12x", "x12", "8193", "12.5"]),
        (positive, ["0", "-1", "1.5", "many", ""]),
        (decibels, ["nan", "inf", "loud"]),
        (part, ["0", "1.01", "-0.5", "nan", "half"]),
        (seconds, ["-1", "inf", "nan", "soon"]),
    ],
)
def test_what_makes_no_sense_is_refused(parse: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError):
            parse(text)
