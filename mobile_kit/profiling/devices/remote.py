"""A device behind a link that starts shell commands there: everything but the link itself.

A command is a string that the device's shell reads, so whatever stands in it is quoted here, argument by argument.
"""

import io
import shlex
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from mobile_kit.artifacts.manifest import PLATFORM_ONLY
from mobile_kit.errors import DeviceError
from mobile_kit.measurements.result import DeviceInfo
from mobile_kit.profiling.devices.device import DeviceState
from mobile_kit.profiling.devices.linux import CLOCKS, big_cores
from mobile_kit.profiling.devices.program import Ended, Program
from mobile_kit.profiling.validity import LEAST_S, MOST_S

__all__ = ["Remote"]

# What the line with our folder's path begins with.
MARK = "mobile-kit:"
# How often the kit says that it is there, and after how long without a word the device gives it up.
BEAT_S, GIVEN_UP_S, LOOK_S = 10.0, 60, 5
# How long it may take to clean up when we leave.
LEAVE_S = 30.0
# Makes our folder. Ends what was started, and removes the folder, when its standard input ends, as it does when we
# leave or the link breaks; or when no line has come for too long, as a network that is cut ends nothing.
_KEEPER = """
umask 077
folder=$(mktemp -d "$0/mobile-kit-XXXXXX") || exit 1
trap '' HUP INT TERM PIPE
leave() {
    for file in "$folder"/pid-*; do [ -e "$file" ] && kill -9 "${file##*-}"; done
    rm -rf -- "$folder"
}
echo "mobile-kit:$folder"
(
    silent=0
    while sleep "$2" && [ -d "$folder" ]; do
        silent=$((silent + $2))
        if [ -e "$folder/alive" ]; then silent=0; rm -f "$folder/alive"; fi
        if [ $silent -ge "$1" ]; then leave; kill -9 $$; fi
    done
) > /dev/null 2>&1 < /dev/null &
while read -r line; do true > "$folder/alive"; done 2> /dev/null
leave 2> /dev/null
"""
# Runs a program in our folder, where the keeper finds its number as long as it runs.
_OWN = """
cd -- "$0" || exit 1
exec 3<&0
"$@" <&3 3<&- &
child=$!
exec 3<&-
true > "pid-$child" || { kill -9 $child; exit 1; }
wait $child
code=$?
rm -f "pid-$child"
exit $code
"""
Self = TypeVar("Self", bound="Remote")


class Remote(ABC):
    """See `devices.Device`."""

    name: str
    kind: str
    pins = True
    one_at_a_time = False
    shares_our_cpu = False
    starts_programs = True
    default_seconds = (LEAST_S, MOST_S)
    untimed = PLATFORM_ONLY
    # Where our folder is made.
    base = "/tmp"  # noqa: S108  mktemp makes a folder of its own there
    given_up_s, look_s = GIVEN_UP_S, LOOK_S
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
        times = [str(seconds) for seconds in (self.given_up_s, self.look_s)]
        self._keeper = self._start(shlex.join(["sh", "-c", _KEEPER, self.base, *times]))
        self._left = threading.Event()
        try:
            # Some shells greet first.
            said = (line.partition(MARK) for line in self._keeper.lines())
            self.folder = next((folder for _, mark, folder in said if mark), "")
            if not self.folder.startswith(f"{self.base}/mobile-kit-"):
                raise DeviceError(f"device {self.name}: makes no folder in {self.base}. Make room there.")
            threading.Thread(target=self._beat, daemon=True).start()
            self.python = self._find_python()
        except BaseException:
            self._left.set()
            self._keeper.stop()
            raise
        return self

    def _beat(self) -> None:
        while not self._left.wait(BEAT_S):
            self._keeper.go()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._keeper.silence_s = LEAVE_S
        self._keeper.finish()
        try:
            for _ in self._keeper.lines():
                pass
        except DeviceError:
            self._keeper.stop()  # the link is gone, and the folder with it

    def _find_python(self) -> tuple[str, ...] | None:
        return ("python3", "-B") if self.says("command -v python3 || true").strip() else None

    def says(self, script: str) -> str:
        """Return what a script of our own writes. Raises: DeviceError where it fails."""
        sink = io.BytesIO()
        ended = self._run(shlex.join(["sh", "-c", script]), sink=sink)
        if ended.code != 0:
            raise DeviceError(f"device {self.name}: doesn't answer, as {ended.reason}. {ended.advice}")
        return sink.getvalue().decode(errors="replace")

    def big_cores(self) -> tuple[int, ...]:
        """Return the numbers of the cores with the highest clocks."""
        found = big_cores(self.says(CLOCKS))
        if not found:
            raise DeviceError(f"device {self.name}: doesn't tell its cores' clocks. Name the cores: --cores 4,5,6,7")
        return found

    def install(self, packages: Sequence[str]) -> None:
        """Let its Python have packages, in our folder."""
        if self.python is None:
            raise DeviceError(f"device {self.name}: has no Python to install anything for. Install one.")
        place = f"{self.folder}/packages"
        command = [*self.python, "-m", "pip", "install", "-q", "--no-cache-dir", "--target", place, *packages]
        ended = self._run(shlex.join(command))
        if ended.code != 0:
            raise DeviceError(
                f"device {self.name}: can't install {' '.join(packages)}, as {ended.reason}. Do it by hand."
            )
        self.python = ("env", f"PYTHONPATH={place}", *self.python)

    def put(self, path: Path, name: str, program: bool = False) -> str:
        """Copy a file into our folder there; return its path there."""
        place = f"{self.folder}/{name}"
        script = 'cat > "$0" && chmod 700 "$0"' if program else 'cat > "$0"'
        with path.open("rb") as stream:
            ended = self._run(shlex.join(["sh", "-c", script, place]), source=stream)
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
