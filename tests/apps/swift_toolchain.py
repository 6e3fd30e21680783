"""Swift's compiler for Linux, in the user's cache: 530 MB to fetch, 600 MB to keep, once.

It is Debian's, of a suite whose C library is newer than many a machine's, so it lives in a root of its own and runs
there, in a private view of the file system that is gone when it ends.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.packages import PackageError, archives, kept, require, require_root, unpack

NAME = "Swift's compiler"
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
LEAST_FREE_BYTES = 6_000_000_000
TIMEOUT_S = 300
# $0: the root; $1: the folder that is seen there as /job; then a command.
ENTER = """mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/job" && shift &&
exec env -i HOME=/job TMPDIR=/job PATH=/usr/libexec/swift/bin:/usr/bin:/usr/sbin chroot "$0" "$@" """


@dataclass(frozen=True)
class Toolchain:
    """A root with the compiler in it."""

    root: Path

    def run(self, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the root, which sees a folder as /job."""
        entering = ["unshare", "--mount", "--", "sh", "-c", ENTER, str(self.root), str(folder), *command]
        return subprocess.run(entering, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


def toolchain() -> Toolchain:
    """Return the compiler, fetched on first use. Raises: PackageError where it can't be had here."""
    require_root(NAME)
    require(NAME, "chroot", "mount", "unshare")
    return Toolchain(kept("apps/swift", (SUITE, PACKAGES, UNNEEDED, PARTS, LEFT_OUT), _fetch))


def _fetch(root: Path) -> None:
    if shutil.disk_usage(root).free < LEAST_FREE_BYTES:
        raise PackageError(f"{NAME} needs {LEAST_FREE_BYTES / 1e9:g} GB of free disk in the cache's folder")
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "job", "proc", "tmp"):
        (root / name).mkdir()
    with archives(root.parent, (SUITE,), PACKAGES, dependencies=True) as found:
        for archive in found:
            if archive.name.startswith(COMPILER):
                unpack(archive, root, *(f"--exclude={each}" for each in LEFT_OUT), "--wildcards", *PARTS)
            elif not archive.name.startswith(UNNEEDED):
                unpack(archive, root, "--exclude=./usr/share")
