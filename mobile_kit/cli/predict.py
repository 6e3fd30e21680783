"""The command `predict`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mobile_kit.cli.arguments import artifact, command, positive
from mobile_kit.cli.output import print_json, print_table

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "predict", run, "Run an artifact on a photo.")
    parser.add_argument("artifact", metavar="ARTIFACT", type=artifact)
    parser.add_argument("image", metavar="IMAGE", type=Path)
    parser.add_argument(
        "--top",
        type=positive,
        default=5,
        metavar="K",
        help="how many classes to print; default 5; of a regression, all",
    )
    parser.add_argument("--save", type=Path, metavar="PNG", help="write the segmentation over the photo")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.evaluation.predict import predict

    prediction = predict(options.artifact, options.image, options.top, options.save)
    if options.json:
        print_json(asdict(prediction))
        return 0
    form = ".4g" if prediction.figure == "value" else ".1%"
    print_table(("class", prediction.figure), [(name, format(part, form)) for name, part in prediction.classes])
    if prediction.overlay:
        print(f"overlay: {prediction.overlay}")
    return 0
