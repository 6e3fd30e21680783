"""Xcode's Core ML performance report, a bundle `*.mlperf` with a report.json in it.

Apple doesn't describe its keys. So a value counts only where its name says what it is and its unit stands beside it or
in the name; all else is said to be unread.
"""

import re
from pathlib import Path

from mobile_kit.errors import ResultError
from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.json_document import Node, read_json, snake_case
from mobile_kit.measurements.latency import Latency, latency
from mobile_kit.measurements.result import Load, ModelInfo, Op, Result, RunInfo, units, unknown_device

__all__ = ["XcodeReport"]

SUFFIX, REPORT = ".mlperf", "report.json"
# Microseconds of a unit, by its spellings in a name or beside it.
UNITS = {
    "ns": 1e-3,
    "nanoseconds": 1e-3,
    "us": 1.0,
    "microseconds": 1.0,
    "ms": 1e3,
    "milliseconds": 1e3,
    "s": 1e6,
    "sec": 1e6,
    "seconds": 1e6,
}
# The words that a name has for each figure.
FIGURES = {"median": "p50", "mean": "mean", "average": "mean", "min": "min", "minimum": "min", "max": "max"}
FIGURES |= {"maximum": "max", "p90": "p90", "p95": "p95", "p99": "p99", "first": "first"}
COUNTS = {"count", "iterations", "n", "runs"}
STEPS = {"prediction": "prediction", "predict": "prediction", "load": "load", "loading": "load"}
STEPS |= {"compile": "compile", "compilation": "compile", "compiling": "compile"}
# What a compute unit's name has in it.
COMPUTE_UNITS = {"neural": "NPU", "ane": "NPU", "gpu": "GPU", "mlgpu": "GPU", "cpu": "CPU", "mlcpu": "CPU"}
SAMPLES = {"samples", "durations", "times"}
# Names of an operation's values.
NAME, TYPE = ("name", "operation_name", "operator_name", "layer_name"), ("type", "operation_type", "operator_type")
# So many unread values are named.
NAMED = 5


class XcodeReport:
    """Reads the bundle, or the file in it."""

    name = "Xcode's Core ML performance report (.mlperf)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it is called so."""
        return path.suffix == SUFFIX or (path.name == REPORT and head.lstrip()[:1] == b"{")

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a report. Raises: ResultError also where nothing of it is known."""
        file = path / REPORT if path.is_dir() else path
        if not file.is_file():
            raise ResultError(f"result {path.name}: has no {REPORT}. Export the report from Xcode again.")
        found = _Report()
        found.take(read_json(file), ())
        unread = tuple(dict.fromkeys(re.sub(r"/\d+", "", place) for place in found.unread))
        if not (found.figures or found.calls or found.ops):
            raise ResultError(
                f"result {path.name}: has no time with its unit, and no operation with its compute unit, by a name "
                f"that is known, but {', '.join(unread[:NAMED]) or 'nothing'}. Measure in an app instead."
            )
        result = Result(
            run=RunInfo("", "imported", "Xcode Core ML performance report"),
            model=ModelInfo(""),
            device=unknown_device(),
            latency=found.latency(),
            load=Load(cold_us=found.one("load"), compile_us=found.one("compile")),
            ops=tuple(found.ops),
            placement=units(found.ops),
        )
        return Imported((result,), unread)


class _Report:
    """What has been found in a report. figures: by step and field of `Latency`, in microseconds."""

    def __init__(self) -> None:
        self.figures: dict[tuple[str, str], float] = {}
        self.calls: list[float] = []
        self.count: int | None = None
        self.ops: list[Op] = []
        self.unread: list[str] = []

    def take(self, node: Node, words: tuple[str, ...]) -> None:
        """Read a value and all below it. words: those of the names above it."""
        if isinstance(node.value, dict):
            if (op := _op(node)) is not None:
                self.ops.append(op)
                return
            unit = next(
                (f.text() for key, f in node.fields().items() if _words(key)[-1:] in (("unit",), ("units",))), None
            )
            for key, field in node.fields().items():
                if field.value != unit:
                    self.take(field, (*words, *_words(unit or ""), *_words(key)))
        elif isinstance(node.value, list) and not (_unit(words) and SAMPLES.intersection(words)):
            for item in node.items():
                self.take(item, words)
        elif not self._time(node, words):
            self.unread.append(node.place)

    def _time(self, node: Node, words: tuple[str, ...]) -> bool:
        """Read a time, or how many there are; return whether it was one."""
        step, unit = next((STEPS[word] for word in words if word in STEPS), None), _unit(words)
        if step == "prediction" and isinstance(node.value, int) and words[-1] in COUNTS:
            self.count = node.count()
            return True
        if step is None or unit is None:
            return False
        if isinstance(node.value, list):
            if step == "prediction":
                self.calls.extend(time for each in node.items() if (time := each.amount(unit)) is not None)
            return step == "prediction"
        figure = next((FIGURES[word] for word in words if word in FIGURES), "")
        if isinstance(node.value, int | float) and (time := node.amount(unit)) is not None:
            self.figures[step, figure] = time
            return True
        return False

    def latency(self) -> Latency:
        """Return the calls' figures: of the calls themselves where they are there."""
        if self.calls:
            return latency([self.calls])
        named = {figure: time for (step, figure), time in self.figures.items() if step == "prediction" and figure}
        return Latency(count=self.count, **named)  # type: ignore[arg-type]  # the names are those of figures

    def one(self, step: str) -> float | None:
        """Return a step's time: its median, its mean, or the only one."""
        return next((self.figures[step, each] for each in ("p50", "mean", "") if (step, each) in self.figures), None)


def _words(key: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[^a-z0-9]+", snake_case(key)) if word)


def _unit(words: tuple[str, ...]) -> float | None:
    """Return the microseconds of the last unit that is named."""
    return next((UNITS[word] for word in reversed(words) if word in UNITS), None)


def _op(node: Node) -> Op | None:
    """Return an operation, None where an object is none: one has a name and a compute unit."""
    values = {"_".join(_words(key)): field for key, field in node.fields().items()}
    name = next((values[key].value for key in NAME if key in values), None)
    unit = next((_compute_unit(field.value) for key, field in values.items() if "compute" in key), None)
    if not isinstance(name, str) or unit is None:
        return None
    kind = next((values[key].value for key in TYPE if key in values), None)
    return Op(name, kind if isinstance(kind, str) else None, kind="estimated", unit=unit)


def _compute_unit(value: object) -> str | None:
    words = _words(value) if isinstance(value, str) else ()
    return next((unit for word, unit in COMPUTE_UNITS.items() if word in words), None)
