"""A program whose standard streams are pipes of this machine: one of the host's own, or ssh's."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from mobile_kit.errors import DeviceError
from mobile_kit.profiling.devices.program import LAST_BYTES, MOST_LINE, Ended, Program

__all__ = ["Process"]


class Process(Program):
    """A process. lost: the exit code by which a client says that its link broke, None where there is no link."""

    def __init__(self, command: Sequence[str], where: str, lost: int | None = None) -> None:
        super().__init__(where)
        self._lost = lost
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                list(command), stdin=pipe, stdout=pipe, stderr=self._words, text=True, errors="replace"
            )
        except OSError as exc:
            raise DeviceError(f"device {where}: {command[0]} can't be started ({exc.strerror}). Install it.") from exc
        self.pid = self._process.pid if lost is None else None
        self._begin()

    def _read(self) -> Iterator[str]:
        assert self._process.stdout is not None
        # A longer line comes in parts, of which none is what the runner would say.
        while line := self._process.stdout.readline(MOST_LINE):
            yield line.rstrip("\n")

    def _ended(self) -> Ended:
        code = self._process.wait()
        size = os.fstat(self._words.fileno()).st_size
        words = os.pread(self._words.fileno(), LAST_BYTES, max(0, size - LAST_BYTES)).decode(errors="replace")
        return Ended(None if code == self._lost else code, words)

    def go(self) -> None:
        """Send it an empty line, for which it waits."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended, which `lines` tells, or was told to
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def finish(self) -> None:
        """Tell it that no line will follow."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def stop(self) -> None:
        """End it, if it hasn't ended."""
        self._process.kill()
        self._process.wait()
