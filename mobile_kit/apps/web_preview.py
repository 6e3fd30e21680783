"""An artifact on this machine's runtime, as the page of `serve` asks for it: an image's bytes in, JSON values out."""

import base64
import io
import math
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mobile_kit.artifacts.layout import PHOTO
from mobile_kit.errors import ArtifactError
from mobile_kit.evaluation.overlay import colorize, legend
from mobile_kit.evaluation.predict import HEADS_WITH_CLASSES
from mobile_kit.evaluation.predictor import Predictor, Reading, read_outputs
from mobile_kit.models.spec import Array
from mobile_kit.preprocessing.image_files import decode_image

__all__ = ["Preview"]

TOP = 5
# Steps of a call, in milliseconds each. What a photo's decoder takes is no part of them.
STEPS = ("preprocess", "inference", "postprocess")


class Preview:
    """A loaded artifact. One call at a time, all in one thread.

    Raises: ArtifactError; UnsupportedError where the file runs on a device only; MissingToolError.
    """

    def __init__(self, folder: Path) -> None:
        self.predictor = Predictor(folder)
        try:
            self.golden_photo = (folder / PHOTO).read_bytes()
        except OSError as exc:
            way = "Export the model again."
            raise ArtifactError(f"artifact {folder}: golden/photo.png can't be read ({exc.strerror}). {way}") from exc

    def warm_up(self) -> None:
        """Run the golden photo: runtimes lay out memory and start threads in a first call, whose time says nothing."""
        self.answer(self.golden_photo, PHOTO)

    def facts(self) -> dict[str, Any]:
        """Return what the page says of the artifact."""
        manifest, runtime = self.predictor.manifest, self.predictor.runtime
        model, (height, width) = manifest.record.model, manifest.preprocess.image_size
        backend = manifest.record.backend
        doubt = {"weights": "random: what it says means nothing"} if model.random_weights else {}
        return {
            "model": model.source,
            "head": model.head,
            "activation": model.activation,
            "facts": {
                "family": f"{model.family}, {model.head}",
                "file": f"{manifest.record.target}{f' ({backend})' if backend else ''}, "
                f"{manifest.record.recipe.name}, {manifest.model_bytes / 1e6:.2f} MB",
                "input": f"{height}x{width} px, {manifest.inputs[0].color or 'pixel_values'}",
                "runtime": runtime.name,
                **doubt,
            },
            "machine": f"{platform.system()} {platform.machine()}",
            "native": runtime.native,
        }

    def answer(self, data: bytes, name: str) -> dict[str, Any]:
        """Run the model on an image file's bytes. name: what errors call the image.

        Returns: `classes`, the best of a classifier, all values of a regression or all classes that a map's legend
        names, or None, and what their `figure` is; `outputs` with their norms, of heads that name none; `seen`, what
        the network saw, and a segmentation's `map`, as PNGs in base64; `ms` a step.
        Raises: ImageError; ArtifactError where what is computed aren't finite numbers.
        """
        predictor, preprocess = self.predictor, self.predictor.manifest.preprocess
        pixels = decode_image(data, name, preprocess.channels)
        times = [time.perf_counter()]
        seen = preprocess.geometry(pixels)
        times.append(time.perf_counter())
        outputs = predictor.run(seen)
        times.append(time.perf_counter())
        naming = predictor.manifest.record.model.head in HEADS_WITH_CLASSES
        reading = read_outputs(predictor.manifest, outputs, name) if naming else None
        times.append(time.perf_counter())
        spent = zip(STEPS, np.diff(times).tolist(), strict=True)
        return {
            "figure": None if reading is None else reading.figure,
            "classes": None if reading is None else self._classes(reading),
            "outputs": None if naming else [_summary(*each) for each in outputs.items()],
            "seen": _png(Image.fromarray(np.broadcast_to(seen[:, :, :3], (*preprocess.image_size, 3)).copy())),
            "map": None if reading is None else _map(reading, preprocess.image_size),
            "ms": {step: 1e3 * seconds for step, seconds in spent},
        }

    def _classes(self, reading: Reading) -> list[dict[str, Any]]:
        if reading.classes is not None:
            named = legend(self.predictor, reading)
            return [{"label": label, "score": share, "color": _css(color)} for label, share, color in named]
        best = ((self.predictor.label(index), float(reading.scores[index])) for index in reading.best(TOP))
        return [{"label": label, "score": score, "color": None} for label, score in best]


def _summary(name: str, values: Array) -> dict[str, Any]:
    """Return an output's shape and L2 norm, None where it holds what is no finite number."""
    norm = float(np.linalg.norm(values.astype(np.float64)))
    return {"name": name, "shape": list(values.shape), "norm": norm if math.isfinite(norm) else None}


def _map(reading: Reading, image_size: tuple[int, int]) -> str | None:
    height, width = image_size
    return None if reading.classes is None else _png(colorize(reading.classes, (width, height)))


def _png(image: Image.Image) -> str:
    stream = io.BytesIO()
    # The page is on this machine: less work is worth more than fewer bytes.
    image.save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()


def _css(color: tuple[int, int, int]) -> str:
    return f"rgb({color[0]}, {color[1]}, {color[2]})"
