"""What commands parse alike."""

import argparse
import math
import re
from typing import Any

__all__ = ["add_weights", "command", "decibels", "names", "part", "positive", "seconds", "size"]


def command(commands: Any, name: str, run: Any, text: str, output: bool = True) -> argparse.ArgumentParser:
    """Add a command to a parser and return its own. output: whether it prints a result, which then may be JSON."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    if output:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a checkpoint's weights are read."""
    parser.add_argument("--allow-pickle", action="store_true", help="read pytorch_model.bin, tensors only")
    parser.add_argument(
        "--weights-prefix", default="", metavar="P", help="what tensors' names begin with: of a wrapped model, module."
    )


def names(text: str) -> tuple[str, ...]:
    """Parse names between commas."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise argparse.ArgumentTypeError("names nothing")
    return found


def size(text: str) -> tuple[int, int]:
    """Parse height and width in pixels."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    height, width = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not (1 <= height <= 8192 and 1 <= width <= 8192):
        raise argparse.ArgumentTypeError(f"{text!r} is no size from 1 to 8192. Give N or HxW, such as 256 or 256x320")
    return height, width


def positive(text: str) -> int:
    """Parse a number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def decibels(text: str) -> float:
    """Parse a number of decibels."""
    value = _number(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of decibels, such as 20")
    return value


def part(text: str) -> float:
    """Parse a part of a whole."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no part from 0 to 1, such as 0.99")
    return value


def seconds(text: str) -> float:
    """Parse a number of seconds."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, such as 1.5")
    return value


def _number(text: str) -> float:
    """Return a number, NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
