"""What a Linux machine says of itself, this one or one behind a link: read with one `sh` command, parsed here."""

import re
from collections.abc import Mapping

from mobile_kit.measurements.result import DeviceInfo
from mobile_kit.profiling.devices.device import DeviceState

__all__ = ["CLOCKS", "DESCRIBE", "STATE", "big_cores", "described", "is_emulated", "number", "pairs", "state_of"]

# Each prints lines of `key value`; what a machine lacks prints nothing.
DESCRIBE = r"""
echo "system $(uname -s)"; echo "version $(uname -r)"; echo "abi $(uname -m)"
echo "cores $(grep -c ^processor /proc/cpuinfo)"
for file in /proc/device-tree/model /sys/class/dmi/id/product_name; do
    [ -r $file ] && echo "model $(tr -d '\0' < $file)"
done
sed -n 's/^MemTotal: *\([0-9]*\) kB/ram_kb \1/p' /proc/meminfo
sed -n 's/^\(Hardware\|model name\)[[:space:]]*: /soc /p' /proc/cpuinfo | head -n 1
sed -n 's/^PRETTY_NAME="\(.*\)"/os \1/p' /etc/os-release
file=/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
[ -r $file ] && echo "governor $(cat $file)"
# Where a processor is emulated, what a process sees of another is the emulator.
echo "interpreter $(readlink /proc/$$/exe)"
"""
STATE = r"""
for file in /sys/class/thermal/thermal_zone*/temp; do
    [ -r $file ] && echo "zone $(cat $file)"
done 2>/dev/null
file=/sys/devices/platform/soc/soc:firmware/get_throttled
[ -r $file ] && echo "throttled $(cat $file)"
true
"""
# Android's kernel is Linux too.
CLOCKS = r"""
for core in /sys/devices/system/cpu/cpu[0-9]*; do
    file=$core/cpufreq/cpuinfo_max_freq
    [ -r $file ] && echo "${core##*cpu} $(cat $file)"
done
true
"""
LINE = re.compile(r"(\w+) (.+)")
ZONE = re.compile(r"^zone (-?\d{1,9})$", re.MULTILINE | re.ASCII)
CLOCK = re.compile(r"^(\d{1,4}) (\d{1,12})$", re.MULTILINE | re.ASCII)
HEXADECIMAL = re.compile(r"(?:0x)?[0-9a-fA-F]{1,8}")
# What whole machines that are emulated call themselves; a guest on a processor of its own kind is none.
EMULATED = ("linux,dummy-virt", "qemu-system", "ranchu", "goldfish")


def described(said: str, name: str, kind: str) -> DeviceInfo:
    """Return what `DESCRIBE` printed."""
    found = pairs(said)
    ram_kb = number(found.get("ram_kb"))
    return DeviceInfo(
        name=name,
        kind=kind,
        emulated=is_emulated(found),
        os=found.get("os") or found.get("system"),
        os_version=found.get("version"),
        model=found.get("model"),
        soc=found.get("soc"),
        abi=found.get("abi"),
        cores=number(found.get("cores")),
        ram_bytes=None if ram_kb is None else ram_kb * 1024,
        governor=found.get("governor"),
    )


def state_of(said: str) -> DeviceState:
    """Return what `STATE` printed: zones in thousandths of a degree, and a Raspberry Pi's flags."""
    zones = [int(value) / 1000 for value in ZONE.findall(said)]
    flags = pairs(said).get("throttled")
    # https://www.raspberrypi.com/documentation/computers/os.html#get_throttled: bits 1 to 3 are now.
    throttled = bool(int(flags, 16) & 0b1110) if flags and HEXADECIMAL.fullmatch(flags) else None
    return DeviceState(max(zones, default=None), flags, throttled)


def big_cores(said: str) -> tuple[int, ...]:
    """Return the cores in what `CLOCKS` printed with more than the least clock, all where they are alike."""
    clocks = {int(core): int(clock) for core, clock in CLOCK.findall(said)}
    least = min(clocks.values(), default=0)
    return tuple(sorted(core for core, clock in clocks.items() if clock > least)) or tuple(sorted(clocks))


def is_emulated(found: Mapping[str, str]) -> bool | None:
    """Whether a processor is emulated, from `pairs`; None where it can't be told."""
    if any(name in found.get(key, "") for name in EMULATED for key in ("model", "board", "hardware")):
        return True
    interpreter = found.get("interpreter", "").rpartition("/")[2]
    return interpreter.startswith("qemu-") if interpreter else None


def number(text: str | None) -> int | None:
    """Return a number from 0, None for what is none."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,15}", text) else None


def pairs(said: str) -> Mapping[str, str]:
    """Return the first value of each key."""
    found: dict[str, str] = {}
    for line in said.splitlines():
        match = LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match[1], match[2].strip())
    return found
