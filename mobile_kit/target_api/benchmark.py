"""What a target brings for measuring its files: a tracer, the platform's own program, readers of their results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.measurements.importers.base import Importer
from mobile_kit.measurements.result import Op
from mobile_kit.models.spec import TensorSpec

__all__ = ["BenchmarkJob", "BenchmarkProgram", "Tracer"]


@dataclass(frozen=True)
class Tracer:
    """What times the single operations of a file on a device.

    program: a Python file, which on a device finds nothing of the kit; started with the file, the number of threads and
    of runs, it prints one JSON object, with `why_not` alone where they can't be timed. read: returns the operations in
    it.
    """

    program: Path
    read: Callable[[Mapping[str, Any]], tuple[Op, ...]]


@dataclass(frozen=True)
class BenchmarkJob:
    """What a platform's own program is asked to time; all paths are the device's.

    inputs, outputs: the file's, in its order. values: the path of each input, raw. folder: what the paths of its own
    files begin with. The rest: see `profiling.options.ProfileOptions`.
    """

    program: str
    model: str
    inputs: tuple[TensorSpec, ...]
    values: tuple[str, ...]
    outputs: tuple[TensorSpec, ...]
    folder: str
    threads: int | None
    warmup_runs: int
    warmup_s: float
    runs: int
    min_s: float
    max_s: float


@dataclass(frozen=True)
class BenchmarkProgram:
    """A platform's own program that times a file on a device.

    command: its arguments, itself the first. outputs: the files in the job's folder that then have the outputs, raw and
    behind one another. log: reads what it prints. operations: the file with their times, and what reads it; None where
    it has none.
    """

    name: str
    command: Callable[[BenchmarkJob], Sequence[str]]
    outputs: Callable[[BenchmarkJob], Sequence[str]]
    log: Importer
    operations: tuple[str, Importer] | None = None
