"""Run an artifact on one photo as an app would: geometry here, arithmetic in the file."""

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mobile_kit.artifacts.golden import read_answers
from mobile_kit.artifacts.manifest import Manifest, open_runtime, read_manifest
from mobile_kit.errors import ArtifactError, ImageError, UnsupportedError, unknown
from mobile_kit.evaluation.checks import check_contract, check_interface
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.target_api.interface import Array

__all__ = [
    "NAMING",
    "Prediction",
    "Predictor",
    "Reading",
    "class_map",
    "legend",
    "painted",
    "predict",
    "read_outputs",
]

# The heads whose outputs name classes.
NAMING = frozenset({"classification", "segmentation"})
LEGEND_ROW_PX = 22
# A class is named in the legend where it covers at least this part of the picture.
LEAST_SHARE = 0.002


@dataclass(frozen=True)
class Prediction:
    """The best classes of a photo with their probabilities, or of a segmentation with their share of the pixels.

    figure: what the numbers are, "probability" or "share".
    """

    artifact: str
    image: str
    runtime: str
    figure: str
    classes: tuple[tuple[str, float], ...]
    overlay: str | None = None


@dataclass(frozen=True)
class Reading:
    """What outputs say of the classes.

    scores: (K,), their probabilities, or their shares of the pixels of `classes`, (h, w), which a classifier hasn't.
    """

    scores: Array
    classes: NDArray[np.int64] | None

    @property
    def figure(self) -> str:
        """What the scores are."""
        return "probability" if self.classes is None else "share"

    def best(self, top: int) -> list[int]:
        """Return the classes with the highest scores, the highest first; of a map, those that are in it."""
        order = np.argsort(-self.scores, kind="stable")[:top]
        return [int(index) for index in order if self.classes is None or self.scores[index] > 0]


class Predictor:
    """A loaded artifact that takes photos of any size."""

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        self.runtime = open_runtime(self.manifest)
        for check in (
            check_contract(self.manifest, read_answers(self.manifest)),
            check_interface(self.manifest, self.runtime),
        ):
            if check.status == "failed":
                raise ArtifactError(f"artifact {folder}: {check.detail}. Export the model again.")
        records = self.manifest.data["inputs"][1:]
        self._further = {record["name"]: self.manifest.golden(record) for record in records}

    def outputs(self, image: NDArray[np.uint8], further: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """(H, W, C) uint8 of any size to every output by name.

        further: values of the inputs beside the image, such as noise; of those that aren't given, the golden ones.
        Raises: UnsupportedError for an input that the file lacks, or of another shape.
        """
        return self.run(self.manifest.preprocess.geometry(image), further)

    def run(self, seen: NDArray[np.uint8], further: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """(h, w, C) uint8 at the network's size to every output by name; see `outputs`."""
        values = self.manifest.preprocess.entering(seen, self.manifest.in_graph)
        given = {name: self._fitting(name, value) for name, value in (further or {}).items()}
        return self.runtime.run({**self._further, **given, self.manifest.inputs[0].name: values})

    def _fitting(self, name: str, value: Array) -> Array:
        specs = {spec.name: spec for spec in self.manifest.inputs[1:]}
        if name not in specs:
            raise unknown("input", name, specs or ["none beside the image"])
        spec = specs[name]
        if value.shape != spec.shape:
            raise UnsupportedError(
                f"input {name!r}: its shape is {value.shape}, and the file takes {spec.shape}. Give it so."
            )
        return value.astype(spec.dtype)

    def label(self, index: int) -> str:
        """The name of a class."""
        labels = self.manifest.labels
        return labels[index] if labels else f"class {index}"


def predict(folder: Path, image: Path, top: int = 5, save: Path | None = None) -> Prediction:
    """Return the best classes of a photo; for a segmentation, write the overlay with its legend to `save`.

    Raises: ArtifactError, ImageError; UnsupportedError for a head that names no classes, or `save` without a map.
    """
    predictor = Predictor(folder)
    head = predictor.manifest.data["model"]["head"]
    if head not in NAMING:
        raise UnsupportedError(f"artifact {folder}: its {head} head names no classes. Use verify, or another head.")
    if save is not None and save.suffix.lower() != ".png":
        raise UnsupportedError(f"--save {save}: isn't a PNG's name. Let it end in .png.")
    if head == "classification" and save is not None:
        raise UnsupportedError(f"--save {save}: a classifier has no map to draw. Leave it out.")
    pixels = read_image(image, predictor.manifest.preprocess.channels)
    outputs = predictor.outputs(pixels)
    reading = read_outputs(predictor.manifest, outputs, str(image))
    best = tuple((predictor.label(index), float(reading.scores[index])) for index in reading.best(top))
    if save is not None:
        _save_overlay(predictor, pixels, reading, save)
    overlay = None if save is None else str(save)
    return Prediction(str(folder), str(image), predictor.runtime.name, reading.figure, best, overlay)


def read_outputs(manifest: Manifest, outputs: Mapping[str, Array], image: str) -> Reading:
    """Return what the outputs of a head that names classes say of an image.

    Raises: ArtifactError where they aren't finite numbers.
    """
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise ArtifactError(
                f"artifact {manifest.folder}: its {name} aren't finite numbers for {image}. Verify it, or use fp32."
            )
    model = manifest.data["model"]
    if model["head"] == "classification":
        return Reading(_probabilities(outputs), None)
    classes = class_map(manifest, outputs)
    return Reading(np.bincount(classes.ravel(), minlength=model["num_labels"]) / classes.size, classes)


def _probabilities(outputs: Mapping[str, Array]) -> Array:
    if "probabilities" in outputs:
        return outputs["probabilities"][0]
    logits = outputs["logits"][0].astype(np.float64)
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def class_map(manifest: Manifest, outputs: Mapping[str, Array]) -> NDArray[np.int64]:
    """Return the class of each pixel, (h, w), in the file's own resolution."""
    if "mask" in outputs:
        return outputs["mask"][0].astype(np.int64)
    if "segmenter" in outputs:
        return outputs["segmenter"][0].argmax(-1)
    scores = outputs["logits"][0]
    height, width = manifest.preprocess.image_size
    # Bilinear without aligned corners, as Hugging Face's post_process_semantic_segmentation resizes logits.
    planes = [Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR) for plane in scores]
    return np.stack([np.asarray(plane) for plane in planes]).argmax(0)


def _color(index: int) -> tuple[int, int, int]:
    """Return a colour far from its neighbours' (golden-ratio steps of hue); class 0, the background, is black."""
    if index == 0:
        return (0, 0, 0)
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.75, 0.95)
    return (round(red * 255), round(green * 255), round(blue * 255))


def legend(predictor: Predictor, reading: Reading) -> list[tuple[str, float, tuple[int, int, int]]]:
    """Return the label, share and colour of the classes that a legend names, the largest first."""
    named = [index for index in reading.best(len(reading.scores)) if reading.scores[index] >= LEAST_SHARE]
    return [(predictor.label(index), float(reading.scores[index]), _color(index)) for index in named]


def painted(classes: NDArray[np.int64], size: tuple[int, int]) -> Image.Image:
    """Return a map of classes in their colours. size: (width, height) in pixels."""
    palette = np.array([_color(index) for index in range(int(classes.max()) + 1)], dtype=np.uint8)
    return Image.fromarray(palette[classes]).resize(size, Image.Resampling.NEAREST)


def _save_overlay(predictor: Predictor, image: NDArray[np.uint8], reading: Reading, path: Path) -> None:
    """Lay the classes over what the network saw, half transparent, with a legend below."""
    assert reading.classes is not None
    preprocess = predictor.manifest.preprocess
    seen = Image.fromarray(np.broadcast_to(preprocess.geometry(image), (*preprocess.image_size, 3)).copy())
    blended = Image.blend(seen, painted(reading.classes, seen.size), 0.5)
    named = legend(predictor, reading)
    sheet = Image.new("RGB", (max(blended.width, 240), blended.height + LEGEND_ROW_PX * len(named) + 6), "white")
    sheet.paste(blended, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for row, (label, share, color) in enumerate(named):
        top = blended.height + 6 + row * LEGEND_ROW_PX
        draw.rectangle((6, top, 6 + 14, top + 14), fill=color, outline="gray")
        draw.text((28, top), f"{label}  {share:.1%}", fill="black", font=ImageFont.load_default(14))
    try:
        sheet.save(path)
    except (OSError, ValueError) as exc:
        raise ImageError(f"--save {path}: can't be written ({exc}). Name a .png in a folder that exists.") from exc
