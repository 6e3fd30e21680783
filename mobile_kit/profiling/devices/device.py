"""Machines that a file can be timed on, seen alike: describe, put, run, get, clean up.

A device knows nothing of a target: what is run there, and what its output means, comes with the call.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mobile_kit.measurements.result import DeviceInfo

__all__ = ["Device", "DeviceState", "Running"]


@dataclass(frozen=True)
class DeviceState:
    """How warm a device is: degrees Celsius of the hottest zone, and what the system says of it; None where unknown."""

    hottest_c: float | None = None
    status: str | None = None
    throttled: bool | None = None


class Running(Protocol):
    """A program that runs on a device. pid: the number of its process on this machine, None where it has none."""

    pid: int | None

    def lines(self) -> Iterator[str]:
        """Yield the lines of its standard output as they come.

        Raises: DeviceError where the link breaks, or it ends badly, with its last words.
        """
        ...

    def go(self) -> None:
        """Send it an empty line, for which it waits."""
        ...

    def finish(self) -> None:
        """Tell it that no line will follow."""
        ...

    def stop(self) -> None:
        """End it, if it hasn't ended."""
        ...


class Device(Protocol, AbstractContextManager["Device"]):
    """A machine. Entered, it has a folder of our own there, which goes when it is left.

    name: of its kind and which one. pins: whether a program there can be kept on some cores. one_at_a_time: whether a
    run has one artifact. shares_our_cpu: whether what else this machine does disturbs it. starts_programs: whether a
    program that a user gives can be started there. default_seconds: how long the calls of a file take at least and at
    most, where nothing is asked. untimed: why a target's files can't be timed there, where they can't. python: how a
    Python is started there, None where there is none. folder: the path of our folder there.
    """

    name: str
    kind: str
    pins: bool
    one_at_a_time: bool
    shares_our_cpu: bool
    starts_programs: bool
    default_seconds: tuple[float, float]
    untimed: str
    python: tuple[str, ...] | None
    folder: str

    def describe(self) -> DeviceInfo:
        """Return what it says of itself. Raises: DeviceError where it can't be reached."""
        ...

    def state(self) -> DeviceState:
        """Return how warm it is."""
        ...

    def big_cores(self) -> tuple[int, ...]:
        """Return the numbers of the cores with the highest clocks. Raises: DeviceError where it doesn't tell."""
        ...

    def install(self, packages: Sequence[str]) -> None:
        """Let its Python have packages, in our folder. Raises: DeviceError; UnsupportedError for this machine."""
        ...

    def put(self, path: Path, name: str, program: bool = False) -> str:
        """Copy a file into our folder there under a name of our own; return its path there.

        program: whether it will be started. Raises: DeviceError, such as for a full disk.
        """
        ...

    def get(self, name: str, path: Path) -> None:
        """Copy a file of our folder there to a path here. Raises: DeviceError."""
        ...

    def start(self, command: Sequence[str]) -> Running:
        """Start a program there; the arguments are passed as they are, whatever is in them. Raises: DeviceError."""
        ...
