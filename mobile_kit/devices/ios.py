"""An iPhone or iPad plugged into this Mac: Xcode's devicectl says what it is.

What times a file on it, coremltools' client, runs on the Mac, and has an app of Apple's on the phone that answers it.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mobile_kit.devices.host import HostDevice
from mobile_kit.devices.state import DeviceState
from mobile_kit.errors import DeviceError, UnsupportedError
from mobile_kit.results import DeviceInfo

__all__ = ["IosDevice"]

# What the app is called that coremltools builds, installs and talks to.
APP = "com.coremltools.modelrunnerd"
# That which an engine finds in its environment: whom to talk to, who signs the app, and where to build it.
UDID, TEAM, FOLDER = "MOBILE_KIT_IOS_UDID", "MOBILE_KIT_IOS_TEAM", "MOBILE_KIT_IOS_FOLDER"
KINDS = ("iPhone", "iPad")
# coremltools puts them into a command line as they are.
PLAIN = re.compile(r"[A-Za-z0-9-]+")
PATIENCE_S = 120.0


class IosDevice(HostDevice):
    """See `devices.Device`. udid: null for the only one. team: that signs the app; null where Xcode has one itself.

    Files and programs stay on the Mac, from where they reach it.
    """

    kind = "ios"
    pins = False

    def __init__(self, udid: str | None, team: str | None) -> None:
        if team is not None and not re.fullmatch("[A-Z0-9]{10}", team):
            raise UnsupportedError(f"team {team!r}: is none of Apple's, such as A1B2C3D4E5. See Xcode's settings.")
        self.name = "ios" if udid is None else f"ios:{udid}"
        self._udid, self._team = udid, team
        self._found: dict[str, Any] = {}

    def __enter__(self) -> "IosDevice":
        tool = self._run("xcrun", "--find", "devicectl").strip()
        self._found = self._chosen(self._listed())
        self._connect()
        udid = self._part("hardwareProperties")["udid"]
        self.name = f"ios:{udid}"
        super().__enter__()
        search = os.pathsep.join([str(Path(tool).parent), os.environ.get("PATH", "")])
        told = {"PATH": search, UDID: udid, TEAM: self._team or "", FOLDER: self.folder}
        self.python = ("env", *(f"{name}={value}" for name, value in told.items()), sys.executable, "-B")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(DeviceError):  # it has been unplugged, or the app never got there
            self._run("xcrun", "devicectl", "device", "uninstall", "app", "--device", self._identifier, APP)
        super().__exit__(kind, exc, trace)

    def describe(self) -> DeviceInfo:
        """Return what it says of itself."""
        device, hardware = self._part("deviceProperties"), self._part("hardwareProperties")
        reality, chip = hardware.get("reality"), hardware.get("cpuType")
        return DeviceInfo(
            self.name,
            self.kind,
            emulated=None if reality is None else reality != "physical",
            os=_text(hardware.get("platform")),
            os_version=_text(device.get("osVersionNumber")),
            manufacturer="Apple",
            model=_text(hardware.get("marketingName")) or _text(hardware.get("productType")),
            abi=_text(chip.get("name")) if isinstance(chip, dict) else None,
        )

    def state(self) -> DeviceState:
        """Return nothing: devicectl doesn't say how warm it is."""
        return DeviceState()

    def big_cores(self) -> tuple[int, ...]:
        """Refuse: Core ML takes the cores that it wants."""
        raise DeviceError(f"device {self.name}: Core ML takes the cores that it wants. Leave --cores out.")

    def install(self, packages: Sequence[str]) -> None:
        """Refuse: the runtime is the system's."""
        raise UnsupportedError("--install: is for a device that lacks a runtime, and Core ML is a part of iOS.")

    @property
    def _identifier(self) -> str:
        return str(self._found["identifier"])

    def _part(self, name: str) -> dict[str, Any]:
        found = self._found.get(name)
        return found if isinstance(found, dict) else {}

    def _listed(self) -> list[dict[str, Any]]:
        """Return the iPhones and iPads that this Mac knows."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "devices.json")
            self._run("xcrun", "devicectl", "list", "devices", "--json-output", str(path))
            try:
                (devices,) = [json.loads(path.read_text(encoding="utf-8"))["result"]["devices"]]
                return [each for each in devices if each["hardwareProperties"]["deviceType"] in KINDS]
            except (OSError, ValueError, LookupError, TypeError) as exc:
                raise DeviceError(
                    f"device {self.name}: devicectl's list isn't known ({exc}). Update Xcode, or the kit."
                ) from exc

    def _chosen(self, devices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        known = {str(each["hardwareProperties"].get("udid")): each for each in devices}
        wanted = [self._udid] if self._udid is not None else list(known)
        if len(wanted) != 1 or wanted[0] not in known:
            listed = ", ".join(f"ios:{udid}" for udid in known) or "none, so plug one in and trust this Mac"
            why = "is ambiguous" if self._udid is None and known else "isn't there"
            raise DeviceError(f"device {self.name}: {why}. Known: {listed}.")
        found = known[wanted[0]]
        if not all(PLAIN.fullmatch(str(word)) for word in (wanted[0], found.get("identifier"))):
            raise DeviceError(f"device {self.name}: devicectl gives it a strange identifier. Update Xcode, or the kit.")
        return found

    def _connect(self) -> None:
        """Let the Mac connect to it, which it does when something is asked of it."""
        if self._part("deviceProperties").get("developerModeStatus") == "disabled":
            raise DeviceError(f"device {self.name}: its developer mode is off. Settings, Privacy, Developer Mode.")
        if self._part("connectionProperties").get("tunnelState") == "connected":
            return
        self._run("xcrun", "devicectl", "device", "info", "details", "--device", self._identifier)
        self._found = self._chosen(self._listed())
        if self._part("connectionProperties").get("tunnelState") != "connected":
            raise DeviceError(f"device {self.name}: isn't connected. Plug it in, unlock it, trust this Mac.")

    def _run(self, *command: str) -> str:
        if shutil.which(command[0]) is None:
            raise DeviceError(f"device {self.name}: {command[0]} isn't here. Use a Mac with Xcode 15 or later.")
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, timeout=PATIENCE_S
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"device {self.name}: devicectl said nothing for {PATIENCE_S:.0f} s. Wake it up, run it again."
            ) from None
        if ended.returncode:
            said = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1].rstrip(".")
            raise DeviceError(f"device {self.name}: {command[0]} failed ({said}). Look at it in Xcode.")
        return ended.stdout


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
