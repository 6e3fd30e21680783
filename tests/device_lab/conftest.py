"""The lab's devices, skipped with the reason where this machine can't have them."""

import compileall
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.device_lab.machine import NETWORK, Emulator, LabError, Machine
from tests.device_lab.userland import LITERT, userland
from tests.packages import PackageError

SSHD = """Port 22
HostKey /run/keys/host
AuthorizedKeysFile /run/keys/id.pub
StrictModes no
UsePAM no
SetEnv QEMU_CPU=cortex-a76 PYTHONPATH=/opt
PidFile none
"""
SSH = """Host {network}.*
    User root
    IdentityFile {keys}/id
    IdentitiesOnly yes
    UserKnownHostsFile {keys}/known_hosts-%h
"""
ADB_PORT, ADBD_PORT = 15037, 15577
READY_S = 60
# The lab's Python, and its folders of modules.
PYTHON, MODULES = (3, 11), ("root/usr/lib/python3.11", LITERT)


@dataclass(frozen=True)
class Place:
    """A device of the lab. name: as `--device` takes it. base: where our folder is made there. link: its programs."""

    machine: Machine
    name: str
    base: str
    link: tuple[str, ...]

    def left(self) -> list[str]:
        """What is in the folder where ours is made, and which programs of ours run."""
        files = [path.name for path in self.machine.path(self.base).iterdir()]
        return files + [line for line in self.machine.processes().values() if "runner.py" in line]

    def cut(self) -> None:
        """Kill what links it to here."""
        for name in self.link:
            self.machine.kill(name)


@dataclass
class Lab:
    """Makes devices."""

    userland: Path
    keys: Path
    adb: str | None

    @contextmanager
    def board(self, wheels: str = LITERT, room: str = "512m") -> Iterator[Place]:
        """A Linux board behind ssh."""
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", "/run/keys/sshd_config"]
        with self._machine(command, wheels, room) as machine:
            host = (self.keys / "host.pub").read_text().split()[:2]
            self.known_hosts(machine).write_text(" ".join([machine.address, *host]) + "\n")
            machine.until(lambda: self._says("ssh", "-o", "BatchMode=yes", machine.address, "true") is not None)
            yield Place(machine, f"ssh:{machine.address}", "/tmp", ("sshd-session",))  # noqa: S108

    def known_hosts(self, machine: Machine) -> Path:
        """Return the file of the key that a board must have."""
        return self.keys / f"known_hosts-{machine.address}"

    @contextmanager
    def phone(self, room: str = "512m") -> Iterator[Place]:
        """A phone behind adb."""
        if self.adb is None:
            pytest.skip("there is no adb: adbutils would bring one")
        with self._machine(["/usr/lib/android-sdk/platform-tools/adbd"], LITERT, room) as machine:
            serial = f"{machine.address}:{ADBD_PORT}"
            machine.until(lambda: "connected to" in (self._says(self.adb, "connect", serial) or ""))
            machine.until(lambda: f"{serial}\tdevice" in (self._says(self.adb, "devices") or ""))
            yield Place(machine, f"adb:{serial}", "/data/local/tmp", ("adbd",))
            self._says(self.adb, "disconnect", serial)

    @contextmanager
    def _machine(self, command: list[str], wheels: str, room: str) -> Iterator[Machine]:
        try:
            machine = Machine(self.userland, wheels, self.keys, command, room)
        except LabError as exc:
            pytest.skip(str(exc))
        try:
            yield machine
        except LabError as exc:
            pytest.fail(str(exc))
        finally:
            machine.close()

    @staticmethod
    def _says(*command: str | None) -> str | None:
        """Return what a command writes, None where it fails."""
        try:
            ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=READY_S)
        except subprocess.TimeoutExpired:
            return None
        return ended.stdout if ended.returncode == 0 else None


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    try:
        place = userland()
        emulator = Emulator(place)
    except (LabError, PackageError) as exc:
        pytest.skip(str(exc))
    _compile(place)
    try:
        yield from _furnished(place, tmp_path_factory.mktemp("keys"))
    finally:
        emulator.close()


def _compile(place: Path) -> None:
    """Compile the lab's modules where this Python is its: there, all that is imported would be compiled each time."""
    if sys.version_info[:2] == PYTHON:
        for name in MODULES:
            compileall.compile_dir(place / name, quiet=2)


def _furnished(place: Path, keys: Path) -> Iterator[Lab]:
    for name in ("id", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    (keys / "sshd_config").write_text(SSHD)
    (keys / "ssh_config").write_text(SSH.format(network=NETWORK, keys=keys))
    (keys / "bin").mkdir()
    (keys / "bin/ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {keys}/ssh_config "$@"\n')
    (keys / "bin/ssh").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(keys / "bin"), prepend=":")
        # A server of our own: not the user's, whose devices aren't ours.
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(ADB_PORT))
        patch.setenv("HOME", str(keys))
        adb = _adb()
        try:
            yield Lab(place, keys, adb)
        finally:
            if adb:
                subprocess.run([adb, "kill-server"], capture_output=True, check=False)


def _adb() -> str | None:
    try:
        from adbutils import AdbError, adb_path
    except ImportError:
        return None
    try:
        return str(adb_path())
    except AdbError:
        return None


KINDS = ("ssh", "adb")


@pytest.fixture(params=KINDS)
def device(request: pytest.FixtureRequest, lab: Lab) -> Callable[..., AbstractContextManager[Place]]:
    """Makes a board, or a phone."""
    return {"ssh": lab.board, "adb": lab.phone}[request.param]


@pytest.fixture(scope="module", params=KINDS)
def machine(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Place]:
    """A board, or a phone."""
    with {"ssh": lab.board, "adb": lab.phone}[request.param]() as place:
        yield place


@pytest.fixture
def place(machine: Place) -> Iterator[Place]:
    """A board, or a phone, for tests that leave it as it was."""
    yield machine
    wait(lambda: not machine.left())


def wait(done: Callable[[], bool], seconds: float = READY_S) -> None:
    """Wait for something that comes by itself."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not done after {seconds} s"
        time.sleep(0.2)
