"""Swift's compiler for Linux, in the user's cache: 530 MB to fetch, 600 MB to keep, once.

It is Debian's, of a suite whose C library is newer than many a machine's, so it lives in a root of its own and runs
there, in a private view of the file system that is gone when it ends. No package is installed on this machine.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mobile_kit.environments import cache_folder

SUITE = "trixie"
PACKAGES = ("swiftlang", "binutils-gold", "libc6-dev")
# What these depend on and no compiler needs: C's compiler, its sanitizers, the debugger's Python.
UNNEEDED = ("cpp-14-", "gcc-14-x86", "libasan", "libhwasan", "liblsan", "libpython", "libtsan", "libubsan", "tzdata")
COMPILER = "swiftlang_"
# A compiler's package has a debugger, a language server and libraries for other machines too: 1.9 GB.
SWIFT = "./usr/libexec/swift"
PARTS = (
    *(f"{SWIFT}/bin/{name}" for name in ("clang", "clang-17", "swift", "swift-autolink-extract", "swift-driver")),
    *(f"{SWIFT}/bin/{name}" for name in ("swift-frontend", "swift-package", "swiftc")),
    *(f"{SWIFT}/lib/swift/{name}" for name in ("Block", "CoreFoundation", "_*", "clang", "dispatch", "os", "shims")),
    *(f"{SWIFT}/lib/swift/{name}" for name in ("host/*.so", "host/plugins", "linux", "pm")),
    *("./usr/bin/swift*", "./usr/lib/swift", f"{SWIFT}/lib/clang/17/include"),
)
LEFT_OUT = ("*.swiftdoc", "*lib_InternalSwiftScan.so")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = ("apt-get", "chroot", "dpkg-deb", "mount", "tar", "unshare")
LEAST_FREE_BYTES = 6_000_000_000
TIMEOUT_S = 300
CONFIGURATION = """APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
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
# $0: the root; $1: the folder that is seen there as /job; then a command.
ENTER = """mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/job" && shift &&
exec env -i HOME=/job TMPDIR=/job PATH=/usr/libexec/swift/bin:/usr/bin:/usr/sbin chroot "$0" "$@" """


class SwiftError(Exception):
    """Swift can't be had here; the message says why."""


@dataclass(frozen=True)
class Toolchain:
    """A root with the compiler in it."""

    root: Path

    def run(self, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the root, which sees a folder as /job."""
        entering = ["unshare", "--mount", "--", "sh", "-c", ENTER, str(self.root), str(folder), *command]
        return subprocess.run(entering, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


def toolchain() -> Toolchain:
    """Return the compiler, fetched on first use. Raises: SwiftError where it can't be had here."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SwiftError("Swift's compiler is fetched for Linux on x86-64")
    if os.geteuid() != 0:
        raise SwiftError("Swift's compiler needs root, for a root folder of its own")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or not KEYRING.is_file():
        raise SwiftError(f"Swift's compiler needs {', '.join(missing) or KEYRING.name}")
    said = repr((SUITE, PACKAGES, UNNEEDED, PARTS, LEFT_OUT))
    folder = cache_folder() / "apps" / f"swift-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder.parent).free < LEAST_FREE_BYTES:
            raise SwiftError(f"Swift's compiler needs {LEAST_FREE_BYTES / 1e9:g} GB of free disk in {folder.parent}")
        _fetch(folder)
    return Toolchain(folder)


def _fetch(folder: Path) -> None:
    """Fill a folder, whole or not there."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
        root, apt = Path(partial, "root"), Path(partial, "apt")
        for name in ("bin", "lib", "lib64", "sbin"):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for name in ("dev", "job", "proc", "tmp"):
            (root / name).mkdir()
        for archive in _download(apt):
            if archive.name.startswith(COMPILER):
                _unpack(archive, root, *(f"--exclude={each}" for each in LEFT_OUT), "--wildcards", *PARTS)
            elif not archive.name.startswith(UNNEEDED):
                _unpack(archive, root, "--exclude=./usr/share")
        try:
            root.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, and its folder is as good
                raise


def _download(folder: Path) -> list[Path]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {SUITE} main\n")
    (folder / "apt.conf").write_text(CONFIGURATION.format(folder=folder))
    for command in (["update"], ["install", "-y", "--download-only", *PACKAGES]):
        environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
        try:
            ended = subprocess.run(
                ["apt-get", "-q", *command],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as exc:
            raise SwiftError(f"apt-get {command[0]} took more than {TIMEOUT_S} s") from exc
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SwiftError(f"apt-get {command[0]} failed: {last}")
    return sorted((folder / "cache/archives").glob("*.deb"))


def _mirror() -> str:
    """Return the mirror that this machine's own apt asks."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = [line.split()[0] for line in said.splitlines() if line.endswith(" Debian")]
    if not found:
        raise SwiftError("Swift's compiler needs a Debian mirror, and apt knows none: apt-get update")
    return found[0]


def _unpack(archive: Path, folder: Path, *options: str) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as packed:
        command = ["tar", "-x", "--keep-directory-symlink", "-C", folder, *options]
        ended = subprocess.run(command, stdin=packed.stdout, capture_output=True, check=False)
    if packed.returncode or ended.returncode:
        raise SwiftError(f"{archive.name} can't be unpacked")
