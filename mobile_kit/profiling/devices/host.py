"""The machine that the kit runs on."""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mobile_kit.artifacts.manifest import PLATFORM_ONLY
from mobile_kit.errors import DeviceError, UnsupportedError
from mobile_kit.measurements.result import DeviceInfo
from mobile_kit.profiling.devices.device import DeviceState
from mobile_kit.profiling.devices.linux import CLOCKS, DESCRIBE, STATE, big_cores, described, state_of
from mobile_kit.profiling.devices.process import Process
from mobile_kit.profiling.validity import LEAST_S, MOST_S

__all__ = ["HostDevice"]


class HostDevice:
    """See `devices.Device`. Files are copied, as a device's are: a program must not change the artifact's."""

    name = kind = "host"
    pins = sys.platform == "linux"
    one_at_a_time = False
    shares_our_cpu = True
    starts_programs = True
    default_seconds = (LEAST_S, MOST_S)
    untimed = PLATFORM_ONLY
    python: tuple[str, ...] | None = (sys.executable, "-B")
    folder = ""

    def __enter__(self) -> "HostDevice":
        self.folder = tempfile.mkdtemp(prefix="mobile-kit-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def describe(self) -> DeviceInfo:
        """Return what this machine says of itself."""
        if sys.platform == "linux":
            return described(_said(DESCRIBE), self.name, self.kind)
        return DeviceInfo(
            self.name,
            self.kind,
            emulated=False,
            os=platform.system(),
            os_version=platform.release(),
            soc=platform.processor() or None,
            abi=platform.machine(),
        )

    def state(self) -> DeviceState:
        """Return how warm it is."""
        return state_of(_said(STATE)) if sys.platform == "linux" else DeviceState()

    def big_cores(self) -> tuple[int, ...]:
        """Return the numbers of the cores with the highest clocks."""
        found = big_cores(_said(CLOCKS)) if sys.platform == "linux" else ()
        if not found:
            raise DeviceError("device host: doesn't tell its cores' clocks. Name the cores: --cores 4,5,6,7")
        return found

    def install(self, packages: Sequence[str]) -> None:
        """Refuse: the kit's own environment is the user's."""
        raise UnsupportedError("--install: is for a device that lacks a runtime, and this is the kit's own machine.")

    def put(self, path: Path, name: str, program: bool = False) -> str:
        """Copy a file into our folder."""
        place = Path(self.folder, name)
        try:
            if path.is_dir():
                shutil.copytree(path, place)
            else:
                shutil.copyfile(path, place)
            if program:
                place.chmod(0o700)
        except OSError as exc:
            raise DeviceError(f"device {self.name}: {name} can't be put into {self.folder} ({exc.strerror}).") from exc
        return str(place)

    def get(self, name: str, path: Path) -> None:
        """Copy a file of our folder."""
        try:
            shutil.copyfile(Path(self.folder, name), path)
        except OSError as exc:
            raise DeviceError(f"device {self.name}: {name} can't be read ({exc.strerror}). Run it again.") from exc

    def start(self, command: Sequence[str]) -> Process:
        """Start a program."""
        return Process(command, self.name)


def _said(script: str) -> str:
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, errors="replace", check=False)  # noqa: S607
    return ended.stdout
