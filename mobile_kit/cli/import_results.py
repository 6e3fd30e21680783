"""The command `import`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_kit.cli.arguments import artifact, command
from mobile_kit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mobile_kit.measurements.result import Result

__all__ = ["add", "run"]

HEADER = (
    "artifact",
    "measured by",
    "device",
    "runtime",
    "calls",
    "mean ms",
    "p50 ms",
    "p90 ms",
    "first ms",
    "load ms",
    "peak MB",
    "operations",
    "not valid because",
)


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "import", run, "Read what another tool measured of an artifact into the kit's schema.")
    parser.add_argument("file", metavar="FILE", type=Path, help="a log, profile or report of another tool, or our own")
    parser.add_argument("--artifact", required=True, metavar="A", type=artifact, help="what was measured")
    parser.add_argument("--etrecord", metavar="FILE", type=Path, help="of an ETDump: names the modules of its events")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code: 0 also where a result isn't valid, as it was read all the same."""
    from mobile_kit.profiling.import_results import import_results

    def tell(line: str) -> None:
        print(f"mobile-kit: {line}", file=sys.stderr)

    found = import_results(options.file, options.artifact, options.etrecord, tell)
    if options.json:
        print_json([result.to_json() for result in found])
    else:
        print_table(HEADER, [_row(result) for result in found])
    return 0


def _row(result: "Result") -> tuple[str, ...]:
    times, peak = result.latency, result.memory.peak_bytes
    return (
        result.model.name,
        result.run.tool,
        result.device.name,
        result.config.delegate or "",
        "" if times.count is None else str(times.count),
        *(
            "" if time is None else f"{time / 1e3:.2f}"
            for time in (times.mean, times.p50, times.p90, times.first, result.load.cold_us)
        ),
        "" if peak is None else f"{peak / 1e6:.0f}",
        str(len(result.ops) or ""),
        "; ".join(result.validity.reasons),
    )
