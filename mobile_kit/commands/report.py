"""The command `report`."""

import argparse
from pathlib import Path
from typing import Any

from mobile_kit.commands import command, print_json, print_table

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "report", run, "Show size, latency and accuracy of all artifacts below a folder.")
    parser.add_argument("folder", metavar="DIR", type=Path)


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.report import HEADER, cells, report

    rows, files = report(options.folder)
    if options.json:
        print_json([row.to_json() for row in rows])
        return 0
    print_table(("model", *HEADER), [(row.model, *cells(row)) for row in rows])
    print("\n".join(str(path) for path in files))
    return 0
