"""What a Linux machine says of itself, this one or one behind a link: read with one `sh` command, parsed here."""

import re
from collections.abc import Mapping

from mobile_kit.devices.state import DeviceState
from mobile_kit.results import DeviceInfo

__all__ = ["CLOCKS", "DESCRIBE", "STATE", "big_cores", "described", "pairs", "state_of"]

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


def described(said: str, name: str, kind: str) -> DeviceInfo:
    """Return what `DESCRIBE` printed."""
    found = pairs(said)
    cores, ram_kb = found.get("cores", ""), found.get("ram_kb", "")
    return DeviceInfo(
        name=name,
        kind=kind,
        emulated=found.get("interpreter", "").rpartition("/")[2].startswith("qemu-"),
        os=found.get("os") or found.get("system"),
        os_version=found.get("version"),
        model=found.get("model"),
        soc=found.get("soc"),
        abi=found.get("abi"),
        cores=int(cores) if cores.isdigit() else None,
        ram_bytes=int(ram_kb) * 1024 if ram_kb.isdigit() else None,
        governor=found.get("governor"),
    )


def state_of(said: str) -> DeviceState:
    """Return what `STATE` printed: zones in thousandths of a degree, and a Raspberry Pi's flags."""
    zones = [int(match[2]) / 1000 for match in map(LINE.fullmatch, said.splitlines()) if match and match[1] == "zone"]
    flags = pairs(said).get("throttled")
    # https://www.raspberrypi.com/documentation/computers/os.html#get_throttled: bits 1 and 2 are now.
    throttled = bool(int(flags, 16) & 0b110) if flags else None
    return DeviceState(max(zones, default=None), flags, throttled)


def big_cores(said: str) -> tuple[int, ...]:
    """Return the cores in what `CLOCKS` printed with more than the least clock, all where they are alike."""
    clocks = {int(core): int(clock) for core, clock in pairs(said).items() if core.isdigit() and clock.isdigit()}
    least = min(clocks.values(), default=0)
    return tuple(sorted(core for core, clock in clocks.items() if clock > least)) or tuple(sorted(clocks))


def pairs(said: str) -> Mapping[str, str]:
    """Return the first value of each key."""
    found: dict[str, str] = {}
    for line in said.splitlines():
        match = LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match[1], match[2].strip())
    return found
