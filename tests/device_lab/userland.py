"""An arm64 userland of Debian packages and wheels, unpacked into a cache folder: about half a gigabyte, once.

No package is installed on this machine: apt works with lists, a status and a cache of its own.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mobile_kit.environments import cache_folder

SUITES = ("bookworm", "trixie")  # python3.11 is in the first, adbd in the second
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
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
TOOLS = ["apt-get", "chroot", "dpkg-deb", "ip", "mount", "nsenter", "setpriv", "ssh", "ssh-keygen", "tar", "unshare"]
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
CONFIGURATION = """APT::Architecture "arm64";
APT::Architectures {{ "arm64"; "amd64"; }};
APT::Install-Recommends "false";
Acquire::Languages "none";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""


class LabError(Exception):
    """This machine can't have the lab; the message says why."""


def userland() -> Path:
    """Return the folder with `root`, `emulator` and a folder of wheels each for `LITERT` and `OLD`.

    Raises: LabError where a tool, a right or a package is missing.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise LabError("the device lab is for Linux on x86-64")
    if os.geteuid() != 0:
        raise LabError("the device lab needs root")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or not KEYRING.is_file():
        raise LabError(f"the device lab needs {', '.join(missing) or KEYRING}")
    said = repr((SUITES, PACKAGES, WHEELS, CPU, Path(__file__).read_text(encoding="utf-8")))
    folder = cache_folder() / "device-lab" / hashlib.sha256(said.encode()).hexdigest()[:16]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
            _build(Path(partial, "lab"))
            Path(partial, "lab").rename(folder)
    return folder


def _build(folder: Path) -> None:
    folder.mkdir()
    archives = _download(folder / "apt")
    root = folder / "root"
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in archives:
        _unpack(archive, root if archive.name.endswith(("_arm64.deb", "_all.deb")) else folder / "emulator")
    shutil.rmtree(folder / "apt")
    for name, wheels in WHEELS.items():
        platforms = [part for each in PLATFORMS for part in ("--platform", f"{each}_aarch64")]
        _run(
            *(sys.executable, "-m", "pip", "install", "-q", "--target", str(folder / name), "--no-compile"),
            *("--python-version", "3.11", "--only-binary=:all:", *platforms, *wheels),
        )
    _furnish(root)


def _download(folder: Path) -> list[Path]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    mirror = _mirror()
    sources = [f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in SUITES]
    (folder / "sources.list").write_text("".join(sources))
    (folder / "apt.conf").write_text(CONFIGURATION.format(folder=folder))
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    _run("apt-get", "update", "-q", environment=environment)
    wanted = [*PACKAGES, f"{EMULATOR}:amd64/{SUITES[0]}"]
    _run("apt-get", "install", "-y", "-q", "--download-only", *wanted, environment=environment)
    return sorted((folder / "cache/archives").glob("*.deb"))


def _mirror() -> str:
    """Return the mirror that this machine's own apt asks."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = [line.split()[0] for line in said.splitlines() if line.endswith(" Debian")]
    if not found:
        raise LabError("the device lab needs a Debian mirror, and apt knows none: apt-get update")
    return found[0]


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as packed:
        command = ["tar", "-x", "--keep-directory-symlink", "-C", folder]
        ended = subprocess.run(command, stdin=packed.stdout, capture_output=True, check=False)
    if packed.returncode or ended.returncode:
        raise LabError(f"{archive.name} can't be unpacked")


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LabError(f"{command[0]} failed: {last}")


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
