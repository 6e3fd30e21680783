"""The command `profile`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mobile_kit.cli.arguments import artifact, command, positive, seconds
from mobile_kit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mobile_kit.measurements.result import Result

__all__ = ["add", "run"]

HEADER = (
    "artifact",
    "runtime",
    "p50 ms",
    "p90 ms",
    "first ms",
    "cold load ms",
    "peak MB",
    "steady",
    "not valid because",
)


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(
        commands, "profile", run, "Time artifacts on a device, in turns, and check what they compute there."
    )
    parser.add_argument("artifacts", metavar="ARTIFACT", type=artifact, nargs="+")
    parser.add_argument(
        "--device",
        default="host",
        metavar="NAME",
        help="host, adb, adb:SERIAL, ssh:HOST, ios or ios:UDID; default %(default)s",
    )
    parser.add_argument("--team", metavar="ID", help="Apple's development team that signs what is put on an iPhone")
    parser.add_argument("--runs", type=positive, default=50, metavar="N", help="calls at least; default %(default)s")
    parser.add_argument("--min-seconds", type=seconds, metavar="S", help="default 1; 0 on an iPhone")
    parser.add_argument(
        "--max-seconds", type=seconds, metavar="S", help="of a file at most; default 150; 900 on an iPhone"
    )
    parser.add_argument("--warmup", type=positive, default=1, metavar="N", help="calls before; default %(default)s")
    parser.add_argument(
        "--cool-down", type=seconds, default=0.0, metavar="S", help="wait so long at most after a round; default 0"
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=2,
        metavar="N",
        help="or auto, the runtime's own choice; default %(default)s",
    )
    parser.add_argument("--cores", type=_cores, metavar="N,..", help="numbers of the cores to stay on, or big")
    parser.add_argument(
        "--runner",
        type=Path,
        metavar="PROGRAM",
        help="the platform's own: benchmark_model for a .tflite, executor_runner for a .pte, built for the device",
    )
    parser.add_argument("--install", action="store_true", help="put the runtime into our folder on the device first")


def _threads(text: str) -> int | None:
    return None if text == "auto" else positive(text)


def _cores(text: str) -> "tuple[int, ...] | Literal['big']":
    if text == "big":
        return "big"
    if not all(part.isdigit() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers of cores, such as 4,5,6,7")
    return tuple(sorted({int(part) for part in text.split(",")}))


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code: 1 where a result isn't valid."""
    from mobile_kit.profiling.options import ProfileOptions
    from mobile_kit.profiling.profile import profile
    from mobile_kit.progress import Progress

    asked = ProfileOptions(
        device=options.device,
        team=options.team,
        runner=options.runner,
        install=options.install,
        threads=options.threads,
        cores=options.cores,
        warmup_runs=options.warmup,
        runs=options.runs,
        min_s=options.min_seconds,
        max_s=options.max_seconds,
        cooldown_s=options.cool_down,
    )
    with Progress() as progress:
        found = profile(options.artifacts, asked, progress)
    if options.json:
        print_json([result.to_json() for result in found])
    else:
        print_table(HEADER, [_row(result) for result in found])
    return int(not all(result.validity.valid for result in found))


def _row(result: "Result") -> tuple[str, ...]:
    times = (result.latency.p50, result.latency.p90, result.latency.first, result.load.cold_us)
    peak = result.memory.peak_bytes
    return (
        result.model.name,
        result.config.delegate or "",
        *("" if time is None else f"{time / 1e3:.2f}" for time in times),
        "" if peak is None else f"{peak / 1e6:.0f}",
        result.latency.stability or "",
        "; ".join(result.validity.reasons),
    )
