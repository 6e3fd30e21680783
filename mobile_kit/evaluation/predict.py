"""Run an artifact on one photo as an app would: geometry here, arithmetic in the file."""

from dataclasses import dataclass
from pathlib import Path

from mobile_kit.errors import UnsupportedError
from mobile_kit.evaluation.overlay import save_overlay
from mobile_kit.evaluation.predictor import Figure, Predictor, read_outputs
from mobile_kit.preprocessing.image_files import read_image

__all__ = ["HEADS_WITH_CLASSES", "Prediction", "predict"]

# The heads whose outputs name classes.
HEADS_WITH_CLASSES = frozenset({"classification", "segmentation"})


@dataclass(frozen=True)
class Prediction:
    """What an artifact says of a photo: its best classes, or all values of a regression.

    figure: what the numbers of `classes` are: probabilities, which of a classifier whose labels are or aren't right
    each by itself don't sum to 1, shares of a segmentation's pixels, or values.
    """

    artifact: str
    image: str
    runtime: str
    figure: Figure
    classes: tuple[tuple[str, float], ...]
    overlay: str | None = None


def predict(folder: Path, image: Path, top: int = 5, save: Path | None = None) -> Prediction:
    """Return the best classes of a photo; for a segmentation, write the overlay with its legend to `save`.

    Raises: ArtifactError, ImageError; UnsupportedError for a head that names no classes, or `save` without a map.
    """
    predictor = Predictor(folder)
    head = predictor.manifest.record.model.head
    if head not in HEADS_WITH_CLASSES:
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
        save_overlay(predictor, pixels, reading, save)
    overlay = None if save is None else str(save)
    return Prediction(str(folder), str(image), predictor.runtime.name, reading.figure, best, overlay)
