"""The command `evaluate`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mobile_kit.cli.arguments import command
from mobile_kit.cli.output import print_json, print_table

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "evaluate", run, "Measure the accuracy of artifacts on labelled images.")
    parser.add_argument("artifacts", metavar="ARTIFACT", type=Path, nargs="+")
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR|CSV",
        help="a folder a class, a CSV of image and label, or images with masks",
    )
    parser.add_argument("--checkpoint", metavar="MODEL", help="the exported folder or Hub id; default: the manifest's")
    parser.add_argument("--allow-pickle", action="store_true", help="read pytorch_model.bin, tensors only")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.evaluation.evaluate import EvaluateOptions, evaluate
    from mobile_kit.progress import Progress

    asked = EvaluateOptions(tuple(options.artifacts), options.images, options.checkpoint, options.allow_pickle)
    with Progress() as progress:
        scores = evaluate(asked, progress)
    if options.json:
        print_json([asdict(score) for score in scores])
        return 0
    header = ("artifact", "images", "metric", "value", "checkpoint's", "difference", "95 % confidence")
    shown = [
        (s.artifact, s.images, s.metric, f"{s.value:.2%}", f"{s.checkpoint:.2%}", f"{s.difference:+.2%}")
        for s in scores
    ]
    intervals = [f"{s.interval[0]:+.2%} to {s.interval[1]:+.2%}" for s in scores]
    print_table(header, [(*map(str, row), interval) for row, interval in zip(shown, intervals, strict=True)])
    return 0
