"""The command `profile`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mobile_kit.commands import command, positive, print_json, print_table

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "profile", run, "Time artifacts against one another on this machine.")
    parser.add_argument("artifacts", metavar="ARTIFACT", type=Path, nargs="+")
    parser.add_argument("--rounds", type=positive, default=20, metavar="N", help="default %(default)s")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.profiling import profile
    from mobile_kit.progress import Progress

    with Progress() as progress:
        found = profile(options.artifacts, options.rounds, progress)
    if options.json:
        print_json([asdict(result) for result in found])
        return 0
    rows = [(p.artifact, p.runtime, f"{p.median_ms:.2f}", f"{p.min_ms:.2f}", "; ".join(p.reasons)) for p in found]
    print_table(("artifact", "runtime", "median ms", "min ms", "not valid because"), rows)
    return 0
