"""JSON that another program wrote: each value with its place, so that an error can name it."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.errors import ResultError, malformed, one_line
from mobile_kit.reading import MOST_JSON_BYTES, ReadError, parse_json, read_bytes

__all__ = ["MOST", "Node", "read_json", "snake_case"]

# No time in nanoseconds and no memory in bytes is more, and what is can't be computed with.
MOST = 1e18


@dataclass(frozen=True)
class Node:
    """A value of a file. place: its keys from the top. What isn't there is None."""

    path: Path
    place: str
    value: Any

    def __getitem__(self, key: str) -> "Node":
        """Return a value of an object, None where it isn't there or there is no object."""
        return self.fields().get(key, Node(self.path, self._below(key), None))

    def fields(self) -> dict[str, "Node"]:
        """Return the values of an object by name."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.error("is no object")
        return {key: Node(self.path, self._below(key), value) for key, value in self.value.items()}

    def items(self) -> list["Node"]:
        """Return the values of a list."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.error("is no list")
        return [Node(self.path, self._below(place), value) for place, value in enumerate(self.value)]

    def text(self) -> str | None:
        """Return a text, None for an empty one."""
        if self.value is not None and not isinstance(self.value, str):
            raise self.error("is no text")
        return self.value or None

    def flag(self) -> bool | None:
        """Return true, false or None."""
        if self.value is not None and not isinstance(self.value, bool):
            raise self.error("is neither true nor false")
        return self.value

    def number(self) -> float | None:
        """Return a number."""
        if self.value is None:
            return None
        number = _float(self.value)
        if not abs(number) <= MOST:
            raise self.error(f"{json.dumps(self.value)[:50]} is no number, or absurd")
        return number

    def amount(self, unit: float = 1.0) -> float | None:
        """Return a number in other units; 0 is None, as programs write it for what they don't know."""
        number = self.number()
        if number is not None and number < 0:
            raise self.error(f"{number:g} is less than 0")
        return number * unit if number else None

    def count(self, unit: float = 1.0) -> int | None:
        """Return a whole amount."""
        return round(self.amount(unit) or 0) or None

    def error(self, reason: str) -> ResultError:
        """Return the error for this value."""
        return malformed(self.path, f"at {self.place or 'top level'}", reason)

    def _below(self, key: object) -> str:
        return f"{self.place}/{key}" if self.place else str(key)


def read_json(path: Path, spelling: Callable[[str], str] = str) -> Node:
    """Read a file. spelling: how keys are spelt anew.

    Raises: ResultError naming the place where it is no JSON.
    """
    try:
        value = parse_json(read_bytes(path, MOST_JSON_BYTES), lambda pairs: _spelt(dict(pairs), spelling))
    except ReadError as exc:
        raise ResultError(f"result {path.name}: {one_line(exc)}. Give the file as the tool wrote it.") from exc
    return Node(path, "", value)


def snake_case(key: str) -> str:
    """Return latency_mean for latencyMean."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key).lower()


def _spelt(found: dict[str, Any], spelling: Callable[[str], str]) -> dict[str, Any]:
    return {spelling(key): value for key, value in found.items()}


def _float(value: Any) -> float:
    """Return a number, NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
