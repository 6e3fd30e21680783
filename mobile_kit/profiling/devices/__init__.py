"""Where files can be measured: this machine, phones and boards."""

from mobile_kit.errors import UnsupportedError, unknown
from mobile_kit.profiling.devices.device import Device

__all__ = ["KINDS", "open_device"]

KINDS = ("host", "adb", "ssh", "ios")


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
        from mobile_kit.profiling.devices.ios import IosDevice

        return IosDevice(which or None, team)
    if team is not None:
        raise UnsupportedError(f"--team: is for device ios, not {name!r}. Leave it out.")
    if kind == "host":
        from mobile_kit.profiling.devices.host import HostDevice

        return HostDevice()
    if kind == "adb":
        from mobile_kit.profiling.devices.adb import AdbDevice

        return AdbDevice(which or None)
    from mobile_kit.profiling.devices.ssh import SshDevice

    return SshDevice(which)
