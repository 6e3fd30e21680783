"""Machines that a file can be timed on, seen alike: describe, put, run, get, clean up.

A device knows nothing of a target: what is run there, and what its output means, comes with the call.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from mobile_kit.devices.state import DeviceState
from mobile_kit.errors import UnsupportedError, unknown
from mobile_kit.results import DeviceInfo

__all__ = ["KINDS", "Device", "DeviceState", "Running", "open_device"]

KINDS = ("host", "adb", "ssh", "ios")


class Running(Protocol):
    """A program that runs on a device. pid: the number of its process on this machine, null where it has none."""

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

    name: of its kind and which one. pins: whether a program there can be kept on some cores. python: how a Python is
    started there, null where there is none. folder: the path of our folder there.
    """

    name: str
    kind: str
    pins: bool
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


def open_device(name: str, team: str | None = None) -> Device:
    """Return a device by its name: host, adb, adb:SERIAL, ssh:HOST, ios or ios:UDID.

    team: Apple's development team that signs what is put on an iPhone.
    Raises: UnsupportedError for another.
    """
    kind, _, which = name.partition(":")
    nothing = name.endswith(":")
    if kind not in KINDS or (kind == "host" and which) or (kind == "ssh" and not which) or nothing:
        raise unknown("device", name, ("host", "adb", "adb:SERIAL", "ssh:HOST", "ios", "ios:UDID"))
    if kind == "ios":
        from mobile_kit.devices.ios import IosDevice

        return IosDevice(which or None, team)
    if team is not None:
        raise UnsupportedError(f"--team: is for device ios, not {name!r}. Leave it out.")
    if kind == "host":
        from mobile_kit.devices.host import HostDevice

        return HostDevice()
    if kind == "adb":
        from mobile_kit.devices.adb import AdbDevice

        return AdbDevice(which or None)
    from mobile_kit.devices.ssh import SshDevice

    return SshDevice(which)
