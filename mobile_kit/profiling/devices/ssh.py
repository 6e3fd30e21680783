"""A Linux machine behind ssh: the system's own client, with its configuration, keys and known hosts."""

import re
import subprocess
import tempfile
from types import TracebackType
from typing import BinaryIO

from mobile_kit.errors import DeviceError, UnsupportedError
from mobile_kit.measurements.result import DeviceInfo
from mobile_kit.profiling.devices.device import DeviceState
from mobile_kit.profiling.devices.linux import DESCRIBE, STATE, described, state_of
from mobile_kit.profiling.devices.process import Process
from mobile_kit.profiling.devices.program import Ended, patience_s
from mobile_kit.profiling.devices.remote import Remote

__all__ = ["SshDevice"]

# The client's exit code for a failure of its own (man 1 ssh).
LOST = 255
# Nobody is there to type a password or to look at a host's key; a link that is cut is noticed after 15 s.
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
}


class SshDevice(Remote):
    """See `devices.Device`. host: as ssh takes it, an alias of its configuration too."""

    kind = "ssh"

    def __init__(self, host: str) -> None:
        # ssh itself would read a dash as an option; no name has spaces or control characters.
        if not re.fullmatch(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]*", host):
            raise UnsupportedError(f"device {f'ssh:{host}'!r}: no host name. Give one as ssh takes it.")
        self.name, self._host = f"ssh:{host}", host

    def __enter__(self) -> "SshDevice":
        # One connection for all commands; its socket lies where no other user can reach it.
        self._sockets = tempfile.TemporaryDirectory(prefix="mk-")
        try:
            return super().__enter__()
        except BaseException:
            self._sockets.cleanup()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, exc, trace)
        self._sockets.cleanup()

    def _command(self, command: str) -> list[str]:
        shared = {"ControlMaster": "auto", "ControlPath": f"{self._sockets.name}/s", "ControlPersist": "no"}
        options = [part for pair in {**OPTIONS, **shared}.items() for part in ("-o", "=".join(pair))]
        return ["ssh", "-T", *options, "--", self._host, command]

    def _start(self, command: str) -> Process:
        return Process(self._command(command), self.name, LOST)

    def _run(self, command: str, source: BinaryIO | None = None, sink: BinaryIO | None = None) -> Ended:
        try:
            ended = subprocess.run(
                self._command(command),
                stdin=source or subprocess.DEVNULL,
                capture_output=True,
                timeout=patience_s(source),
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise DeviceError(f"device {self.name}: took longer than {exc.timeout:.0f} s. Try ssh by hand.") from exc
        except OSError as exc:
            raise DeviceError(f"device {self.name}: ssh can't be started ({exc.strerror}). Install it.") from exc
        if sink is not None:
            sink.write(ended.stdout)
        words = ended.stderr.decode(errors="replace")
        return Ended(None if ended.returncode == LOST else ended.returncode, words)

    def describe(self) -> DeviceInfo:
        """Return what it says of itself."""
        return described(self.says(DESCRIBE), self.name, self.kind)

    def state(self) -> DeviceState:
        """Return how warm it is."""
        return state_of(self.says(STATE))
