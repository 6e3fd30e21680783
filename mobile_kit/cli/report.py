"""The command `report`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_kit.cli.arguments import command
from mobile_kit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mobile_kit.reporting.compare_runs import RunComparison
    from mobile_kit.reporting.thresholds import Threshold

__all__ = ["add", "run"]

COMPARED = ("artifact", "device", "A ms", "B ms", "B/A", "99 % interval", "in turns", "B is")


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(
        commands, "report", run, "Show size, latency and accuracy of all artifacts below folders, or compare two."
    )
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="+", help="files are written into the first")
    parser.add_argument("--html", metavar="FILE", type=Path, help="default DIR/report.html")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="default DIR/report.md")
    parser.add_argument(
        "--fail-if",
        metavar="LIMIT",
        type=_limit,
        action="append",
        default=[],
        help="exit with 1 where a figure is so, or can't be told, such as 'p50_ms > 12'; may be given again",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="of two artifacts, folders or results files A and B: whether B is faster; writes nothing",
    )
    parser.set_defaults(usage=parser.error)


def _limit(text: str) -> "Threshold":
    from mobile_kit.errors import UnsupportedError
    from mobile_kit.reporting.thresholds import parse_threshold

    try:
        return parse_threshold(text)
    except UnsupportedError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code: 1 where a limit is met or a comparison is refused."""
    if options.compare:
        return _compare(options)
    from mobile_kit.records import to_values
    from mobile_kit.reporting.report import HEADER, ReportOptions, cells, report
    from mobile_kit.reporting.report_record import report_record
    from mobile_kit.reporting.thresholds import violations

    found, files = report(ReportOptions(tuple(options.folders), options.html, options.markdown))
    if options.json:
        print_json(to_values(report_record(found)))
    else:
        print_table(("model", *HEADER), [(row.model, *cells(row, each)) for row, each in found.lines()])
        print("\n".join(str(path) for path in files))
    lines = violations(found, options.fail_if)
    _complain(lines)
    return int(bool(lines))


def _compare(options: argparse.Namespace) -> int:
    from mobile_kit.reporting.compare_runs import versus

    if len(options.folders) != 2:
        options.usage("--compare takes two, A and B")
    if options.html or options.markdown or options.fail_if:
        options.usage("--compare writes no files and checks no limits, so leave --html, --markdown and --fail-if out")
    found, alone = versus(*options.folders)
    compared = [each for each in found if each.comparison is not None]
    if options.json:
        print_json([each.to_json() for each in found])
    elif compared:
        print_table(COMPARED, [_row(each) for each in compared])
    refused = [each.refused for each in found if each.refused is not None]
    _complain([*refused, *alone])
    return int(bool(refused))


def _row(each: "RunComparison") -> tuple[str, ...]:
    assert each.comparison is not None
    found, (low, high) = each.comparison, each.comparison.interval
    return (
        each.name,
        each.device,
        *("" if value is None else f"{value:.2f}" for value in each.medians_ms),
        f"{found.ratio:.3f}",
        f"{low:.3f} to {high:.3f}",
        "yes" if found.paired else "no",
        found.verdict,
    )


def _complain(lines: list[str]) -> None:
    from mobile_kit.errors import plain

    for line in lines:
        print(f"mobile-kit: {plain(line)}", file=sys.stderr)
