"""What a target brings for measuring its files: a tracer, the platform's own program, readers of their results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mobile_kit.measurements.result import Op, Result
from mobile_kit.models.spec import TensorSpec

__all__ = ["Binary", "Imported", "Importer", "Job", "Tracer"]


@dataclass(frozen=True)
class Imported:
    """What a file of another tool says.

    results: those of a run; their `model` has what the file says of its model, and their `run` no id where it has none.
    unread: what isn't known of the format, and was left out.
    """

    results: tuple[Result, ...]
    unread: tuple[str, ...] = ()


class Importer(Protocol):
    """A reader of what another tool measured.

    `name` is what the tool calls its file. `takes_record`: whether an ETRecord says more of it.
    """

    name: str
    takes_record: bool

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format. head: its first 64 KiB, empty where it is a folder."""
        ...

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file. record: its ETRecord.

        Raises: ResultError naming the place where it isn't as the tool writes it; MissingToolError.
        """
        ...


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
class Job:
    """What a platform's own program is asked to time; all paths are the device's.

    inputs, outputs: the file's, in its order. values: the path of each input, raw. folder: what the paths of its own
    files begin with. The rest: see `trial.ProfileOptions`.
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
class Binary:
    """A platform's own program that times a file on a device.

    command: its arguments, itself the first. outputs: the files in the job's folder that then have the outputs, raw and
    behind one another. log: reads what it prints. operations: the file with their times, and what reads it; null where
    it has none.
    """

    name: str
    command: Callable[[Job], Sequence[str]]
    outputs: Callable[[Job], Sequence[str]]
    log: Importer
    operations: tuple[str, Importer] | None = None
