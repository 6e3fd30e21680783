"""The command `export`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_kit.cli.arguments import command, decibels, names, part
from mobile_kit.cli.export_arguments import add_model, export_options
from mobile_kit.cli.output import megabytes, print_json, print_table

if TYPE_CHECKING:
    from mobile_kit.exporting.options import ExportOptions

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
    parser.add_argument(
        "--judge-on", type=Path, metavar="DIR", help="images that files are judged on; default: some held out"
    )
    parser.add_argument(
        "--no-samples", action="store_true", help="leave the images that files are judged on out of the artifacts"
    )
    parser.add_argument("--name", help="of the folder of the artifacts; default: the checkpoint's")
    parser.add_argument(
        "--force", action="store_true", help="make what is up to date again, and replace artifacts of other models"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.exporting.up_to_date import find_up_to_date

    request = export_options(
        options,
        recipes=options.recipe,
        photo=options.photo,
        min_sqnr=options.min_sqnr,
        min_agreement=options.min_agreement,
        name=options.name,
        force=options.force,
        judge_on=options.judge_on,
        samples=not options.no_samples,
    )
    # Before torch is imported, which takes longer.
    found = find_up_to_date(request)
    if found:
        rows = [_record(each.folder, each.bytes, each.status, "up to date", each.judged_on) for each in found]
        _tell({"artifacts": rows, "failures": [], "skipped": [], "license": found[0].license}, options.json)
        return 0
    return _export(request, options.json)


def _export(request: "ExportOptions", as_json: bool) -> int:
    from mobile_kit.exporting.export import export
    from mobile_kit.progress import Progress

    with Progress() as progress:
        result = export(request, progress)
    made = result.artifacts
    rows = [
        _record(item.manifest.folder, item.bytes, item.status, item.detail, item.manifest.judged_on) for item in made
    ]
    licence = made[0].manifest.record.model.license if made else None
    told = {"artifacts": rows, "failures": result.failures, "skipped": result.skipped, "license": licence}
    _tell(told, as_json)
    return int(bool(result.failures) or any(item.status == "failed" for item in made))


def _record(folder: Path, size: int, status: str, detail: str, judged_on: str) -> dict[str, Any]:
    return {"artifact": str(folder), "bytes": size, "status": status, "judged_on": judged_on, "detail": detail}


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        rows = [
            (each["artifact"], megabytes(each["bytes"]), each["status"], each["judged_on"], each["detail"])
            for each in found["artifacts"]
        ]
        print_table(("artifact", "size", "verified", "on", ""), rows)
        if rows:
            print(f"licence of the weights: {found['license'] or 'unknown'}")
    for line in (*found["failures"], *found["skipped"]):
        print(f"mobile-kit: {line}", file=sys.stderr)
