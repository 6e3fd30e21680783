"""Fetch packages of Debian and npm into a folder, with the machine's own apt and npm, and without installing any."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
    """A package can't be had here; the message says why."""


def debian(folder: Path, suite: str, packages: Sequence[str]) -> None:
    """Unpack packages of a suite, without what they depend on, into a folder.

    Raises: PackageError where a tool, the suite or a package is missing.
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing or not KEYRING.is_file():
        raise PackageError(f"Debian's packages need {', '.join(missing) or KEYRING.name}")
    with tempfile.TemporaryDirectory() as private:
        state = Path(private)
        for name in ("lists/partial", "cache/archives/partial", "archives"):
            (state / name).mkdir(parents=True)
        (state / "status").touch()
        (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
        (state / "apt.conf").write_text(CONFIGURATION.format(folder=state))
        environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf")}
        _run(["apt-get", "update", "-q", "--error-on=any"], state, environment)
        _run(["apt-get", "download", "-q", *packages], state / "archives", environment)
        for archive in sorted((state / "archives").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(archive), str(folder)], state)


def npm(folder: Path, package: str, members: Sequence[str]) -> None:
    """Unpack some members of a package, NAME@VERSION, into a folder.

    Raises: PackageError where npm, the package or a member is missing.
    """
    if shutil.which("npm") is None:
        raise PackageError("npm's packages need npm")
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as private:
        _run(["npm", "pack", "--silent", "--cache", f"{private}/cache", package], Path(private))
        (archive,) = Path(private).glob("*.tgz")
        inside = [f"package/{member}" for member in members]
        _run(["tar", "-xzf", str(archive), "--strip-components", "1", "-C", str(folder), *inside], Path(private))


def _mirror() -> str:
    """Return the mirror that this machine's own apt asks."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = [line.split()[0] for line in said.splitlines() if line.endswith(" Debian")]
    if not found:
        raise PackageError("Debian's packages need a mirror, and apt knows none: apt-get update")
    return found[0]


def _run(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise PackageError(f"{command[0]} took more than {TIMEOUT_S} s") from exc
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PackageError(f"{command[0]} failed: {last}")
