"""The command `export`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mobile_kit.cli.arguments import command, decibels, names, part
from mobile_kit.cli.export_arguments import add_model, export_options
from mobile_kit.cli.output import megabytes, print_json, print_table

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "export", run, "Lower a checkpoint to files for phones and verify them.")
    add_model(parser)
    parser.add_argument(
        "--recipe", type=names, default=("fp32",), metavar="R,..", help="fp32 (default), fp16, int8, ... (see list)"
    )
    parser.add_argument(
        "--min-sqnr", type=decibels, metavar="DB", help="decibels that quantized files keep; default: by recipe"
    )
    parser.add_argument(
        "--min-agreement", type=part, metavar="PART", help="part of the decisions that they keep, such as 0.99"
    )
    parser.add_argument("--photo", type=Path, metavar="IMAGE", help="becomes the golden photo; default: a drawn scene")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.exporting.export import export
    from mobile_kit.progress import Progress

    request = export_options(
        options,
        recipes=options.recipe,
        photo=options.photo,
        min_sqnr=options.min_sqnr,
        min_agreement=options.min_agreement,
    )
    with Progress() as progress:
        result = export(request, progress)
    records: list[dict[str, Any]] = [
        {"artifact": str(item.manifest.folder), "bytes": item.bytes, "status": item.status, "detail": item.detail}
        for item in result.artifacts
    ]
    licence = result.artifacts[0].manifest.record.model.license if result.artifacts else None
    if options.json:
        found = {"artifacts": records, "failures": result.failures, "skipped": result.skipped, "license": licence}
        print_json(found)
    else:
        rows = [(r["artifact"], megabytes(r["bytes"]), r["status"], r["detail"]) for r in records]
        print_table(("artifact", "size", "verified", ""), rows)
        if result.artifacts:
            print(f"licence of the weights: {licence or 'unknown'}")
    for line in (*result.failures, *result.skipped):
        print(f"mobile-kit: {line}", file=sys.stderr)
    return int(bool(result.failures) or any(r["status"] == "failed" for r in records))
