"""Fetch packages of Debian and npm into folders of the user's cache, with the machine's own apt and npm.

No package is installed on this machine: apt works with lists, a status and a cache of its own.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from mobile_kit.target_api.environments import cache_folder

Fetched = TypeVar("Fetched")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TIMEOUT_S = 300
CONFIGURATION = """APT::Install-Recommends "false";
APT::Sandbox::User "root";
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


class PackageError(Exception):
    """A package can't be had or used here; the message says why."""


def kept(name: str, wanted: object, fetch: Callable[[Path], None]) -> Path:
    """Return a folder of the cache that `fetch` fills on first use, whole or not there.

    name: its path in the cache, such as `apps/kotlin`. wanted: what is in it; what is wanted else is another folder.
    """
    folder = cache_folder() / f"{name}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
            draft = Path(partial, "draft")
            draft.mkdir()
            fetch(draft)
            try:
                draft.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster, and its folder is as good
                    raise
    return folder


def require(what: str, *tools: str) -> None:
    """Check that tools are on the machine. Raises: PackageError."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise PackageError(f"{what} needs {', '.join(missing)}")


def require_root(what: str) -> None:
    """Check that a root folder of an x86-64 machine's programs can be entered. Raises: PackageError."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise PackageError(f"{what} is for Linux on x86-64")
    if os.geteuid() != 0:
        raise PackageError(f"{what} needs root, for a root folder of its own")


def debian(folder: Path, suite: str, packages: Sequence[str]) -> None:
    """Unpack packages of a suite, without what they depend on, into a folder.

    Raises: PackageError where a tool, the suite or a package is missing.
    """
    with archives(folder.parent, (suite,), packages) as found:
        for archive in found:
            unpack(archive, folder)


@contextmanager
def archives(
    place: Path,
    suites: Sequence[str],
    packages: Sequence[str],
    *,
    dependencies: bool = False,
    architectures: Sequence[str] = (),
) -> Iterator[list[Path]]:
    """Download packages, and keep them in a folder at a place for as long as the context lasts. Yields: files.

    dependencies: also what they depend on, but for recommendations. architectures: whose packages are known, and the
    first's are meant where none is named; the machine's own where empty.
    Raises: PackageError where a tool, a suite or a package is missing.
    """
    require("a Debian package", "apt-get", "dpkg-deb", "tar")
    if not KEYRING.is_file():
        raise PackageError(f"a Debian package needs {KEYRING.name}")
    with tempfile.TemporaryDirectory(dir=place, prefix=".apt-") as private:
        state = Path(private)
        found = state / "cache/archives"
        for path in (state / "lists/partial", found / "partial"):
            path.mkdir(parents=True)
        (state / "status").touch()
        mirror = _mirror()
        sources = [f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in suites]
        (state / "sources.list").write_text("".join(sources))
        configuration = CONFIGURATION.format(folder=state)
        if architectures:
            named = " ".join(f'"{each}";' for each in architectures)
            configuration += f'APT::Architecture "{architectures[0]}";\nAPT::Architectures {{ {named} }};\n'
        (state / "apt.conf").write_text(configuration)
        environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf")}
        run(["apt-get", "update", "-q", "--error-on=any"], found, environment)
        wanted = ["install", "-y", "--download-only"] if dependencies else ["download"]
        run(["apt-get", "-q", *wanted, *packages], found, environment)
        yield sorted(found.glob("*.deb"))


def unpack(archive: Path, folder: Path, *options: str) -> None:
    """Unpack a Debian package into a folder, through its links to folders. options: of tar. Raises: PackageError."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as packed:
        command = ["tar", "-x", "--keep-directory-symlink", "-C", folder, *options]
        ended = subprocess.run(command, stdin=packed.stdout, capture_output=True, check=False)
    if packed.returncode or ended.returncode:
        raise PackageError(f"{archive.name} can't be unpacked")


def npm(folder: Path, package: str, members: Sequence[str]) -> None:
    """Unpack some members of a package, NAME@VERSION, into a folder.

    Raises: PackageError where npm, the package or a member is missing.
    """
    require("a package of npm", "npm", "tar")
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".npm-") as private:
        run(["npm", "pack", "--silent", "--cache", f"{private}/cache", package], Path(private))
        (archive,) = Path(private).glob("*.tgz")
        inside = [f"package/{member}" for member in members]
        run(["tar", "-xzf", str(archive), "--strip-components", "1", "-C", str(folder), *inside], Path(private))


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a program in a folder. Raises: PackageError with the program's last word."""
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise PackageError(f"{command[0]} took more than {TIMEOUT_S} s") from exc
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PackageError(f"{command[0]} failed: {last}")


def _mirror() -> str:
    """Return the mirror that this machine's own apt asks."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = [line.split()[0] for line in said.splitlines() if line.endswith(" Debian")]
    if not found:
        raise PackageError("a Debian package needs a mirror, and apt knows none: apt-get update")
    return found[0]


def or_skip(fetch: Callable[[], Fetched]) -> Fetched:
    """Return what is fetched, or skip the test with the reason why it can't be had here."""
    try:
        return fetch()
    except PackageError as exc:
        pytest.skip(str(exc))
