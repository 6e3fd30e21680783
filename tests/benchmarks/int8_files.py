"""Quantized files of a model: `python -m tests.benchmarks.int8_files TARGET CHECKPOINT IMAGES OUT PART,..`.

Writes OUT-static and OUT-mixed with the target's suffix, the latter with the parts of some names in float, and OUT.json
with how many partitions each has. A model of random weights can't be searched: it takes over what a trained one of its
family was found to need.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from mobile_kit.checkpoints.load import load
from mobile_kit.models.outputs import select_outputs
from mobile_kit.preprocessing.in_graph import attach
from mobile_kit.quantization.calibration import Samples, read_calibration
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import ModelCard, Request
from mobile_kit.target_api.registry import find_target

CARD = ModelCard("benchmark", "", None, None, "", None)


def main(name: str, source: str, images: str, out: str, parts: str) -> None:
    """Calibrate once and write both files."""
    target, checkpoint = find_target(name), load(source)
    built = checkpoint.family.build(checkpoint.model, checkpoint.head.name, checkpoint.image_size, ())
    used = recipe("static_wi8_ai8_mixed")
    model = select_outputs(built, checkpoint.head, ("logits",))
    model = attach(model, checkpoint.preprocess, target.entry, target.has_halves(used))
    found = read_calibration(Path(images), checkpoint.preprocess, 128)
    entered = lambda image: checkpoint.preprocess.as_example(image, target.entry)  # noqa: E731
    samples = Samples(found.images, model.spec.inputs[0].name, entered, {}, lambda number: None)
    backend = target.backends[0] if target.backends else None
    left = {name for name in parts.split(",") if name}
    partitions: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        request = Request(used, backend, None, CARD)
        calibrated = target.calibrate(model, request, samples, Path(folder))
        mixed = {part for part in calibrated.static if not part.among(left)}
        if missing := {name for name in left if not any(part.among([name]) for part in calibrated.static)}:
            raise ValueError(f"{source} has none of {missing}")
        for kind, int8 in (("static", calibrated.static), ("mixed", mixed)):
            path = Path(f"{out}-{kind}{Path(target.model_file).suffix}")
            partitions[kind] = calibrated.write(int8, path).partitions
    Path(f"{out}.json").write_text(json.dumps(partitions), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
