"""A program whose standard streams are pipes of this machine: one of the host's own, or ssh's."""

import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence

from mobile_kit.errors import DeviceError

__all__ = ["Process"]

# A device that sleeps says nothing any more; the slowest call of a model takes less.
SILENCE_S = 300.0


class Process:
    """See `devices.Running`. where: the device's name, for messages. silence_s: how long it may say nothing."""

    def __init__(
        self,
        command: Sequence[str],
        where: str,
        silence_s: float = SILENCE_S,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._where, self._silence_s = where, silence_s
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=pipe,
                stdout=pipe,
                stderr=self._words,
                text=True,
                errors="replace",
                env=None if environment is None else {**os.environ, **environment},
            )
        except OSError as exc:
            raise DeviceError(f"device {where}: {command[0]} can't be started ({exc.strerror}). Install it.") from exc
        self.pid = self._process.pid
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line.rstrip("\n"))
        self._said.put(None)

    def lines(self) -> Iterator[str]:
        """Yield the lines of its standard output as they come; see `devices.Running`."""
        while True:
            try:
                line = self._said.get(timeout=self._silence_s)
            except queue.Empty:
                self.stop()
                raise DeviceError(
                    f"device {self._where}: said nothing for {self._silence_s:.0f} s. Wake it up and keep it awake."
                ) from None
            if line is None:
                break
            yield line
        code = self._process.wait()
        if code:
            reason = self._last_words()
            raise DeviceError(f"device {self._where}: the program ended with {code} ({reason}). Run it again.")

    def _last_words(self) -> str:
        said = os.pread(self._words.fileno(), 1 << 16, 0).decode(errors="replace").strip().splitlines()
        return said[-1].rstrip(".") if said else "it said nothing"

    def go(self) -> None:
        """Send it an empty line, for which it waits."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended, which `lines` tells

    def finish(self) -> None:
        """Tell it that no line will follow."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def stop(self) -> None:
        """End it, if it hasn't ended."""
        self._process.kill()
        self._process.wait()
