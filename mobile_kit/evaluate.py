"""Accuracy on labelled images: an artifact's beside the checkpoint's own, on the same images.

What was measured is kept in the artifact, image by image, so that a stopped evaluation goes on where it was.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.errors import ArtifactError, ImageError, UnsupportedError
from mobile_kit.images import read_image
from mobile_kit.labelled import Example, read_classes, read_masks
from mobile_kit.manifest import Manifest
from mobile_kit.metrics import mean_iou_interval, paired_interval
from mobile_kit.predict import Predictor, class_map
from mobile_kit.progress import Progress
from mobile_kit.verify import load_oracle

__all__ = ["SCORES", "EvaluateOptions", "Score", "evaluate"]

KEPT, SCORES = "evaluation.jsonl", "evaluation.json"
IGNORED = 255
TOP = (1, 5)

Record = dict[str, Any]
Array = NDArray[Any]


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure. images: a folder, or a CSV of a classifier's. checkpoint: null for the manifest's source."""

    artifacts: tuple[Path, ...]
    images: Path
    checkpoint: str | None = None
    allow_pickle: bool = False


@dataclass(frozen=True)
class Score:
    """One figure of one artifact, 0 to 1, beside the checkpoint's.

    metric: top1, top5 or mean_iou. difference: the artifact's less the checkpoint's. interval: where that lies with
    95 % confidence, image by image compared.
    """

    artifact: str
    images: int
    metric: str
    value: float
    checkpoint: float
    difference: float
    interval: tuple[float, float]


def evaluate(options: EvaluateOptions, progress: Progress) -> list[Score]:
    """Measure artifacts of one checkpoint on labelled images.

    Raises: ImageError for labels that don't fit; UnsupportedError for a head that has none, or artifacts that aren't of
        one checkpoint; ArtifactError; CheckpointError where the checkpoint can't be loaded.
    """
    predictors = [Predictor(folder) for folder in options.artifacts]
    manifest = _common([predictor.manifest for predictor in predictors])
    examples = _examples(options.images, manifest)
    oracle = load_oracle(manifest, options.checkpoint, options.allow_pickle)
    journals = [_Journal(predictor.manifest.folder / KEPT, _header(examples, manifest)) for predictor in predictors]
    for number, example in enumerate(examples, start=1):
        missing = [pair for pair in zip(predictors, journals, strict=True) if str(example.image) not in pair[1].records]
        if missing:
            photo = read_image(example.image, manifest.preprocess.channels)
            truth = _truth(example, manifest)
            own = _judged(oracle.run(oracle.pixel_values(photo)), truth, manifest)
            for predictor, journal in missing:
                journal.add(str(example.image), [_judged(predictor.outputs(photo), truth, manifest), own])
        progress.stage("evaluation", f"image {number} of {len(examples)}", done=number == len(examples))
    found = []
    for predictor, journal in zip(predictors, journals, strict=True):
        scores = _scores(predictor.manifest, [journal.records[str(example.image)] for example in examples])
        _write(predictor.manifest.folder / SCORES, "w", [asdict(score) for score in scores])
        found += scores
    return found


class _Journal:
    """What was measured of one artifact, by image, in a file that grows by a line an image."""

    def __init__(self, path: Path, header: Record) -> None:
        self.path = path
        self.records: dict[str, Any] = {}
        lines = _lines(path)
        if lines[:1] == [header]:
            self.records = {line["image"]: line["found"] for line in lines[1:]}
        else:
            _write(path, "w", header)

    def add(self, image: str, found: Any) -> None:
        """Keep what was found of an image: the artifact's, then the checkpoint's."""
        self.records[image] = found
        _write(self.path, "a", {"image": image, "found": found})


def _write(path: Path, mode: str, content: Any) -> None:
    """Write JSON values as a line."""
    try:
        with path.open(mode, encoding="utf-8") as stream:
            stream.write(json.dumps(content) + "\n")
    except OSError as exc:
        raise ArtifactError(
            f"artifact {path.parent}: {path.name} can't be written ({exc.strerror}). Copy the artifact to a folder of "
            "yours."
        ) from exc


def _lines(path: Path) -> list[Record]:
    """Return the whole lines of a journal; one that was being written when it was stopped is none."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def _common(manifests: list[Manifest]) -> Manifest:
    """Return the first of some manifests, which must be of one checkpoint and a head that labels tell something of."""
    first = manifests[0]
    head = first.data["model"]["head"]
    if head not in {"classification", "segmentation"}:
        raise UnsupportedError(f"artifact {first.folder}: its {head} head gives no classes. Use verify --images.")
    for other in manifests[1:]:
        if other.data["model"] != first.data["model"] or other.preprocess != first.preprocess:
            raise UnsupportedError(
                f"artifact {other.folder}: is of another checkpoint than {first.folder}. Evaluate one after the other."
            )
    return first


def _examples(images: Path, manifest: Manifest) -> list[Example]:
    if manifest.data["model"]["head"] == "segmentation":
        return read_masks(images)
    return read_classes(images, manifest.labels, manifest.data["model"]["num_labels"])


def _header(examples: list[Example], manifest: Manifest) -> Record:
    """Return what a journal's figures belong to: the examples and the file."""
    named = json.dumps([[str(e.image), e.label, str(e.mask)] for e in examples])
    files = json.dumps(manifest.data["files"], sort_keys=True)
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in (("examples", named), ("files", files))}


def _truth(example: Example, manifest: Manifest) -> Array:
    """Return an image's class, (), or the classes of the pixels that the network sees, (h, w)."""
    if example.mask is None:
        return np.array(example.label)
    try:
        with Image.open(example.mask) as mask:
            numbers = np.asarray(mask)
    except (OSError, SyntaxError) as exc:
        raise ImageError(f"mask {example.mask}: can't be decoded ({exc}). Save it again as PNG.") from exc
    if numbers.ndim != 2:
        raise ImageError(f"mask {example.mask}: is a picture in colours. Give numbers of classes, gray or by palette.")
    # Numbers of classes have no mean: the nearest is taken where the photo is resampled.
    preprocess = replace(manifest.preprocess, resample="nearest")
    return preprocess.geometry(numbers.astype(np.uint8)[:, :, None])[:, :, 0]


def _judged(outputs: Mapping[str, Array], truth: Array, manifest: Manifest) -> list[Any]:
    """Return whether the class is among the best 1 and 5, or each class's intersection and union with the truth."""
    if truth.ndim == 0:
        best = np.argsort(-outputs["logits"][0], kind="stable")
        return [bool(truth in best[:count]) for count in TOP]
    classes = class_map(manifest, outputs)
    size = (truth.shape[1], truth.shape[0])
    found = np.asarray(Image.fromarray(classes.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    seen = truth != IGNORED
    numbers = range(manifest.data["model"]["num_labels"])
    pairs = [((found == n) & seen, (truth == n) & seen) for n in numbers]
    return [[int(np.sum(a & b)) for a, b in pairs], [int(np.sum(a | b)) for a, b in pairs]]


def _scores(manifest: Manifest, records: list[Any]) -> list[Score]:
    name, count = manifest.folder.name, len(records)
    values = np.array(records)  # (images, artifact or checkpoint, ...)
    if manifest.data["model"]["head"] == "segmentation":
        value, checkpoint, interval = mean_iou_interval(values)
        return [Score(name, count, "mean_iou", value, checkpoint, value - checkpoint, interval)]
    return [_rate(name, f"top{best}", values[:, 0, place], values[:, 1, place]) for place, best in enumerate(TOP)]


def _rate(artifact: str, metric: str, ours: Array, theirs: Array) -> Score:
    """(N,) bool each to their means."""
    value, checkpoint = float(ours.mean()), float(theirs.mean())
    interval = paired_interval(ours, theirs)
    return Score(artifact, len(ours), metric, value, checkpoint, value - checkpoint, interval)
