"""What commands print alike."""

import json
from collections.abc import Sequence
from typing import Any

from mobile_kit.errors import plain

__all__ = ["megabytes", "print_json", "print_table"]


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header, in columns."""
    rows = [[plain(str(cell)) for cell in row] for row in rows]
    widths = [max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def megabytes(count: int) -> str:
    """Return how a number of bytes is shown."""
    return f"{count / 1e6:.2f} MB"


def print_json(value: Any) -> None:
    """Print a result for a program."""
    print(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False))
