"""An Android device behind adb, through adbutils: its shell's second protocol keeps streams and exit codes apart."""

import contextlib
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

from mobile_kit.errors import DeviceError, MissingToolError, UnsupportedError
from mobile_kit.measurements.result import DeviceInfo
from mobile_kit.profiling.devices import android
from mobile_kit.profiling.devices.device import DeviceState
from mobile_kit.profiling.devices.program import LAST_BYTES, MOST_LINE, Ended, Program, patience_s
from mobile_kit.profiling.devices.remote import Remote

__all__ = ["AdbDevice"]

# https://android.googlesource.com/platform/packages/modules/adb/+/refs/heads/main/shell_protocol.h
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = 0, 1, 2, 3, 4
CHUNK = 1 << 16
CONNECT_S = 10.0
Found = TypeVar("Found")


class AdbDevice(Remote):
    """See `devices.Device`. serial: None for the only one."""

    kind = "adb"
    base = "/data/local/tmp"

    def __init__(self, serial: str | None) -> None:
        if serial is not None and not re.fullmatch(r"[^\s\x00-\x1f\x7f]+", serial):
            raise UnsupportedError(f"device {f'adb:{serial}'!r}: no serial. Give one as `adb devices` lists it.")
        try:
            from adbutils import AdbClient
        except ImportError as exc:
            raise MissingToolError("device adb: needs adbutils. Run: pip install adbutils") from exc
        self.name = f"adb:{serial}" if serial else "adb"
        self._device: Any = self._asked(lambda: _chosen(AdbClient(socket_timeout=CONNECT_S), serial, self.name))
        self.name = f"adb:{self._device.serial}"

    def _asked(self, question: Callable[[], Found]) -> Found:
        """Ask adb. Raises: DeviceError where it has no answer."""
        from adbutils import AdbError

        try:
            return question()
        except (AdbError, OSError, EOFError, subprocess.SubprocessError) as exc:
            ended = Ended(None, str(exc))
            raise DeviceError(f"device {self.name}: {ended.reason}. {ended.advice}") from exc

    def _start(self, command: str) -> "Shell":
        return Shell(self._asked(lambda: self._stream(command)), self.name)

    def _stream(self, command: str) -> Any:
        connection = self._device.open_transport(timeout=CONNECT_S)
        connection.send_command(f"shell,v2,raw:{command}")
        connection.check_okay()
        return connection.conn

    def _run(self, command: str, source: BinaryIO | None = None, sink: BinaryIO | None = None) -> Ended:
        stream = self._asked(lambda: self._stream(command))
        stream.settimeout(patience_s(source))
        feeder = threading.Thread(target=_feed, args=(stream, source), daemon=True)
        feeder.start()  # beside it: a device that can't take more says so meanwhile
        words, code = bytearray(), None
        with contextlib.suppress(OSError, EOFError):
            for kind, content in _packets(stream):
                if kind == STDOUT and sink is not None:
                    sink.write(content)
                elif kind == STDERR:
                    words += content
                elif kind == EXIT:
                    code = content[0]
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)  # a feeder that waits for room ends
        feeder.join(CONNECT_S)
        stream.close()
        return Ended(code, words.decode(errors="replace"))

    def describe(self) -> DeviceInfo:
        """Return what it says of itself."""
        return android.described(self.says(android.DESCRIBE), self.name)

    def state(self) -> DeviceState:
        """Return how warm it is."""
        return android.state_of(self.says(android.STATE))


class Shell(Program):
    """A program that a device's shell runs."""

    def __init__(self, stream: socket.socket, where: str) -> None:
        super().__init__(where)
        self._stream = stream
        self._stream.settimeout(None)
        self._words = bytearray()
        self._code: int | None = None
        self._begin()

    def _read(self) -> Iterator[str]:
        rest = bytearray()
        with contextlib.suppress(OSError, EOFError):
            for kind, content in _packets(self._stream):
                if kind == STDOUT:
                    rest += content
                    *lines, rest = rest.split(b"\n")
                    yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
                    if len(rest) > MOST_LINE:
                        yield rest.decode(errors="replace")
                        rest = bytearray()
                elif kind == STDERR:
                    self._words = (self._words + content)[-LAST_BYTES:]
                elif kind == EXIT:
                    self._code = content[0]
        if rest:
            yield rest.decode(errors="replace")

    def _ended(self) -> Ended:
        return Ended(self._code, self._words.decode(errors="replace"))

    def go(self) -> None:
        """Send it an empty line, for which it waits."""
        with contextlib.suppress(OSError):  # it has ended, which `lines` tells
            self._stream.sendall(_packet(STDIN, b"\n"))

    def finish(self) -> None:
        """Tell it that no line will follow."""
        with contextlib.suppress(OSError):
            self._stream.sendall(_packet(CLOSE_STDIN))

    def stop(self) -> None:
        """End it, if it hasn't ended."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()


def _chosen(client: Any, serial: str | None, name: str) -> Any:
    serials = [device.serial for device in client.device_list()]
    if serial is not None:
        return client.device(serial=serial)
    if len(serials) != 1:
        known = ", ".join(f"adb:{each}" for each in serials) or "none. Plug one in and allow debugging"
        raise DeviceError(f"device {name!r}: {len(serials)} are connected. Known: {known}.")
    return client.device(serial=serials[0])


def _packet(kind: int, content: bytes = b"") -> bytes:
    return bytes([kind]) + len(content).to_bytes(4, "little") + content


def _packets(stream: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of each packet up to the exit code's. Raises: EOFError, OSError where the link breaks."""
    kind = None
    while kind != EXIT:
        kind, *length = _exactly(stream, 5)
        yield kind, _exactly(stream, int.from_bytes(length, "little"))


def _exactly(stream: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        chunk = stream.recv(min(count - len(content), CHUNK))
        if not chunk:
            raise EOFError
        content += chunk
    return bytes(content)


def _feed(stream: socket.socket, source: BinaryIO | None) -> None:
    with contextlib.suppress(OSError, ValueError):
        while source is not None and (chunk := source.read(CHUNK)):
            stream.sendall(_packet(STDIN, chunk))
        stream.sendall(_packet(CLOSE_STDIN))
