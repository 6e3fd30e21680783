"""An iPhone or iPad plugged into this Mac: Xcode's devicectl says what it is.

What times a file on it, coremltools' client, runs on the Mac, and has an app of Apple's on the phone that answers it.
"""

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

from mobile_kit.errors import DeviceError, UnsupportedError, one_line, tool_reason
from mobile_kit.measurements.result import DeviceInfo
from mobile_kit.profiling.devices.device import DeviceState
from mobile_kit.profiling.devices.host import HostDevice
from mobile_kit.reading import read_json_object

__all__ = ["IosDevice"]

# What the app on the phone is called: Apple lets one team have a name, so coremltools' own is no use.
APP = "com.mobilekit.modelrunner.{team}"
# That which an engine finds in its environment: whom to talk to, who signs the app, what it is called, where to build.
UDID, TEAM, NAME, FOLDER = (f"MOBILE_KIT_IOS_{word}" for word in ("UDID", "TEAM", "APP", "FOLDER"))
KINDS = ("iPhone", "iPad")
# coremltools puts them into a command line as they are.
PLAIN = re.compile(r"[A-Za-z0-9-]+")
# devicectl shows an app's output, and coremltools' app is in the format, of this Xcode; the app is for this iOS.
XCODE, IOS = 16, 17
PATIENCE_S, LEAVE_S = 120.0, 30.0


class IosDevice(HostDevice):
    """See `devices.Device`. udid: None for the only one. team: Apple's development team that signs the app.

    Files and programs stay on the Mac, from where they reach it.
    """

    kind = "ios"
    pins = False
    one_at_a_time = True
    shares_our_cpu = False
    starts_programs = False
    # A call takes a second or more to get there and back: the number of calls alone counts.
    default_seconds = (0.0, 900.0)
    untimed = "an iPhone runs it in an app alone"

    def __init__(self, udid: str | None, team: str | None) -> None:
        if team is None:
            raise UnsupportedError(
                "device ios: an app is signed before it runs there. Give your team: --team A1B2C3D4E5"
            )
        if not re.fullmatch("[A-Z0-9]{10}", team):
            raise UnsupportedError(f"team {team!r}: is none of Apple's, such as A1B2C3D4E5. See Xcode's settings.")
        self.name = "ios" if udid is None else f"ios:{udid}"
        self._udid, self._team, self._app = udid, team, APP.format(team=team.lower())
        self._found: dict[str, Any] = {}

    def __enter__(self) -> "IosDevice":
        tool = self._tool()
        self._found = self._chosen(self._listed())
        self._connect()
        udid = self._part("hardwareProperties")["udid"]
        self.name = f"ios:{udid}"
        super().__enter__()
        search = os.pathsep.join([str(Path(tool).parent), os.environ.get("PATH", "")])
        ours = {UDID: udid, TEAM: self._team, NAME: self._app, FOLDER: self.folder}
        # What coremltools leaves in the folder for temporary files goes with ours.
        told = {"PATH": search, "TMPDIR": self.folder, **ours}
        self.python = ("env", *(f"{name}={value}" for name, value in told.items()), sys.executable, "-B")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        gone = ("xcrun", "devicectl", "device", "uninstall", "app", "--device", self._identifier, self._app)
        try:
            self._run(*gone, patience_s=LEAVE_S)
        except DeviceError as failed:
            sys.stderr.write(f"note: the app {self._app}, if it got there, is still on the phone: {failed}\n")
        finally:
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
        """Refuse: nothing can be kept on some cores."""
        raise DeviceError(f"device {self.name}: doesn't tell its cores' clocks. Leave --cores out.")

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
                devices = read_json_object(path)["result"]["devices"]
                # Those of a Mac's past are in the list too, some with nothing known of them.
                return [each for each in devices if (each.get("hardwareProperties") or {}).get("deviceType") in KINDS]
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
                raise DeviceError(
                    f"device {self.name}: devicectl's list isn't known ({one_line(exc)}). Update Xcode, or the kit."
                ) from exc

    def _chosen(self, devices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        known = {str(udid): each for each in devices if (udid := each["hardwareProperties"].get("udid"))}
        here = [udid for udid, each in known.items() if _tunnel(each) != "unavailable"]
        wanted = [self._udid] if self._udid is not None else here
        if len(wanted) != 1 or wanted[0] not in known:
            listed = ", ".join(f"ios:{udid}" for udid in known) or "none, so plug one in and trust this Mac"
            why = "is ambiguous" if self._udid is None and here else "isn't there"
            raise DeviceError(f"device {self.name}: {why}. Known: {listed}.")
        found = known[wanted[0]]
        if not all(PLAIN.fullmatch(str(word)) for word in (wanted[0], found.get("identifier"))):
            raise DeviceError(f"device {self.name}: devicectl gives it a strange identifier. Update Xcode, or the kit.")
        return found

    def _connect(self) -> None:
        """Let the Mac connect to it, which it does when something is asked of it."""
        properties = self._part("deviceProperties")
        if properties.get("developerModeStatus") == "disabled":
            raise DeviceError(f"device {self.name}: its developer mode is off. Settings, Privacy, Developer Mode.")
        version = _first_number(str(properties.get("osVersionNumber")))
        if version is not None and version < IOS:
            raise DeviceError(f"device {self.name}: coremltools' app is for iOS {IOS} and later. Update it.")
        self._run("xcrun", "devicectl", "device", "info", "details", "--device", self._identifier)
        self._found = self._chosen(self._listed())
        if _tunnel(self._found) != "connected":
            raise DeviceError(f"device {self.name}: isn't connected. Plug it in, unlock it, trust this Mac.")

    def _tool(self) -> str:
        """Return the path of devicectl. Raises: DeviceError where there is no Xcode that is new enough."""
        wanted = f"Use a Mac with Xcode {XCODE} or later, chosen with xcode-select."
        if shutil.which("xcrun") is None:
            raise DeviceError(f"device {self.name}: xcrun isn't here. {wanted}")
        try:
            tool = self._run("xcrun", "--find", "devicectl").strip()
            version = _first_number(self._run("xcodebuild", "-version"))
        except DeviceError as exc:
            raise DeviceError(f"device {self.name}: there is no whole Xcode. {wanted}") from exc
        if version is None or version < XCODE:
            raise DeviceError(f"device {self.name}: this Xcode is too old, or of an unknown version. {wanted}")
        return tool

    def _run(self, *command: str, patience_s: float = PATIENCE_S) -> str:
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, timeout=patience_s
            )
        except OSError as exc:
            raise DeviceError(f"device {self.name}: {command[0]} can't be started ({exc.strerror}).") from exc
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"device {self.name}: devicectl said nothing for {patience_s:.0f} s. Wake it up, run it again."
            ) from None
        if ended.returncode:
            raise DeviceError(
                f"device {self.name}: {command[0]} failed ({tool_reason(ended.stderr)}). Look at it in Xcode."
            )
        return ended.stdout


def _tunnel(found: dict[str, Any]) -> object:
    connection = found.get("connectionProperties")
    return connection.get("tunnelState") if isinstance(connection, dict) else None


def _first_number(text: str) -> int | None:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
