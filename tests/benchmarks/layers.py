"""Unseen digits through a file whose layers alone are int8.

`python -m tests.benchmarks.layers TARGET CHECKPOINT IMAGES OUT N`: the same parts on every target, so that the runtimes
can be compared. Writes the logits (N, classes) to OUT, with numpy.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from mobile_kit.checkpoints.load import load
from mobile_kit.models.outputs import select_outputs
from mobile_kit.preprocessing.in_graph import attach
from mobile_kit.quantization.calibration import Samples, read_calibration
from mobile_kit.quantization.parts import LAYERS, OTHER, Part
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import ModelCard, Request
from mobile_kit.target_api.registry import find_target
from sample_apps.checkpoints.digits import held_out_views
from tests.benchmarks.accuracy import VIEWS_SEED

CARD = ModelCard("benchmark", "", None, None, "", None)


def _taken(part: Part) -> bool:
    """Whether a part is a layer, or may stand in front of the first one, so that bytes come in."""
    return part.kind in LAYERS or (part.kind == OTHER and not part.block)


def main(name: str, source: str, images: str, out: str, count: str) -> None:
    """Calibrate, write, load and run."""
    target, checkpoint, used = find_target(name), load(source), recipe("static_wi8_ai8")
    preprocess = checkpoint.preprocess
    built = checkpoint.family.build(checkpoint.model, checkpoint.head.name, checkpoint.image_size, ())
    model = select_outputs(built, checkpoint.head, ("logits",))
    model = attach(model, preprocess, target.entry, target.has_halves(used))
    entered = lambda image: preprocess.as_example(image, target.entry)  # noqa: E731
    read = read_calibration(Path(images), preprocess, 128).images
    samples = Samples(read, model.spec.inputs[0].name, entered, {}, lambda number: None)
    request = Request(used, target.backends[0] if target.backends else None, None, CARD)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, target.model_file)
        calibrated = target.calibrate(model, request, samples, Path(folder))
        lowered = calibrated.write({part for part in calibrated.static if _taken(part)}, path)
        runtime = target.load(path, lowered.inputs, lowered.outputs)
        entering = (
            preprocess.entering(preprocess.geometry(v), True) for v, _ in held_out_views(int(count), VIEWS_SEED)
        )
        results = [runtime.run({lowered.inputs[0].name: image})["logits"] for image in entering]
    np.save(out, np.concatenate(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
