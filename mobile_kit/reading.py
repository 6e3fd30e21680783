"""Files that others wrote, read within bounds: their kind, size, encoding, depth and numbers are checked first."""

import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "MOST_JSON_BYTES",
    "MOST_TEXT_BYTES",
    "ReadError",
    "check_archive",
    "parse_json",
    "read_bytes",
    "read_json_lines",
    "read_json_object",
    "read_text",
]

# No result, manifest or config of any tool that the kit reads is near that; what it takes in memory is ten times it.
MOST_JSON_BYTES = 64 << 20
# Of labels, cards and tables.
MOST_TEXT_BYTES = 16 << 20
# As deep as json's own reader goes everywhere.
MOST_DEPTH = 200

Pairs = Callable[[list[tuple[str, Any]]], Any]


class ReadError(ValueError):
    """A file that can't be read; the text says why, behind the file's name."""


def read_bytes(path: Path, most: int) -> bytes:
    """Return a file's bytes. Raises: ReadError where it is no file, has more than so many, or can't be opened."""
    try:
        # Without waiting for the other end of a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ReadError("can't be read (it is no file)")
            if status.st_size > most:
                raise ReadError(f"has {status.st_size:,} bytes, and {most:,} are the most that are read")
            return stream.read()
    except IsADirectoryError as exc:
        raise ReadError("can't be read (it is a folder)") from exc
    except OSError as exc:
        raise ReadError(f"can't be read ({exc.strerror})") from exc
    except ValueError as exc:
        if isinstance(exc, ReadError):
            raise
        raise ReadError("can't be read (its name holds a zero byte)") from exc


def check_archive(source: Path | BinaryIO, most: int) -> None:
    """Raise ReadError for a zip whose files have more than so many bytes, unpacked; BadZipFile for what is none."""
    with zipfile.ZipFile(source) as archive:
        # What the directory says is what zipfile reads at most.
        if (size := sum(entry.file_size for entry in archive.infolist())) > most:
            raise ReadError(f"has {size:,} bytes, unpacked, and {most:,} are the most that are read")


def read_text(path: Path, most: int = MOST_TEXT_BYTES) -> str:
    """Return a file's text. Raises: ReadError where it isn't UTF-8, too."""
    return _text(read_bytes(path, most))


def read_json_object(path: Path) -> dict[str, Any]:
    """Return a file's JSON object. Raises: ReadError where it is none."""
    value = parse_json(read_bytes(path, MOST_JSON_BYTES))
    if not isinstance(value, dict):
        raise ReadError("isn't a JSON object")
    return value


def read_json_lines(path: Path) -> list[Any]:
    """Return the JSON values of a file's lines, up to one that is none: it was being written when that was stopped.

    Raises: ReadError where the file can't be read.
    """
    found = []
    for line in read_text(path, MOST_JSON_BYTES).splitlines():
        try:
            found.append(parse_json(line))
        except ReadError:
            break
    return found


def parse_json(content: str | bytes, pairs: Pairs = dict) -> Any:
    """Return JSON values, NaN and infinity among them, which Python's own writer makes. pairs: makes an object.

    Raises: ReadError naming the line where it is none; for values that are nested too deeply, and numbers that are
        too long.
    """
    text = content if isinstance(content, str) else _text(content)
    try:
        value = json.loads(text, object_pairs_hook=pairs)
        _check_depth(value)
    except ReadError:
        raise
    except json.JSONDecodeError as exc:
        raise ReadError(f"isn't JSON (line {exc.lineno}, column {exc.colno}: {exc.msg})") from exc
    except RecursionError as exc:
        raise ReadError("isn't JSON that is read (values are nested too deeply)") from exc
    except ValueError as exc:  # of whole numbers, which Python reads no longer than 4300 digits
        raise ReadError("isn't JSON that is read (a number is too long)") from exc
    return value


def _check_depth(value: Any) -> None:
    """Raise RecursionError for what other code would recurse into too deeply, and ReadError for what is no text."""
    level = [value]
    for _ in range(MOST_DEPTH):
        for text in (each for each in level if isinstance(each, str) and not each.isascii()):
            _check_text(text)
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            return
    raise RecursionError


def _check_text(text: str) -> None:
    """Raise ReadError for half a character, which no file or terminal can be given."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ReadError(f"isn't text (half a character behind {text[: exc.start][-20:]!r})") from exc


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _text(content: bytes) -> str:
    try:
        # With a mark in front, as Windows' editors write it.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ReadError(f"isn't UTF-8 (byte {exc.start})") from exc
