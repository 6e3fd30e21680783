"""The command `evaluate`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_kit.cli.arguments import add_weights, artifact, command
from mobile_kit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mobile_kit.artifacts.scores import Score

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "evaluate", run, "Measure the accuracy of artifacts on labelled images.")
    parser.add_argument("artifacts", metavar="ARTIFACT", type=artifact, nargs="+")
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR|CSV",
        help="a folder a class, a CSV of image and label, or of image and each label's number, or images with masks",
    )
    parser.add_argument("--checkpoint", metavar="MODEL", help="the exported folder or Hub id; default: the manifest's")
    add_weights(parser)


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.evaluation.evaluate import EvaluateOptions, evaluate
    from mobile_kit.progress import Progress

    asked = EvaluateOptions(
        tuple(options.artifacts), options.images, options.checkpoint, options.allow_pickle, options.weights_prefix
    )
    with Progress() as progress:
        scores = evaluate(asked, progress)
    if options.json:
        print_json([asdict(score) for score in scores])
        return 0
    header = ("artifact", "images", "metric", "value", "checkpoint's", "difference", "95 % confidence")
    print_table(header, [_row(score) for score in scores])
    return 0


def _row(score: "Score") -> tuple[str, ...]:
    from mobile_kit.artifacts.scores import figure_text

    figures = [figure_text(score.metric, figure) for figure in (score.value, score.checkpoint)]
    less, low, high = (figure_text(score.metric, each, "+") for each in (score.difference, *score.interval))
    return (score.artifact, str(score.images), score.metric, *figures, less, f"{low} to {high}")
