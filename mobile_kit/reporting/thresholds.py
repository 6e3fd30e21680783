"""What a report's figures must not be, for the checks of an app's own: `p50_ms > 12`."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mobile_kit.errors import UnsupportedError, unknown
from mobile_kit.reporting.summary import ArtifactResult, Row, Summary, why_not_comparable

__all__ = ["Threshold", "parse_threshold", "violations"]

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Of the file, wherever it runs.
OF_FILE: dict[str, Callable[[Row], float | None]] = {
    "size_mb": lambda row: row.bytes / 1e6,
    "sqnr_db": lambda row: row.sqnr_db,
}
# Of a result, with what one of it is called there: microseconds, bytes, or nothing.
OF_RESULT: dict[str, tuple[Callable[[ArtifactResult], float | None], float]] = {
    "cold_load_ms": (lambda each: each.result.load.cold_us, 1e3),
    "cv": (lambda each: each.result.latency.cv, 1.0),
    "first_ms": (lambda each: each.result.latency.first, 1e3),
    "max_ms": (lambda each: each.result.latency.max, 1e3),
    "mean_ms": (lambda each: each.result.latency.mean, 1e3),
    "min_ms": (lambda each: each.result.latency.min, 1e3),
    "p50_ms": (lambda each: each.result.latency.p50, 1e3),
    "p90_ms": (lambda each: each.result.latency.p90, 1e3),
    "p95_ms": (lambda each: each.result.latency.p95, 1e3),
    "p99_ms": (lambda each: each.result.latency.p99, 1e3),
    "p99_p50": (lambda each: each.result.latency.p99_p50, 1.0),
    "peak_mb": (lambda each: each.result.memory.peak_bytes, 1e6),
}
GRAMMAR = re.compile(r"\s*([A-Za-z_]\w*)\s*([<>=!~]+)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII)


@dataclass(frozen=True)
class Threshold:
    """Fail where the figure is so: `field` one of the known, `sign` <, <=, > or >=."""

    field: str
    sign: str
    number: float

    def __str__(self) -> str:
        return f"{self.field} {self.sign} {self.number:g}"

    def meets(self, value: float) -> bool:
        """Whether a figure is what it must not be."""
        return OPERATORS[self.sign](value, self.number)


def parse_threshold(text: str) -> Threshold:
    """Parse FIELD OP NUMBER. Raises: UnsupportedError naming what is known."""
    found = GRAMMAR.fullmatch(text)
    if found is None:
        raise UnsupportedError(f"limit {text!r}: isn't FIELD OP NUMBER. Give one such as 'p50_ms > 12'.")
    field, sign, number = found.groups()
    if field not in OF_FILE and field not in OF_RESULT:
        raise unknown("field", field, (*OF_FILE, *OF_RESULT))
    if sign not in OPERATORS:
        raise unknown("operator", sign, OPERATORS)
    return Threshold(field, sign, float(number))


def violations(survey: Summary, limits: Sequence[Threshold]) -> list[str]:
    """Return a line for each figure that is what it must not be, or that can't be told: that isn't passed.

    Figures of the file are held once an artifact, the others once a result.
    """
    return [line for limit in limits for line in _broken(survey, limit)]


def _broken(survey: Summary, limit: Threshold) -> Iterator[str]:
    if limit.field in OF_FILE:
        for row in survey.rows:
            yield from _judged(limit, row.folder, OF_FILE[limit.field](row), "it wasn't measured")
        return
    figure, one = OF_RESULT[limit.field]
    for row, each in survey.lines():
        if each is None:
            why = "it wasn't timed" + (f": {row.untimed}" if row.untimed else "")
            yield from _judged(limit, row.folder, None, why)
            continue
        reason = why_not_comparable(each.result)
        value = figure(each) if reason is None else None
        place = f"{row.folder} on {each.device}"
        yield from _judged(limit, place, None if value is None else value / one, reason or "its source doesn't say")


def _judged(limit: Threshold, place: str, value: float | None, why_not: str) -> Iterator[str]:
    if value is None:
        yield f"{place}: {limit} can't be checked, as {why_not}."
    elif limit.meets(value):
        yield f"{place}: {limit.field} is {value:.6g}, and may not be {limit.sign} {limit.number:g}."
