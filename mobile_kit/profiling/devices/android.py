"""What an Android device says of itself, through getprop and dumpsys: read with one `sh` command, parsed here."""

import re

from mobile_kit.measurements.result import DeviceInfo
from mobile_kit.profiling.devices.device import DeviceState
from mobile_kit.profiling.devices.linux import is_emulated, number, pairs

__all__ = ["DESCRIBE", "STATE", "described", "state_of"]

# Each prints lines of `key value`; what a device lacks prints nothing behind its key.
DESCRIBE = r"""
echo "version $(getprop ro.build.version.release)"; echo "sdk $(getprop ro.build.version.sdk)"
echo "manufacturer $(getprop ro.product.manufacturer)"; echo "model $(getprop ro.product.model)"
echo "soc $(getprop ro.soc.model)"; echo "board $(getprop ro.board.platform)"; echo "abi $(getprop ro.product.cpu.abi)"
echo "qemu $(getprop ro.kernel.qemu)$(getprop ro.boot.qemu)"; echo "machine $(uname -m)"
echo "cores $(grep -c ^processor /proc/cpuinfo)"
sed -n 's/^MemTotal: *\([0-9]*\) kB/ram_kb \1/p' /proc/meminfo
# Where a processor is emulated, what a process sees of another is the emulator.
echo "interpreter $(readlink /proc/$$/exe)"
dumpsys battery 2>/dev/null | sed -n -e 's/^ *level: /battery_level /p' -e 's/^ *status: /battery_status /p'
true
"""
STATE = r"""
dumpsys thermalservice 2>/dev/null
echo; echo Battery:
dumpsys battery 2>/dev/null
"""
# https://developer.android.com/reference/android/os/PowerManager: THERMAL_STATUS_*; from moderate on the clock is held
# back.
STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
MODERATE = 2
# https://developer.android.com/reference/android/os/BatteryManager: BATTERY_STATUS_*.
CHARGING = {"2": True, "3": False, "4": False, "5": True}
TEMPERATURE = re.compile(r"Temperature\{mValue=(-?\d+(?:\.\d+)?), mType=-?\d+, mName=", re.ASCII)
# A device says here what its sensors read now, and above what they were at its last change.
NOW = "Current temperatures from HAL:"


def described(said: str, name: str) -> DeviceInfo:
    """Return what `DESCRIBE` printed."""
    found = pairs(said)
    level, ram_kb, cores = (number(found.get(key)) for key in ("battery_level", "ram_kb", "cores"))
    version, sdk = found.get("version"), found.get("sdk")
    return DeviceInfo(
        name=name,
        kind="adb",
        emulated="1" in found.get("qemu", "") or is_emulated(found),
        os="Android",
        os_version=f"{version} (API {sdk})" if version and sdk else version,
        manufacturer=found.get("manufacturer"),
        model=found.get("model"),
        soc=found.get("soc") or found.get("board"),
        abi=found.get("abi") or found.get("machine"),
        cores=cores,
        ram_bytes=None if ram_kb is None else ram_kb * 1024,
        battery_percent=level,
        charging=CHARGING.get(found.get("battery_status", "")),
    )


def state_of(said: str) -> DeviceState:
    """Return what `STATE` printed: the hottest sensor, the battery where no other is known, and the thermal status."""
    thermal, _, battery = said.partition("\nBattery:")
    current = thermal.partition(NOW)[2] or thermal
    degrees = [float(value) for value in TEMPERATURE.findall(current)]
    tenths = re.search(r"^\s*temperature: (\d+)", battery, re.MULTILINE | re.ASCII)
    if not degrees and tenths:
        degrees = [int(tenths[1]) / 10]
    status = re.search(r"Thermal Status: (\d+)", thermal, re.ASCII)
    level = int(status[1]) if status else None
    return DeviceState(
        max(degrees, default=None),
        None if level is None else STATUSES[level] if level < len(STATUSES) else str(level),
        None if level is None else level >= MODERATE,
    )
