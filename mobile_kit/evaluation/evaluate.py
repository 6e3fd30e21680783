"""Accuracy on labelled images: an artifact's beside the checkpoint's own, on the same images.

What was measured is kept in the artifact, image by image, so that a stopped evaluation goes on where it was.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit.artifacts.golden import read_answers, read_golden
from mobile_kit.artifacts.layout import ANSWERS
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.scores import Score, write_scores
from mobile_kit.checkpoints.load import LabelMaps
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import CheckpointError, ImageError, UnsupportedError, unwritable
from mobile_kit.evaluation.labelled_images import Example
from mobile_kit.evaluation.predictor import Predictor
from mobile_kit.evaluation.tasks import Task, task_of
from mobile_kit.evaluation.verify import check_checkpoint, load_oracle
from mobile_kit.preprocessing.image_files import left_out_text, list_images, read_image
from mobile_kit.progress import Progress
from mobile_kit.reading import ReadError, read_json_lines
from mobile_kit.records import to_values
from mobile_kit.whole_file import write_whole

__all__ = ["EvaluateOptions", "Score", "evaluate"]

SHOW_EVERY_S = 2.0

Record = dict[str, Any]


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure. images: a folder, or a CSV of labels. checkpoint: None for the manifest's source."""

    artifacts: tuple[Path, ...]
    images: Path
    checkpoint: str | None = None
    allow_pickle: bool = False
    weights_prefix: str = ""


def evaluate(options: EvaluateOptions, progress: Progress) -> list[Score]:
    """Measure artifacts of one checkpoint on labelled images.

    Raises: ImageError for labels that don't fit; UnsupportedError for outputs that labels tell nothing of, or artifacts
        that aren't of one checkpoint; ArtifactError; CheckpointError where the checkpoint can't be loaded, or isn't the
        exported one.
    """
    predictors = [Predictor(folder) for folder in options.artifacts]
    manifests = [predictor.manifest for predictor in predictors]
    _check_common(manifests)
    oracle = load_oracle(manifests[0], options.checkpoint, options.allow_pickle, options.weights_prefix)
    tasks = [task_of(manifest, oracle.checkpoint.label_maps) for manifest in manifests]
    examples = tasks[0].examples(options.images)
    if options.images.is_dir() and (left_out := list_images(options.images)[1]):
        progress.note(f"evaluation: {left_out_text(left_out)}")
    _check_oracle(oracle, manifests)
    journals = [_Journal(manifest, oracle.checkpoint.label_maps) for manifest in manifests]
    keys, shown = [], -SHOW_EVERY_S
    for number, example in enumerate(examples, start=1):
        key = _key(example)
        try:
            _measure(key, example, list(zip(predictors, journals, strict=True)), tasks[0], oracle)
            keys.append(key)
        except ImageError as exc:
            if number == len(examples) and not keys:
                raise
            progress.note(f"evaluation: left out: {exc}")
        if time.monotonic() - shown >= SHOW_EVERY_S or number == len(examples):
            shown = time.monotonic()
            progress.stage("evaluation", f"image {number} of {len(examples)}", done=number == len(examples))
    found = []
    for task, manifest, journal in zip(tasks, manifests, journals, strict=True):
        scores = task.scores(manifest.folder.name, np.array([journal.records[key] for key in keys]))
        write_scores(manifest.folder, scores)
        found += scores
    return found


def _measure(
    key: str, example: Example, artifacts: "list[tuple[Predictor, _Journal]]", task: Task, oracle: Oracle
) -> None:
    """Add what artifacts and their checkpoint make of an image to the journals that lack it.

    Raises: ImageError where the image, or its map of labels, can't be decoded.
    """
    missing = [pair for pair in artifacts if key not in pair[1].records]
    if not missing:
        return
    photo = read_image(example.image, missing[0][0].manifest.preprocess.channels)
    truth = task.truth(example, photo)
    own = oracle.run(oracle.pixel_values(photo))
    for predictor, journal in missing:
        journal.add(key, [task.judged(outputs, truth) for outputs in (predictor.outputs(photo), own)])


class _Journal:
    """What was measured of one artifact, by image, in a file that grows by a line an image.

    The file's first line says which files were measured, with the checkpoint's golden answers among them, and how
    label maps were read.
    """

    def __init__(self, manifest: Manifest, maps: LabelMaps) -> None:
        self.path = manifest.folder / ANSWERS
        labels = {"first": maps.first, "ignored": sorted(maps.ignored)}
        header = {"files": to_values(manifest.record.files), "label_maps": labels}
        lines = _lines(self.path)
        kept = lines[1:] if lines[:1] == [header] else []
        self.records = {line["image"]: line["found"] for line in kept if _is_answer(line)}
        # Anew, as a line that was torn would take the next one with it.
        _write(self.path, header, *({"image": image, "found": found} for image, found in self.records.items()))

    def add(self, image: str, found: Any) -> None:
        """Keep what was found of an image: the artifact's, then the checkpoint's."""
        self.records[image] = found
        try:
            # Not through a link: the file is of a folder that may be another's.
            number = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(number, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"image": image, "found": found}) + "\n")
        except OSError as exc:
            raise unwritable(self.path, exc) from exc


def _is_answer(line: Any) -> bool:
    """Whether a line is one of `_Journal.add`."""
    if not isinstance(line, dict) or not isinstance(line.get("image"), str):
        return False
    found = line.get("found")
    return isinstance(found, list) and len(found) == 2 and all(isinstance(each, list) for each in found)


def _key(example: Example) -> str:
    """Return what says of an image, and of its label, that they are those that were measured."""
    files = [path for path in (example.image, example.mask) if path is not None]
    try:
        stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError as exc:
        raise ImageError(f"image {example.image}: can't be read ({exc.strerror}). Check the folder.") from exc
    return json.dumps([*stats, example.label if example.values is None else example.values])


def _write(path: Path, *lines: Any) -> None:
    """Write JSON values, a line each."""
    try:
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
    except OSError as exc:
        raise unwritable(path, exc) from exc


def _lines(path: Path) -> list[Record]:
    """Return the whole lines of a journal; one that was being written when it was stopped is none."""
    try:
        return read_json_lines(path)
    except ReadError:
        return []


def _check_common(manifests: list[Manifest]) -> None:
    """Raise UnsupportedError where artifacts aren't of one checkpoint."""
    first = manifests[0]
    for other in manifests[1:]:
        same = [out.name for out in other.outputs] == [out.name for out in first.outputs]
        if other.record.model != first.record.model or other.preprocess != first.preprocess or not same:
            raise UnsupportedError(
                f"artifact {other.folder}: is of another checkpoint or has other outputs than {first.folder}. "
                "Evaluate one after the other."
            )


def _check_oracle(oracle: Oracle, manifests: list[Manifest]) -> None:
    """Raise CheckpointError where artifacts were exported from another checkpoint."""
    for manifest in manifests:
        golden = read_golden(manifest)
        samples = read_answers(manifest).samples(manifest, golden)
        check = check_checkpoint(manifest, oracle, [golden, *samples])
        if check.status == "failed":
            raise CheckpointError(f"artifact {manifest.folder}: {check.detail}. Give that one with --checkpoint.")
