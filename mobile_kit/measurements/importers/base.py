"""What reads a result that another tool wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mobile_kit.measurements.result import Result

__all__ = ["Imported", "Importer"]


@dataclass(frozen=True)
class Imported:
    """What a file of another tool says.

    results: those of a run; their `model` has what the file says of its model, and their `run` no id where it has none.
    unread: what isn't known of the format, and was left out.
    """

    results: tuple[Result, ...]
    unread: tuple[str, ...] = ()


class Importer(Protocol):
    """A reader of what another tool measured.

    `name` is what the tool calls its file. `takes_record`: whether an ETRecord says more of it.
    """

    name: str
    takes_record: bool

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format. head: its first 64 KiB, empty where it is a folder."""
        ...

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file. record: its ETRecord.

        Raises: ResultError naming the place where it isn't as the tool writes it; MissingToolError.
        """
        ...
