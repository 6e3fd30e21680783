"""The command `verify`."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_kit.cli.arguments import add_weights, artifact, command
from mobile_kit.cli.output import print_json
from mobile_kit.errors import MobileKitError

if TYPE_CHECKING:
    from mobile_kit.artifacts.verification import VerifyReport

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "verify", run, "Hold artifacts against the checkpoint; exit 1 where one differs.")
    parser.add_argument("artifacts", metavar="ARTIFACT", type=artifact, nargs="+")
    parser.add_argument("--images", type=Path, metavar="DIR", help="compare on these images too")
    parser.add_argument("--checkpoint", metavar="MODEL", help="the exported folder or Hub id; default: the manifest's")
    add_weights(parser)
    parser.add_argument("--check-runtime", metavar="PACKAGE==V", help="another runtime, such as tflite-runtime==2.14.0")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.artifacts.verification import write_report
    from mobile_kit.evaluation.verify import verify

    records = []
    for folder in options.artifacts:
        try:
            report = verify(
                folder,
                options.images,
                options.checkpoint,
                options.allow_pickle,
                options.check_runtime,
                options.weights_prefix,
            )
        except MobileKitError as exc:  # the others are looked at all the same
            print(f"mobile-kit: {exc}", file=sys.stderr)
            records.append({"artifact": folder.resolve().name, "status": "failed", "failure": str(exc)})
            continue
        records.append(report.to_json())
        if not options.json:
            _print_report(folder, report)
        try:
            write_report(report, folder, options.check_runtime)
        except MobileKitError as exc:  # an artifact that is only read is verified all the same
            print(f"mobile-kit: {exc}", file=sys.stderr)
    if options.json:
        print_json(records)
    return int(any(record["status"] != "passed" for record in records))


def _print_report(folder: Path, report: "VerifyReport") -> None:
    print(f"{folder}: {report.status}{f' ({report.failure})' if report.failure else ''}")
    if report.runtime:
        print(f"  ran on {report.runtime}, {report.images} image{'s' * (report.images != 1)}")
    for check in report.checks:
        print(f"  {check.name}: {check.status}, {check.detail}")
    for out in report.outputs:
        figures = {key: value for key, value in asdict(out).items() if isinstance(value, float)}
        print(f"  {out.name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()) + f"; {out.bound}")
    for name, moved in report.canary.items():
        print(f"  red and blue swapped: {name} moves by {moved:.3g}")
