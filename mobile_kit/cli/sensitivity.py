"""The command `sensitivity`."""

import argparse
import math
import sys
from typing import TYPE_CHECKING, Any

from mobile_kit.cli.arguments import command
from mobile_kit.cli.export_arguments import add_model, export_options
from mobile_kit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mobile_kit.quantization.part_costs import PartCost

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "sensitivity", run, "Measure what each part of a model costs in int8.")
    add_model(parser)


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.exporting.sensitivity import sensitivity
    from mobile_kit.progress import Progress

    with Progress() as progress:
        found, failures = sensitivity(export_options(options), progress)
    for line in failures:
        print(f"mobile-kit: {line}", file=sys.stderr)
    if options.json:
        print_json([result.to_json() for result in found])
        return int(bool(failures))
    for result in found:
        print(f"{result.target}: {result.everything} with all of static_wi8_ai8 in int8")
        print_table(
            ("part", "static_wi8_ai8", "MACs", "SQNR alone", "agreement with float"), [_row(c) for c in result.costs]
        )
        print(f"{result.table}\n{result.plot}\n")
    return int(bool(failures))


def _row(cost: "PartCost") -> tuple[str, ...]:
    own = (cost.part, "int8" if cost.static else "float", f"{cost.macs:.1%}")
    if cost.kept is None:
        return (*own, "always float", "")
    agreement = "" if cost.kept.agreement is None else f"{cost.kept.agreement:.1%}"
    decibels = f"{cost.kept.sqnr_db:.1f} dB" if math.isfinite(cost.kept.sqnr_db) else "no noise"
    return (*own, decibels, agreement)
