"""Run an artifact on a photo, and read its outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.artifacts.golden import read_answers
from mobile_kit.artifacts.manifest import Manifest, open_runtime, read_manifest
from mobile_kit.errors import ArtifactError, UnsupportedError, unknown
from mobile_kit.evaluation.checks import check_contract, check_interface
from mobile_kit.measurements import metrics
from mobile_kit.models.spec import Array
from mobile_kit.target_api.interface import Runtime

__all__ = ["Figure", "Predictor", "Reading", "class_map", "read_outputs"]


Figure = Literal["probability", "share", "value"]


@dataclass(frozen=True)
class Reading:
    """What outputs say of the classes.

    scores: (K,), their probabilities, a regression's values, or their shares of the pixels of `classes`, (h, w), which
    a classifier hasn't. figure: what the scores are.
    """

    scores: Array
    classes: NDArray[np.int64] | None
    figure: Figure

    def best(self, top: int) -> list[int]:
        """Return the classes with the highest scores, the highest first; of a map, those that are in it.

        Values have no best: all of them are returned, in their order.
        """
        if self.figure == "value":
            return list(range(len(self.scores)))
        order = np.argsort(-self.scores, kind="stable")[:top]
        return [int(index) for index in order if self.classes is None or self.scores[index] > 0]


class Predictor:
    """A loaded artifact that takes photos of any size."""

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        self.runtime = open_runtime(self.manifest)
        _check(self.manifest, self.runtime)
        further = self.manifest.record.inputs[1:]
        self._further = {each.name: self.manifest.golden(each) for each in further}

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


def _check(manifest: Manifest, runtime: Runtime) -> None:
    """Raise ArtifactError where the manifest isn't as it was exported, or says other than the file."""
    for check in (check_contract(manifest, read_answers(manifest)), check_interface(manifest, runtime)):
        if check.status == "failed":
            raise ArtifactError(f"artifact {manifest.folder}: {check.detail}. Export the model again.")


def read_outputs(manifest: Manifest, outputs: Mapping[str, Array], image: str) -> Reading:
    """Return what the outputs of a head that names classes say of an image.

    Raises: ArtifactError where they aren't finite numbers.
    """
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise ArtifactError(
                f"artifact {manifest.folder}: its {name} aren't finite numbers for {image}. Verify it, or use fp32."
            )
    model = manifest.record.model
    if model.head == "classification":
        return _classifier_reading(manifest, outputs)
    classes = class_map(manifest, outputs)
    return Reading(np.bincount(classes.ravel(), minlength=manifest.num_classes) / classes.size, classes, "share")


def _classifier_reading(manifest: Manifest, outputs: Mapping[str, Array]) -> Reading:
    activation = manifest.record.model.activation
    if activation is None:
        raise ArtifactError(f"artifact {manifest.folder}: its config gives its outputs no classes. Use verify.")
    if "probabilities" in outputs:
        return Reading(outputs["probabilities"][0], None, "probability")
    logits = outputs["logits"][0]
    if activation == "none":
        return Reading(logits, None, "value")
    scores = metrics.sigmoid(logits) if activation == "sigmoid" else metrics.softmax(logits)
    return Reading(scores, None, "probability")


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
