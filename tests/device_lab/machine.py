"""A machine of the lab: processes, mounts and a network of its own, around the userland's root."""

import itertools
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# A network of its own for each machine, of the range that is kept for tests (RFC 5737).
NUMBERS = itertools.count(1)
NETWORK = "198.51.100"
READY_S = 60
CPU = "cortex-a76"  # the emulator's default computes wrong int8
REGISTRATION = (
    r":{name}:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{interpreter}:OCF"
)
BINFMT, NAME = Path("/proc/sys/fs/binfmt_misc"), "mobile-kit-lab"
# The root itself is read-only, so that the next session finds it as it was.
INIT = """set -e
mount --make-rprivate /
ip link set lo up
mount --bind {root} {root}
cd {root}
mount -t proc proc proc
mount --bind cpuinfo proc/cpuinfo
mount -t tmpfs tmpfs dev
for device in null zero random urandom; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mount -t sysfs -o ro sysfs sys
for place in run root; do mount -t tmpfs tmpfs $place; done
for place in tmp data/local/tmp; do mount -t tmpfs -o size={room} tmpfs $place; done
mount --bind {wheels} opt
mount -o remount,ro,bind {root}
mkdir -p run/sshd
cp -r {keys} run/keys
exec chroot . {command}
"""


class LabError(Exception):
    """This machine can't have a machine of the lab; the message says why."""


class Emulator:
    """The registration of the emulator with the kernel, for as long as the lab is there."""

    def __init__(self, userland: Path) -> None:
        for stale in BINFMT.glob(f"{NAME}-*"):
            if not Path("/proc", stale.name.rpartition("-")[2]).exists():
                stale.write_text("-1")
        self._name = f"{NAME}-{os.getpid()}"
        interpreter = userland / "emulator/usr/bin/qemu-aarch64-static"
        try:
            if not (BINFMT / "register").exists():
                subprocess.run(["mount", "-t", "binfmt_misc", "none", BINFMT], check=True, capture_output=True)
            (BINFMT / "register").write_text(REGISTRATION.format(name=self._name, interpreter=interpreter))
        except (OSError, subprocess.CalledProcessError) as exc:
            raise LabError(f"the kernel takes no emulator ({exc})") from exc

    def close(self) -> None:
        """Take it back."""
        (BINFMT / self._name).write_text("-1")


class Machine:
    """A running machine. address: where this one reaches it. root_of: where its files are seen from here."""

    def __init__(self, userland: Path, wheels: str, keys: Path, command: Sequence[str], room: str = "512m") -> None:
        number = next(NUMBERS)
        self.address = f"{NETWORK}.{4 * number + 2}"
        self._link = f"mkl{os.getpid() % 100000}x{number}"
        script = INIT.format(
            root=shlex.quote(str(userland / "root")),
            wheels=shlex.quote(str(userland / wheels)),
            keys=shlex.quote(str(keys)),
            room=room,
            command=shlex.join(["/usr/bin/env", "-i", *ENVIRONMENT, *command]),
        )
        self._log = (keys / f"machine-{number}.log").open("w+b")
        self._process = subprocess.Popen(
            # Ended with the tests, however they end.
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                script,
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        try:
            self._connect(f"{NETWORK}.{4 * number + 1}")
        except (subprocess.CalledProcessError, OSError, LabError) as exc:
            words = self.words()
            self.close()
            raise LabError(f"a machine can't be made ({exc}; {words})") from exc

    def _connect(self, own: str) -> None:
        inner = self.pid
        commands = (
            f"ip link add {self._link} type veth peer name eth0 netns {inner}",
            f"ip addr add {own}/30 dev {self._link}",
            f"ip link set {self._link} up",
            f"nsenter --net=/proc/{inner}/ns/net ip addr add {self.address}/30 dev eth0",
            f"nsenter --net=/proc/{inner}/ns/net ip link set eth0 up",
        )
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)

    @property
    def pid(self) -> int:
        """The number here of its first process."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for _ in range(100):
            if found := children.read_text().split():
                return int(found[0])
            time.sleep(0.05)
        raise LabError(f"a machine doesn't start: {self.words()}")

    def words(self) -> str:
        """Return what its first process has said."""
        return os.pread(self._log.fileno(), 1 << 16, 0).decode(errors="replace").strip()

    def path(self, place: str) -> Path:
        """Return where a path of its own is seen from here."""
        return Path(f"/proc/{self.pid}/root", place.lstrip("/"))

    def processes(self) -> dict[int, str]:
        """Return the command line of each of its processes, by the number here."""
        mine = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = {}
        for each in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(each / "ns/pid") == mine:
                    found[int(each.name)] = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has ended
        return found

    def kill(self, name: str, by: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to all of its processes whose command line has a word."""
        for pid, line in self.processes().items():
            if name in line:
                os.kill(pid, by)

    def halt(self, name: str) -> None:
        """Let such processes stand still."""
        self.kill(name, signal.SIGSTOP)

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for something that its first process makes true."""
        end = time.monotonic() + READY_S
        while not done():
            if time.monotonic() > end or self._process.poll() is not None:
                raise LabError(f"a machine isn't ready: {self.words()}")
            time.sleep(0.2)

    def cut(self) -> None:
        """Pull its cable."""
        subprocess.run(["ip", "link", "set", self._link, "down"], check=True)

    def close(self) -> None:
        """End it with all of its processes."""
        self._process.kill()
        self._process.wait()
        self._log.close()


ENVIRONMENT = (
    "PATH=/usr/local/bin:/usr/bin:/usr/sbin",
    "HOME=/root",
    f"QEMU_CPU={CPU}",
    "PYTHONPATH=/opt",
    "ADBD_PORT=15577",
)
