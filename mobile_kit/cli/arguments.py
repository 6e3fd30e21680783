"""What commands parse alike."""

import argparse
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from mobile_kit.artifacts.find import find_artifact
from mobile_kit.errors import ArtifactError

__all__ = ["Parser", "add_weights", "artifact", "command", "decibels", "names", "part", "positive", "seconds", "size"]


# What other converters call the kit's options.
MEANT = {
    "--dtype": "--recipe",
    "--format": "--target",
    "--fp16": "--recipe fp16",
    "--framework": "--target",
    "--half": "--recipe fp16",
    "--imgsz": "--image-size",
    "--int8": "--recipe int8",
    "--output": "--out",
    "--platform": "--target",
    "--precision": "--recipe",
    "--quantization": "--recipe",
    "--quantize": "--recipe",
    "--size": "--image-size",
    "--task": "--head",
}


class Parser(argparse.ArgumentParser):
    """A parser that names the option that is meant by another tool's."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with exit code 2."""
        words = (word.partition("=")[0] for word in message.split() if word.startswith("--"))
        meant = next((MEANT[word] for word in words if word in MEANT and "unrecognized" in message), None)
        super().error(message + (f" (is {meant} meant?)" if meant else ""))


def artifact(text: str) -> Path:
    """Parse an artifact's folder, its model's file, or the folder above where that holds one artifact alone."""
    try:
        return find_artifact(Path(text))
    except ArtifactError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


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
