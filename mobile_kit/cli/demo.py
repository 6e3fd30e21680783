"""The command `demo`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mobile_kit.cli.arguments import command, names, positive
from mobile_kit.cli.output import megabytes, print_json, print_table

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(
        commands, "demo", run, "Export the shipped digit checkpoints, verify them, classify unseen digits."
    )
    parser.add_argument("--family", help="default: all of them, one after the other")
    parser.add_argument("--out", type=Path, default=Path("mobile-kit-demo"), metavar="DIR", help="default %(default)s")
    parser.add_argument("--target", type=names, default=(), metavar="T,..", help="default: all targets")
    parser.add_argument(
        "--recipe",
        type=names,
        default=("fp32", "fp16"),
        metavar="R,..",
        help="default fp32,fp16; int8, ... (see list)",
    )
    parser.add_argument("--profile", action="store_true", help="time the files on this machine, and write a report")
    parser.add_argument("--views", type=positive, default=200, metavar="N", help="unseen digits; default %(default)s")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.demo import DemoOptions, demo, summary
    from mobile_kit.progress import Progress

    asked = DemoOptions(options.out, options.family, options.target, options.recipe, options.views, options.profile)
    with Progress() as progress:
        rows, files = demo(asked, progress)
    if options.json:
        print_json([asdict(row) for row in rows])
    else:
        header = ("file", "size", "parity", "verified", "accuracy", "checkpoint's", "red and blue swapped")
        accuracies = [(row.accuracy, row.checkpoint_accuracy, row.swapped_accuracy) for row in rows]
        shown = [
            (row.file, megabytes(row.bytes), row.parity, row.status, *(f"{part:.1%}" for part in parts))
            for row, parts in zip(rows, accuracies, strict=True)
        ]
        print_table(header, shown)
        print("\n".join([*map(str, files), summary(rows)]))
    return int(any(row.status != "passed" for row in rows))
