"""The machine that the kit runs on."""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mobile_kit.devices.linux import DESCRIBE, STATE, described, state_of
from mobile_kit.devices.process import Process
from mobile_kit.devices.state import DeviceState
from mobile_kit.errors import DeviceError
from mobile_kit.results import DeviceInfo

__all__ = ["HostDevice"]


class HostDevice:
    """See `devices.Device`. Files are copied, as a device's are: a program must not change the artifact's."""

    name = kind = "host"
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

    def put(self, path: Path, name: str) -> str:
        """Copy a file into our folder."""
        place = Path(self.folder, name)
        try:
            if path.is_dir():
                shutil.copytree(path, place)
            else:
                shutil.copyfile(path, place)
        except OSError as exc:
            raise DeviceError(f"device host: {name} can't be put into {self.folder} ({exc.strerror}).") from exc
        return str(place)

    def get(self, name: str, path: Path) -> None:
        """Copy a file of our folder."""
        try:
            shutil.copyfile(Path(self.folder, name), path)
        except OSError as exc:
            raise DeviceError(f"device host: {name} can't be read ({exc.strerror}). Run it again.") from exc

    def start(self, command: Sequence[str]) -> Process:
        """Start a program."""
        return Process(command, self.name)


def _said(script: str) -> str:
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, errors="replace", check=False)  # noqa: S607
    return ended.stdout
