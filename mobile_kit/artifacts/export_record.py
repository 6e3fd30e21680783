"""export.json: what an artifact was made of. By it an export neither makes one again nor replaces another's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mobile_kit.artifacts.layout import EXPORT
from mobile_kit.records import RecordError, Sha256, dumped, read_file
from mobile_kit.whole_file import write_whole

__all__ = ["ExportRecord", "Origin", "read_export", "write_export"]


@dataclass(frozen=True)
class Origin:
    """A file or folder: SHA-256 of where it is, whose path is nobody else's business, and of what it held."""

    place: Sha256
    content: Sha256

    def is_same(self, other: "Origin | None") -> bool:
        """Whether it was at the same place, with whatever content, or had the same content, at whatever place."""
        return other is not None and (self.place == other.place or self.content == other.content)


@dataclass(frozen=True)
class ExportRecord:
    """What an artifact was made of.

    request: SHA-256 of all that the export depends on, the versions of the tools among it. artifacts: the names of all
    that it made. options: what was asked, in words. judged_on: what the file was judged on, in words. calibration,
    judged, photo: None where none was given or used.
    """

    schema_version: Literal[1]
    request: Sha256
    artifacts: tuple[str, ...]
    options: Mapping[str, str]
    judged_on: str
    checkpoint: Origin
    calibration: Origin | None
    judged: Origin | None
    photo: Origin | None


def write_export(record: ExportRecord, folder: Path) -> None:
    """Write an artifact's record. Raises: OSError."""
    write_whole(folder / EXPORT, dumped(record))


def read_export(folder: Path) -> ExportRecord | None:
    """Return an artifact's record; None where it has none that can be read, as those of older versions."""
    try:
        return read_file(ExportRecord, folder / EXPORT)
    except RecordError:
        return None
