"""What a section of the benchmark measured, as rows for people and for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Section", "judged", "to_markdown", "to_text"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """One table. rows: column to value; those with a bound have `bound` and `status` too. notes: how to read it."""

    name: str
    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns of all rows in order of first use, then bound, status and note."""
        seen = dict.fromkeys(key for row in self.rows for key in row)
        last = ("bound", "status", "note")
        return [key for key in seen if key not in last] + [key for key in last if key in seen]

    @property
    def missed(self) -> list[Row]:
        """The rows whose bound isn't shown to hold: failed, or not run."""
        return [row for row in self.rows if row.get("status") in {"failed", "not run"}]


def judged(value: float | None, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """Return the bound and status of a value; None is a value that couldn't be measured."""
    limit = at_most if at_most is not None else at_least
    assert limit is not None
    bound = f"{'<=' if at_most is not None else '>='} {limit:.4g}"
    if value is None:
        return {"bound": bound, "status": "not run"}
    holds = value <= limit if at_most is not None else value >= limit
    return {"bound": bound, "status": "passed" if holds else "failed"}


def to_markdown(section: Section) -> str:
    """Return a heading, the table and its notes."""
    columns = section.columns
    lines = [columns, ["---"] * len(columns), *(_cells(row, columns) for row in section.rows)]
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([f"## {section.title}", "", *table, "", *(f"- {note}" for note in section.notes), ""])


def to_text(section: Section) -> str:
    """Return the same for a terminal."""
    columns = section.columns
    cells = [columns, *(_cells(row, columns) for row in section.rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([section.title, *lines, *section.notes, ""])


def _cells(row: Row, columns: list[str]) -> list[str]:
    return [_cell(row.get(column)) for column in columns]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
