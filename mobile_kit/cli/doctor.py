"""The command `doctor`."""

import argparse
from dataclasses import asdict
from typing import Any

from mobile_kit.cli.arguments import command
from mobile_kit.cli.output import print_json, print_table

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    command(commands, "doctor", run, "Show what is installed, what is missing, and how to mend it.")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.doctor import doctor

    findings = doctor()
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(("", "found", "mend"), [(f.name, f.found or "missing", f.mend or "") for f in findings])
    return int(any(finding.mend for finding in findings))
