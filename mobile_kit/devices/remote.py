"""A device behind a link that starts shell commands there: everything but the link itself.

A command is a string that the device's shell reads, so whatever stands in it is quoted here, argument by argument.
"""

import io
import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from mobile_kit.devices.program import Ended, Program
from mobile_kit.devices.state import DeviceState
from mobile_kit.errors import DeviceError
from mobile_kit.results import DeviceInfo

__all__ = ["Remote"]

# Makes our folder and removes it when its standard input ends, which it also does when the link breaks.
_KEEPER = """
umask 077
folder=$(mktemp -d "$0/mobile-kit-XXXXXX") || exit 1
trap '' HUP INT TERM PIPE
echo "$folder"
cat > /dev/null
rm -rf -- "$folder"
"""
# Runs a program and ends it when the link breaks: its standard input is the link's.
_OWN = 'cd -- "$0" && exec "$@"'
Self = TypeVar("Self", bound="Remote")


class Remote(ABC):
    """See `devices.Device`."""

    name: str
    kind: str
    # Where our folder is made.
    base = "/tmp"  # noqa: S108  mktemp makes a folder of its own there
    python: tuple[str, ...] | None = None
    folder = ""

    @abstractmethod
    def _start(self, command: str) -> Program:
        """Start a command of the device's shell. Raises: DeviceError."""

    @abstractmethod
    def _run(self, command: str, source: BinaryIO | None = None, sink: BinaryIO | None = None) -> Ended:
        """Run a command to its end with its input from a file and its output into one.

        Returns: how it ended; the words are its standard error. Raises: DeviceError where the link can't be had.
        """

    @abstractmethod
    def describe(self) -> DeviceInfo:
        """Return what it says of itself."""

    @abstractmethod
    def state(self) -> DeviceState:
        """Return how warm it is."""

    def __enter__(self: Self) -> Self:
        self._keeper = self._start(shlex.join(["sh", "-c", _KEEPER, self.base]))
        self.folder = next(self._keeper.lines(), "")
        if not self.folder.startswith(f"{self.base}/mobile-kit-"):
            self._keeper.stop()
            raise DeviceError(f"device {self.name}: makes no folder in {self.base}. Make room there.")
        self.python = self._find_python()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.finish()
        try:
            for _ in self._keeper.lines():
                pass
        except DeviceError:
            self._keeper.stop()  # the link is gone, and the folder with it

    def _find_python(self) -> tuple[str, ...] | None:
        return ("python3", "-B") if self.says("command -v python3").strip() else None

    def says(self, script: str) -> str:
        """Return what a script of our own writes, nothing where it fails."""
        sink = io.BytesIO()
        self._run(shlex.join(["sh", "-c", script]), sink=sink)
        return sink.getvalue().decode(errors="replace")

    def put(self, path: Path, name: str) -> str:
        """Copy a file into our folder there; return its path there."""
        place = f"{self.folder}/{name}"
        with path.open("rb") as stream:
            ended = self._run(shlex.join(["sh", "-c", 'cat > "$0"', place]), source=stream)
        if ended.code != 0:
            raise DeviceError(f"device {self.name}: {name} can't be put there, as {ended.reason}. {ended.advice}")
        return place

    def get(self, name: str, path: Path) -> None:
        """Copy a file of our folder there to a path here."""
        with path.open("wb") as stream:
            ended = self._run(shlex.join(["cat", "--", f"{self.folder}/{name}"]), sink=stream)
        if ended.code != 0:
            raise DeviceError(f"device {self.name}: {name} can't be fetched, as {ended.reason}. {ended.advice}")

    def start(self, command: Sequence[str]) -> Program:
        """Start a program in our folder."""
        return self._start(shlex.join(["sh", "-c", _OWN, self.folder, *command]))
