"""An arm64 userland of Debian packages and wheels, unpacked into a cache folder: about half a gigabyte, once."""

import os
import sys
from pathlib import Path

from tests.packages import archives, kept, require, require_root, run, unpack

NAME = "the device lab"
SUITES = ("bookworm", "trixie")  # python3.11 is in the first, adbd in the second
PACKAGES = (
    "adbd",
    "coreutils",
    "dash",
    "grep",
    "libgomp1",
    "libpython3.11-stdlib",
    "libstdc++6",
    "openssh-server",
    "procps",
    "python3.11-minimal",
    "sed",
)
# What runs them here; statically linked.
EMULATOR = "qemu-user-static"
LITERT, OLD = "litert", "tflite-runtime"
WHEELS = {LITERT: ("ai-edge-litert==2.3.0", "pip==25.3"), OLD: ("tflite-runtime==2.14.0", "numpy<2")}
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
TOOLS = ("chroot", "ip", "mount", "nsenter", "setpriv", "ssh", "ssh-keygen", "unshare")
ARCHITECTURES = ("arm64", "amd64")
# An x86's /proc/cpuinfo makes arm64 libraries stumble: this is what a Cortex-A76 says of itself.
CPU = """processor\t: {number}
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""


def userland() -> Path:
    """Return the folder with `root`, `emulator` and a folder of wheels each for `LITERT` and `OLD`.

    Raises: PackageError where a tool, a right or a package is missing.
    """
    require_root(NAME)
    require(NAME, *TOOLS)
    return kept("device-lab/userland", Path(__file__).read_text(encoding="utf-8"), _build)


def _build(folder: Path) -> None:
    root = folder / "root"
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    wanted = [*PACKAGES, f"{EMULATOR}:amd64/{SUITES[0]}"]
    with archives(folder.parent, SUITES, wanted, dependencies=True, architectures=ARCHITECTURES) as found:
        for archive in found:
            unpack(archive, root if archive.name.endswith(("_arm64.deb", "_all.deb")) else folder / "emulator")
    for name, wheels in WHEELS.items():
        platforms = [part for each in PLATFORMS for part in ("--platform", f"{each}_aarch64")]
        pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder / name), "--no-compile"]
        run([*pip, "--python-version", "3.11", "--only-binary=:all:", *platforms, *wheels], folder)
    _furnish(root)


def _furnish(root: Path) -> None:
    """Add what the maintainers' scripts would have, places to mount things at, and a phone's own commands."""
    for name in ("dev", "proc", "sys", "tmp", "run", "root", "opt", "data/local/tmp", "etc/ssh", "var/empty"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "usr/bin/python3").symlink_to("python3.11")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/os-release").write_text('PRETTY_NAME="Device lab (Debian)"\n')
    (root / "cpuinfo").write_text("".join(CPU.format(number=number) for number in range(os.cpu_count() or 1)))
    for name, script in COMMANDS.items():
        path = root / "usr/local/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)


COMMANDS = {
    "getprop": """case "$1" in
ro.build.version.release) echo 15;; ro.build.version.sdk) echo 35;;
ro.product.manufacturer) echo Device lab;; ro.product.model) echo '<b>Phone</b> of the lab';;
ro.soc.model) echo QEMU;; ro.product.cpu.abi) echo arm64-v8a;; *) echo;;
esac
""",
    "dumpsys": """case "$1" in
battery) printf '  AC powered: false\\n  status: 3\\n  level: 81\\n  temperature: 287\\n';;
thermalservice) printf 'Thermal Status: 0\\nCurrent temperatures from HAL:\\n'
    printf '\\tTemperature{mValue=36.5, mType=0, mName=CPU0, mStatus=0}\\n';;
esac
""",
}
