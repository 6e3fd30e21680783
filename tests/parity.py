"""Hold a file against Hugging Face in float64, in the test's own words."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.measurements.metrics import distance, moved, pixel_agreement, sqnr_db
from mobile_kit.models.spec import DISCRETE, Array, TensorSpec
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.target_api.registry import find_target
from sample_apps.checkpoints.digits import held_out_views
from tests.exports import DIGITS, Export

Outputs = dict[str, Array]

FLOAT32_SIGMA, FLOAT32_FACTOR = 1e-4, 4.0
# What runtimes' kernels add to an exact float16, and a margin.
FLOAT16_MARGIN_DB = 4.0
DIGITS_FLOAT16_DB = 45.0
MASK_CHANGED, MASK_FACTOR = 1e-3, 2.0
SIGHT = 0.1
SCENES = 32


@dataclass(frozen=True)
class Reference:
    """Hugging Face's outputs for some photos, (N, ...) each, in three precisions."""

    trained: bool
    exact: Outputs
    single: Outputs
    half: Outputs


@functools.cache
def checkpoint(folder: Path, image_size: tuple[int, int] | None = None) -> Checkpoint:
    return load(str(folder), image_size=image_size)


@functools.cache
def photos(folder: Path, channels: int, count: int = SCENES) -> tuple[NDArray[np.uint8], ...]:
    """Four unseen digits for the checkpoint that was trained on such; scenes of odd sizes for the others.

    Of scenes there are many, as the decibels of a few values for one or two of them are a matter of luck.
    """
    if folder == DIGITS:
        return tuple(image for image, _ in held_out_views(4, seed=11))
    return tuple(_scene(seed)[:, :, :channels] for seed in range(21, 21 + count))


@functools.cache
def _scene(seed: int) -> NDArray[np.uint8]:
    return scene(seed, 427 + seed, 613)


@functools.cache
def reference(
    folder: Path,
    outputs: tuple[TensorSpec, ...],
    artifact: Path | None = None,
    image_size: tuple[int, int] | None = None,
    count: int = SCENES,
) -> Reference:
    """Compute the reference, and prove that it sees its input.

    artifact: whose further inputs are the golden ones. image_size: None for the processor's. count: of photos.
    """
    oracle = Oracle(checkpoint(folder, image_size), outputs, further(read_manifest(artifact)) if artifact else {})
    pixels = [oracle.pixel_values(photo) for photo in photos(folder, oracle.checkpoint.preprocess.channels, count)]
    by_dtype = []
    for dtype in (torch.float64, torch.float32, torch.float16):
        runs = [oracle.run(values, dtype) for values in pixels]
        by_dtype.append({spec.name: np.concatenate([run[spec.name] for run in runs]) for spec in outputs})
    for spec in outputs:
        if spec.meaning in {"index", "kept", "loss"}:  # these read the noise, and the loss hardly the image
            continue
        exact = by_dtype[0][spec.name]
        discrete = spec.meaning in DISCRETE
        apart = [np.mean(exact[0] != other) if discrete else moved(exact[0], other) for other in exact[1:]]
        assert np.median(apart) >= SIGHT, f"{spec.name} is the same for all photos"
    return Reference(folder == DIGITS, *by_dtype)


def further(manifest: Manifest) -> dict[str, Array]:
    """Return the golden values of the inputs beside the image."""
    return {each.name: manifest.golden(each) for each in manifest.record.inputs[1:]}


def run(manifest: Manifest, images: tuple[NDArray[np.uint8], ...]) -> Outputs:
    """Run an artifact on photos as an app would. Returns: (N, ...) by output."""
    runtime = find_target(manifest.record.target).load(manifest.model_path, manifest.inputs, manifest.outputs)
    preprocess, name = manifest.preprocess, manifest.inputs[0].name
    entering = (preprocess.entering(preprocess.geometry(image), manifest.in_graph) for image in images)
    results = [runtime.run({name: entered, **further(manifest)}) for entered in entering]
    return {spec.name: np.concatenate([result[spec.name] for result in results]) for spec in manifest.outputs}


def assert_parity(exported: Export, name: str, count: int = SCENES) -> None:
    """Hold an artifact against the bounds above on some photos."""
    manifest = read_manifest(exported[name])
    artifact = exported[name] if len(manifest.inputs) > 1 else None
    asked = manifest.preprocess.image_size
    own = checkpoint(exported.checkpoint).image_size
    truth = reference(exported.checkpoint, manifest.outputs, artifact, None if asked == own else asked, count)
    images = photos(exported.checkpoint, manifest.preprocess.channels, count)
    assert_within_bounds(manifest, run(manifest, images), truth)


def assert_within_bounds(manifest: Manifest, found: Outputs, truth: Reference) -> None:
    half = manifest.record.recipe.weight_bits == 16
    assert found.keys() == truth.exact.keys()
    for spec in manifest.outputs:
        got, exact, single, low = (outputs[spec.name] for outputs in (found, truth.exact, truth.single, truth.half))
        assert got.shape == exact.shape == (len(exact), *spec.shape[1:])
        assert got.dtype == spec.dtype
        if spec.meaning == "mask":
            own = 1 - pixel_agreement(low if half else single, exact)
            assert 1 - pixel_agreement(got, exact) <= max(MASK_CHANGED, MASK_FACTOR * own), spec.name
        elif half:
            floor = sqnr_db(low, exact) - FLOAT16_MARGIN_DB
            assert sqnr_db(got, exact) >= max(floor, DIGITS_FLOAT16_DB if truth.trained else floor), spec.name
        elif spec.meaning == "loss":
            # One number a photo, hardly another for another photo: its scale is its size.
            assert max(map(distance, got, exact)) <= FLOAT32_SIGMA, spec.name
        else:
            limit = max(FLOAT32_SIGMA, FLOAT32_FACTOR * distance(single, exact))
            assert distance(got, exact) <= limit, spec.name
