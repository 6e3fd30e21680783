"""What the commands that take a checkpoint parse alike."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_kit.cli.arguments import add_weights, names, positive, size

if TYPE_CHECKING:
    from mobile_kit.exporting.options import ExportOptions

__all__ = ["add_model", "export_options"]


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model is meant, and what of it."""
    parser.add_argument("model", metavar="MODEL", help="Hub id, local folder, or known name with --random-weights")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--head", help="base, classification, ... (see list); default: the checkpoint's own")
    parser.add_argument("--target", type=names, default=(), metavar="T,..", help="default: all that are installed")
    parser.add_argument("--backend", help="of ExecuTorch: xnnpack (default), coreml, vulkan")
    parser.add_argument("--calibration", type=Path, metavar="DIR", help="images that a static recipe is measured on")
    parser.add_argument(
        "--calibration-samples", type=positive, default=128, metavar="N", help="how many of them; default %(default)s"
    )
    parser.add_argument("--deployment-target", metavar="iOSN", help="oldest system of a Core ML model; default iOS17")
    parser.add_argument("--image-size", type=size, metavar="N|HxW", help="pixels; default: the processor's own")
    parser.add_argument("--input", choices=("image", "pixel_values"), default="image", help="what the file takes")
    parser.add_argument(
        "--outputs", type=names, default=(), metavar="O,..", help="hidden_states, attentions, mask, ... (see list)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--random-weights", action="store_true", help="measure latency before training")
    add_weights(parser)


def export_options(options: argparse.Namespace, **others: Any) -> "ExportOptions":
    """Return what `add_model` parsed, with others."""
    from mobile_kit.exporting.options import ExportOptions

    return ExportOptions(
        model=options.model,
        out=options.out,
        targets=options.target,
        head=options.head,
        backend=options.backend,
        deployment_target=options.deployment_target,
        image_size=options.image_size,
        pixel_values=options.input == "pixel_values",
        outputs=options.outputs,
        revision=options.revision,
        random_weights=options.random_weights,
        allow_pickle=options.allow_pickle,
        weights_prefix=options.weights_prefix,
        calibration=options.calibration,
        calibration_samples=options.calibration_samples,
        **others,
    )
