"""Accuracy on labelled images: an artifact's beside the checkpoint's own, on the same images.

What was measured is kept in the artifact, image by image, so that a stopped evaluation goes on where it was.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.artifacts.golden import read_golden
from mobile_kit.artifacts.layout import ANSWERS
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.scores import Score, write_scores
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import CheckpointError, ImageError, UnsupportedError, one_line, unwritable
from mobile_kit.evaluation.intervals import mean_iou_interval, paired_interval
from mobile_kit.evaluation.labelled_images import Example, read_classes, read_masks
from mobile_kit.evaluation.predictor import Predictor, class_map
from mobile_kit.evaluation.verify import check_checkpoint, load_oracle
from mobile_kit.models.spec import TensorSpec
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.progress import Progress
from mobile_kit.records import to_values
from mobile_kit.whole_file import write_whole

__all__ = ["EvaluateOptions", "Score", "evaluate"]

IGNORED = 255
TOP = (1, 5)
RANKED = ("logits", "probabilities")
SHOW_EVERY_S = 2.0

Record = dict[str, Any]
Array = NDArray[Any]


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure. images: a folder, or a CSV of a classifier's. checkpoint: None for the manifest's source."""

    artifacts: tuple[Path, ...]
    images: Path
    checkpoint: str | None = None
    allow_pickle: bool = False


def evaluate(options: EvaluateOptions, progress: Progress) -> list[Score]:
    """Measure artifacts of one checkpoint on labelled images.

    Raises: ImageError for labels that don't fit; UnsupportedError for outputs that labels tell nothing of, or artifacts
        that aren't of one checkpoint; ArtifactError; CheckpointError where the checkpoint can't be loaded, or isn't the
        exported one.
    """
    predictors = [Predictor(folder) for folder in options.artifacts]
    manifests = [predictor.manifest for predictor in predictors]
    _check_common(manifests)
    examples = _examples(options.images, manifests[0])
    keys = [_key(example) for example in examples]
    oracle = load_oracle(manifests[0], options.checkpoint, options.allow_pickle)
    _check_oracle(oracle, manifests)
    journals = [_Journal(manifest) for manifest in manifests]
    shown = -SHOW_EVERY_S
    for number, (key, example) in enumerate(zip(keys, examples, strict=True), start=1):
        missing = [pair for pair in zip(predictors, journals, strict=True) if key not in pair[1].records]
        if missing:
            photo = read_image(example.image, manifests[0].preprocess.channels)
            truth = _truth(example, photo, manifests[0])
            own = oracle.run(oracle.pixel_values(photo))
            for predictor, journal in missing:
                pair = (predictor.outputs(photo), own)
                journal.add(key, [_judged(outputs, truth, predictor.manifest) for outputs in pair])
        if time.monotonic() - shown >= SHOW_EVERY_S or number == len(examples):
            shown = time.monotonic()
            progress.stage("evaluation", f"image {number} of {len(examples)}", done=number == len(examples))
    found = []
    for predictor, journal in zip(predictors, journals, strict=True):
        scores = _scores(predictor.manifest, [journal.records[key] for key in keys])
        write_scores(predictor.manifest.folder, scores)
        found += scores
    return found


class _Journal:
    """What was measured of one artifact, by image, in a file that grows by a line an image.

    The file's first line says which files were measured, with the checkpoint's golden answers among them.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.path = manifest.folder / ANSWERS
        header = {"files": to_values(manifest.record.files)}
        lines = _lines(self.path)
        kept = lines[1:] if lines[:1] == [header] else []
        self.records: dict[str, Any] = {line["image"]: line["found"] for line in kept}
        # Anew, as a line that was torn would take the next one with it.
        _write(self.path, header, *kept)

    def add(self, image: str, found: Any) -> None:
        """Keep what was found of an image: the artifact's, then the checkpoint's."""
        self.records[image] = found
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"image": image, "found": found}) + "\n")
        except OSError as exc:
            raise unwritable(self.path, exc) from exc


def _key(example: Example) -> str:
    """Return what says of an image, and of its label, that they are those that were measured."""
    files = [path for path in (example.image, example.mask) if path is not None]
    try:
        stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError as exc:
        raise ImageError(f"image {example.image}: can't be read ({exc.strerror}). Check the folder.") from exc
    return json.dumps([*stats, example.label])


def _write(path: Path, *lines: Any) -> None:
    """Write JSON values, a line each."""
    try:
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
    except OSError as exc:
        raise unwritable(path, exc) from exc


def _lines(path: Path) -> list[Record]:
    """Return the whole lines of a journal; one that was being written when it was stopped is none."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def _check_common(manifests: list[Manifest]) -> None:
    """Raise UnsupportedError where artifacts aren't of one checkpoint, or labels tell nothing of their outputs."""
    first = manifests[0]
    for each in manifests:
        head = each.record.model.head
        if not (head == "segmentation" or (head == "classification" and _ranked(each) is not None)):
            raise UnsupportedError(f"artifact {each.folder}: its {head} head gives no classes. Use verify --images.")
        count = each.num_classes
        if head == "segmentation" and count > IGNORED:
            raise UnsupportedError(
                f"artifact {each.folder}: has {count} classes, and a mask has room for {IGNORED}. Use verify --images."
            )
    for other in manifests[1:]:
        same = [out.name for out in other.outputs] == [out.name for out in first.outputs]
        if other.record.model != first.record.model or other.preprocess != first.preprocess or not same:
            raise UnsupportedError(
                f"artifact {other.folder}: is of another checkpoint or has other outputs than {first.folder}. "
                "Evaluate one after the other."
            )


def _ranked(manifest: Manifest) -> TensorSpec | None:
    """Return the output that orders a classifier's classes, None where there is none."""
    return next((out for meaning in RANKED for out in manifest.outputs if out.meaning == meaning), None)


def _check_oracle(oracle: Oracle, manifests: list[Manifest]) -> None:
    """Raise CheckpointError where artifacts were exported from another checkpoint."""
    for manifest in manifests:
        check = check_checkpoint(manifest, oracle, read_golden(manifest))
        if check.status == "failed":
            raise CheckpointError(f"artifact {manifest.folder}: {check.detail}. Give that one with --checkpoint.")


def _examples(images: Path, manifest: Manifest) -> list[Example]:
    if manifest.record.model.head == "segmentation":
        return read_masks(images)
    return read_classes(images, manifest.labels, manifest.num_classes)


def _truth(example: Example, photo: Array, manifest: Manifest) -> Array:
    """Return an image's class, (), or the classes of the pixels that the network sees, (h, w).

    photo: (H, W, C), which a mask must be as large as.
    """
    if example.mask is None:
        return np.array(example.label)
    try:
        with Image.open(example.mask) as mask:
            numbers = np.asarray(mask)
    except (OSError, SyntaxError) as exc:
        raise ImageError(f"mask {example.mask}: can't be decoded ({one_line(exc)}). Save it again as PNG.") from exc
    if numbers.ndim != 2:
        raise ImageError(f"mask {example.mask}: is a picture in colours. Give numbers of classes, gray or by palette.")
    if numbers.shape != photo.shape[:2]:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (numbers.shape, photo.shape)]
        raise ImageError(
            f"mask {example.mask}: is {sizes[0]}, and its photo, upright, {sizes[1]}. Give one of the photo's size."
        )
    count = manifest.num_classes
    strange = sorted({*np.unique(numbers).tolist()} - {*range(count), IGNORED})
    if strange:
        some = ", ".join(map(str, strange[:5]))
        raise ImageError(
            f"mask {example.mask}: holds {some}, and the checkpoint's classes are 0 to {count - 1}. Give their "
            f"numbers, and {IGNORED} for what is to be ignored."
        )
    # Numbers of classes have no mean: the nearest is taken where the photo is resampled.
    preprocess = replace(manifest.preprocess, resample="nearest")
    return preprocess.geometry(numbers.astype(np.uint8)[:, :, None])[:, :, 0]


def _judged(outputs: Mapping[str, Array], truth: Array, manifest: Manifest) -> list[Any]:
    """Return whether the class is among the best 1 and 5, or each class's intersection and union with the truth."""
    if truth.ndim == 0:
        ranked = _ranked(manifest)
        assert ranked is not None
        best = np.argsort(-outputs[ranked.name][0], kind="stable")
        return [bool(truth in best[:count]) for count in TOP]
    classes = class_map(manifest, outputs)
    size = (truth.shape[1], truth.shape[0])
    found = np.asarray(Image.fromarray(classes.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    seen = truth != IGNORED
    numbers = range(manifest.num_classes)
    pairs = [((found == n) & seen, (truth == n) & seen) for n in numbers]
    return [[int(np.sum(a & b)) for a, b in pairs], [int(np.sum(a | b)) for a, b in pairs]]


def _scores(manifest: Manifest, records: list[Any]) -> list[Score]:
    name, count = manifest.folder.name, len(records)
    values = np.array(records)  # (images, artifact or checkpoint, ...)
    if manifest.record.model.head == "segmentation":
        value, checkpoint, interval = mean_iou_interval(values)
        return [Score(name, count, "mean_iou", value, checkpoint, value - checkpoint, interval)]
    return [_rate(name, f"top{best}", values[:, 0, place], values[:, 1, place]) for place, best in enumerate(TOP)]


def _rate(artifact: str, metric: str, ours: Array, theirs: Array) -> Score:
    """(N,) bool each to their means."""
    value, checkpoint = float(ours.mean()), float(theirs.mean())
    interval = paired_interval(ours, theirs)
    return Score(artifact, len(ours), metric, value, checkpoint, value - checkpoint, interval)
