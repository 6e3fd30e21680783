"""What labels tell of a head: how they are read, what is kept of an image, and the scores that it comes to."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.scores import Score
from mobile_kit.checkpoints.load import IGNORED, LabelMaps
from mobile_kit.errors import ArtifactError, ImageError, UnsupportedError, one_line
from mobile_kit.evaluation.intervals import bootstrap_interval, mean_iou_interval, paired_interval
from mobile_kit.evaluation.label_scores import RankedLabels, correlation, decision_counts, f1
from mobile_kit.evaluation.labelled_images import Example, read_classes, read_masks, read_table
from mobile_kit.evaluation.predictor import class_map
from mobile_kit.measurements import metrics
from mobile_kit.models.spec import TensorSpec

__all__ = ["Task", "task_of"]

TOP = (1, 5)
RANKED = ("logits", "probabilities")
# A label is said of an image from this probability on.
THRESHOLD = 0.5

Array = NDArray[Any]


class Task(Protocol):
    """Labelled images of one kind of head."""

    def examples(self, source: Path) -> list[Example]:
        """Read what is known. Raises: ImageError for labels that don't fit."""
        ...

    def truth(self, example: Example, photo: Array) -> Array:
        """Return what is right of an image. photo: (H, W, C). Raises: ImageError."""
        ...

    def judged(self, outputs: Mapping[str, Array], truth: Array) -> list[Any]:
        """Return what is kept of an image's outputs, as JSON values."""
        ...

    def scores(self, artifact: str, found: Array) -> list[Score]:
        """Return the scores. found: (images, artifact or checkpoint, ...), what was kept."""
        ...


def task_of(manifest: Manifest, maps: LabelMaps) -> Task:
    """Return what labels tell of an artifact. maps: how label maps are read.

    Raises: UnsupportedError where that is nothing.
    """
    model = manifest.record.model
    if model.head == "segmentation":
        return Masks(manifest, maps)
    ranked = next((out for meaning in RANKED for out in manifest.outputs if out.meaning == meaning), None)
    if model.head == "classification" and model.activation == "none":
        return Values(manifest)
    if model.head != "classification" or model.activation is None or ranked is None:
        raise UnsupportedError(
            f"artifact {manifest.folder}: its {model.head} head gives no classes. Use verify --images."
        )
    return Classes(manifest, ranked) if model.activation == "softmax" else Labels(manifest, ranked)


class Classes:
    """One class is right."""

    def __init__(self, manifest: Manifest, ranked: TensorSpec) -> None:
        self._manifest, self._ranked = manifest, ranked.name

    def examples(self, source: Path) -> list[Example]:
        """Read a folder a class, or a CSV of image and label."""
        return read_classes(source, self._manifest.labels, self._manifest.num_classes)

    def truth(self, example: Example, photo: Array) -> Array:
        """Return the class's number."""
        return np.array(example.label)

    def judged(self, outputs: Mapping[str, Array], truth: Array) -> list[Any]:
        """Return whether the class is among the best 1 and 5."""
        best = np.argsort(-outputs[self._ranked][0], kind="stable")
        return [bool(truth in best[:count]) for count in TOP]

    def scores(self, artifact: str, found: Array) -> list[Score]:
        """Return the accuracies."""
        return [
            _score(artifact, f"top{best}", len(found), float(ours.mean()), float(theirs.mean()), interval)
            for place, best in enumerate(TOP)
            for ours, theirs in [found[:, :, place].T]
            for interval in [paired_interval(ours, theirs)]
        ]


class _Table:
    """A number a label: what is right, and what was found, are kept."""

    def __init__(self, manifest: Manifest, output: TensorSpec, each: bool) -> None:
        self._manifest, self._output, self._each = manifest, output, each

    def examples(self, source: Path) -> list[Example]:
        """Read a CSV of image and a column a label."""
        return read_table(source, self._manifest.labels, self._manifest.num_classes, self._each)

    def truth(self, example: Example, photo: Array) -> Array:
        """Return the numbers of all labels."""
        return np.array(example.values)

    def judged(self, outputs: Mapping[str, Array], truth: Array) -> list[Any]:
        """Return what is right and what was found of each label."""
        found = outputs[self._output.name][0].astype(np.float64)
        if not np.isfinite(found).all():
            raise ArtifactError(
                f"artifact {self._manifest.folder}: its {self._output.name} aren't finite numbers. Verify it."
            )
        if self._each and self._output.meaning == "logits":
            found = metrics.sigmoid(found)
        return [truth.tolist(), found.tolist()]


class Labels(_Table):
    """Each label is or isn't right by itself."""

    def __init__(self, manifest: Manifest, ranked: TensorSpec) -> None:
        super().__init__(manifest, ranked, each=True)

    def scores(self, artifact: str, found: Array) -> list[Score]:
        """Return the mean average precision over the labels that occur, and F1 over all decisions."""
        truth = found[:, 0, 0] > THRESHOLD
        sides = [found[:, side, 1] for side in (0, 1)]
        precisions = [RankedLabels(scores, truth) for scores in sides]
        count, once = len(found), np.ones(len(found))
        scores = []
        if truth.any():
            own, other = (each.mean_average_precision(once) for each in precisions)
            interval = bootstrap_interval(
                count, lambda w: precisions[0].mean_average_precision(w) - precisions[1].mean_average_precision(w)
            )
            scores.append(_score(artifact, "mean_average_precision", count, own, other, interval))
        hits = [decision_counts(side > THRESHOLD, truth) for side in sides]
        own, other = (f1(each.sum(0)) for each in hits)
        interval = bootstrap_interval(count, lambda w: f1(w @ hits[0]) - f1(w @ hits[1]))
        return [*scores, _score(artifact, "f1", count, own, other, interval)]


class Values(_Table):
    """A regression's values."""

    def __init__(self, manifest: Manifest) -> None:
        output = next(out for out in manifest.outputs if out.meaning == "values")
        super().__init__(manifest, output, each=False)

    def scores(self, artifact: str, found: Array) -> list[Score]:
        """Return the mean absolute error, and the correlation where there is one."""
        truth, ours, theirs = found[:, 0, 0], found[:, 0, 1], found[:, 1, 1]
        count, once = len(found), np.ones(len(found))
        errors = [np.abs(side - truth).mean(1) for side in (ours, theirs)]
        interval = bootstrap_interval(count, lambda w: float(w @ (errors[0] - errors[1]) / w.sum()))
        error, own_error = (float(each.mean()) for each in errors)
        scores = [_score(artifact, "mean_absolute_error", count, error, own_error, interval)]
        own, other = (correlation(side, truth, once) for side in (ours, theirs))
        if own is not None and other is not None:
            interval = bootstrap_interval(count, lambda w: _difference_of_correlations(ours, theirs, truth, w))
            scores.append(_score(artifact, "correlation", count, own, other, interval))
        return scores


def _difference_of_correlations(ours: Array, theirs: Array, truth: Array, weights: Array) -> float:
    own, other = (correlation(side, truth, weights) for side in (ours, theirs))
    # A drawing of one image many times correlates with nothing.
    return 0.0 if own is None or other is None else own - other


class Masks:
    """The class of each pixel."""

    def __init__(self, manifest: Manifest, maps: LabelMaps) -> None:
        self._manifest, self._maps = manifest, maps
        if (count := manifest.num_classes) > IGNORED:
            raise UnsupportedError(
                f"artifact {manifest.folder}: has {count} classes, and a mask has room for {IGNORED}. "
                "Use verify --images."
            )

    def examples(self, source: Path) -> list[Example]:
        """Read masks beside images."""
        return read_masks(source)

    def truth(self, example: Example, photo: Array) -> Array:
        """Return the classes of the pixels that the network sees, (h, w)."""
        assert example.mask is not None
        numbers = _read_mask(example.mask)
        if numbers.shape != photo.shape[:2]:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (numbers.shape, photo.shape)]
            raise ImageError(
                f"mask {example.mask}: is {sizes[0]}, and its photo, upright, {sizes[1]}. Give one of the photo's size."
            )
        numbers = self._classes(example.mask, numbers.astype(np.int64))
        # Numbers of classes have no mean: the nearest is taken where the photo is resampled.
        preprocess = replace(self._manifest.preprocess, resample="nearest")
        return preprocess.geometry(numbers.astype(np.uint8)[:, :, None])[:, :, 0]

    def _classes(self, mask: Path, numbers: Array) -> Array:
        """Return a mask's numbers as the network's classes. Raises: ImageError."""
        first, ignored, count = self._maps.first, self._maps.ignored, self._manifest.num_classes
        strange = sorted({*np.unique(numbers).tolist()} - {*range(first, first + count)} - ignored)
        if strange:
            some = ", ".join(map(str, strange[:5]))
            raise ImageError(
                f"mask {mask}: holds {some}, and the checkpoint's classes are {first} to {first + count - 1}. Give "
                f"their numbers, and {' or '.join(map(str, sorted(ignored)))} for what is to be ignored."
            )
        return np.where(np.isin(numbers, list(ignored)), IGNORED, numbers - first)

    def judged(self, outputs: Mapping[str, Array], truth: Array) -> list[Any]:
        """Return each class's intersection and union with the truth."""
        classes = class_map(self._manifest, outputs)
        size = (truth.shape[1], truth.shape[0])
        found = np.asarray(Image.fromarray(classes.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
        seen = truth != IGNORED
        numbers = range(self._manifest.num_classes)
        pairs = [((found == n) & seen, (truth == n) & seen) for n in numbers]
        return [[int(np.sum(a & b)) for a, b in pairs], [int(np.sum(a | b)) for a, b in pairs]]

    def scores(self, artifact: str, found: Array) -> list[Score]:
        """Return the mean intersection over union."""
        value, checkpoint, interval = mean_iou_interval(found)
        return [_score(artifact, "mean_iou", len(found), value, checkpoint, interval)]


def _read_mask(path: Path) -> Array:
    try:
        with Image.open(path) as mask:
            numbers = np.asarray(mask)
    except (OSError, SyntaxError) as exc:
        raise ImageError(f"mask {path}: can't be decoded ({one_line(exc)}). Save it again as PNG.") from exc
    if numbers.ndim != 2:
        raise ImageError(f"mask {path}: is a picture in colours. Give numbers of classes, gray or by palette.")
    return numbers


def _score(
    artifact: str, metric: str, images: int, value: float, checkpoint: float, interval: tuple[float, float]
) -> Score:
    return Score(artifact, images, metric, value, checkpoint, value - checkpoint, interval)
