"""What can go wrong, as one tree.

    MobileKitError
    ├── CheckpointError      the model, its folder or its weights can't be used
    ├── ImageError           an image can't be decoded or is of an absurd size
    ├── UnsupportedError     a valid request that this family, head, target or recipe can't serve
    ├── MissingToolError     a package that the request needs isn't installed
    ├── LoweringError        a toolchain failed; its own words are in a log file
    ├── ArtifactError        an artifact folder is incomplete, changed or of an unknown schema
    ├── DeviceError          a device can't be reached, or failed at what it was asked
    ├── ResultError          what was measured elsewhere can't be read, or is of another file
    └── OracleError          the reference can't prove anything, as it doesn't see its input

Every message is one line: what was asked, why not, and the way out.
"""

import re
import reprlib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "ArtifactError",
    "CheckpointError",
    "DeviceError",
    "ImageError",
    "LoweringError",
    "MissingToolError",
    "MobileKitError",
    "OracleError",
    "ResultError",
    "UnsupportedError",
    "last_line",
    "malformed",
    "named_line",
    "one_line",
    "plain",
    "shown",
    "tool_reason",
    "unknown",
    "unwritable",
]


# Of lists and mappings a few items, of texts and numbers some characters.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 100


class MobileKitError(Exception):
    """Root of all errors that the kit raises on purpose."""


class CheckpointError(MobileKitError):
    """The model, its folder or its weights can't be used."""


class ImageError(MobileKitError):
    """An image can't be decoded or is of an absurd size."""


class UnsupportedError(MobileKitError):
    """A valid request that this family, head, target or recipe can't serve."""


class MissingToolError(MobileKitError):
    """A package that the request needs isn't installed."""


class LoweringError(MobileKitError):
    """A toolchain failed; its own words are in a log file."""


class ArtifactError(MobileKitError):
    """An artifact folder is incomplete, changed or of an unknown schema."""


class DeviceError(MobileKitError):
    """A device can't be reached, or failed at what it was asked."""


class ResultError(MobileKitError):
    """What was measured elsewhere can't be read, or is of another file."""


class OracleError(MobileKitError):
    """The reference can't prove anything, as it doesn't see its input."""


def plain(text: str) -> str:
    """Return a text for one line of a terminal: a device's words, or a file's, may hold anything."""
    return "".join(char if char.isprintable() else " " for char in text)


def shown(value: object) -> str:
    """Return a value of a file as an error shows it, cut: it may be as long as the file."""
    return SHORT.repr(value)


def unknown(kind: str, name: str, known: Iterable[str], meant: Iterable[str] = ()) -> UnsupportedError:
    """Return the error for a name that isn't in a registry, with those that are. meant: what it may mean there."""
    hint = f" Is {' or '.join(meant)} meant?" if meant else ""
    return UnsupportedError(f"{kind} {name!r}: unknown.{hint} Known: {', '.join(sorted(known))}.")


def malformed(path: Path, place: str, reason: str) -> ResultError:
    """Return the error for a result of another tool that isn't as that tool writes it. place: where in the file."""
    return ResultError(f"result {path.name}: {place}: {reason}. Give the file as the tool wrote it.")


def unwritable(path: Path, cause: OSError) -> ArtifactError:
    """Return the error for a file of an artifact that can't be written, such as in a folder of somebody else's."""
    what, why = f"artifact {path.parent}: {path.name}", cause.strerror
    return ArtifactError(f"{what} can't be written ({why}). Copy the artifact to a folder of yours.")


def tool_reason(said: str) -> str:
    """Return the line that says why Xcode, a compiler or Gradle failed: lines of details stand around it."""
    patterns = (
        r"NSLocalizedFailureReason = (.+)",
        r":\d+: error: (.+)",
        r"(?i)error: (.+)",
        r"What went wrong:\s*(.+)",
    )
    found = next(filter(None, (re.search(pattern, said) for pattern in patterns)), None)
    lines = [*filter(str.strip, said.splitlines())] or ["it said nothing"]
    return (found[1] if found else lines[-1]).strip().rstrip(".")


def one_line(exc: BaseException) -> str:
    """Return what an exception says, on one line without its full stop, shortened where it goes on."""
    return named_line(exc) if isinstance(exc, KeyError) else _words(exc) or type(exc).__name__


def named_line(exc: BaseException) -> str:
    """Return the type of an exception, and what it says, on one line without its full stop."""
    return ": ".join(filter(None, (type(exc).__name__, _words(exc))))


def last_line(said: str) -> str:
    """Return a tool's last words on one line: what comes before them is its progress."""
    lines = said.strip().splitlines() or ["nothing was said"]
    return lines[-1].strip().rstrip(".")


def _words(exc: BaseException) -> str:
    # Torch's own errors go on with where in C++ they were raised.
    text = str(exc).partition("\nException raised from")[0]
    return " ".join(text.split())[:300].rstrip(".")
