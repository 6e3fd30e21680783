"""A program on a device as lines that come, whatever the link is; see `devices.Running`."""

import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mobile_kit.errors import DeviceError

__all__ = ["LAST_BYTES", "MOST_LINE", "SILENCE_S", "Ended", "Program", "patience_s"]

# A device that sleeps says nothing any more; the slowest call of a model takes less.
SILENCE_S = 300.0
# The least that a link carries in a second; over less, a file takes too long.
LEAST_BYTES_S = 50_000
# Of what it writes to standard error.
LAST_BYTES = 1 << 16
# Characters. The runner's longest line has a trace of all operations.
MOST_LINE = 1 << 24
# What to do about what a link or a device says, the first that is found in its words.
ADVICE = (
    ("Host key verification failed", "Connect once by hand, look at its key, and accept it."),
    ("Permission denied", "Give it your key: ssh-copy-id."),
    ("Could not resolve", "Check the name."),
    ("No space left", "Make room there."),
    ("unauthorized", "Unlock the device and allow debugging."),
    ("offline", "Wake the device up, or plug it in again."),
)
AGAIN = "Run it again."


@dataclass(frozen=True)
class Ended:
    """How a program ended. code: its exit code, negative for a signal, None where the link broke before."""

    code: int | None
    words: str = ""

    @property
    def reason(self) -> str:
        """What a message says of it."""
        said = [line.strip().rstrip(".") for line in self.words.splitlines() if line.strip()]
        last = said[-1] if said else "it said nothing"
        if self.code is None:
            return f"the link broke ({last})"
        # A shell gives the signal that ended a program as 128 and its number.
        signal = -self.code if self.code < 0 else self.code - 128 if 128 < self.code <= 128 + 64 else None
        return f"the program was killed (signal {signal}, {last})" if signal else f"the program failed ({last})"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return next((advice for words, advice in ADVICE if words in self.words), AGAIN)


def patience_s(source: BinaryIO | None) -> float:
    """Return how long a command may take that gets a file."""
    size = 0 if source is None else os.fstat(source.fileno()).st_size
    return SILENCE_S + size / LEAST_BYTES_S


class Program(ABC):
    """A program that runs. where: the device's name, for messages. silence_s: how long it may say nothing."""

    pid: int | None = None
    silence_s = SILENCE_S

    def __init__(self, where: str) -> None:
        self._where = where
        self._said: queue.SimpleQueue[str | Ended] = queue.SimpleQueue()

    def _begin(self) -> None:
        """Listen from now on."""
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        for line in self._read():
            self._said.put(line)
        self._said.put(self._ended())

    @abstractmethod
    def _read(self) -> Iterator[str]:
        """Yield the lines that it writes until it ends."""

    @abstractmethod
    def _ended(self) -> Ended:
        """Return how it ended, after all lines."""

    @abstractmethod
    def go(self) -> None:
        """Send it an empty line, for which it waits."""

    @abstractmethod
    def finish(self) -> None:
        """Tell it that no line will follow."""

    @abstractmethod
    def stop(self) -> None:
        """End it, if it hasn't ended."""

    def lines(self) -> Iterator[str]:
        """Yield the lines of its standard output as they come.

        Raises: DeviceError where the link breaks, it ends badly, or says nothing for too long.
        """
        while True:
            try:
                said = self._said.get(timeout=self.silence_s)
            except queue.Empty:
                self.stop()
                raise DeviceError(
                    f"device {self._where}: said nothing for {self.silence_s:.0f} s. Wake it up, keep it awake, run "
                    "it again."
                ) from None
            if isinstance(said, str):
                yield said
            elif said.code == 0:
                return
            else:
                raise DeviceError(f"device {self._where}: {said.reason}. {said.advice}")
