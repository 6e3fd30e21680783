"""Inputs as an app gives them to the tensors of the program's main function."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from targets.coreml.mil.blob import STORAGE
from targets.coreml.mil.program import Feature, MilError, fits, format_shape

__all__ = ["feed"]


def feed(features: Sequence[Feature], inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Return each input in its declared dtype, an image in its declared colour order.

    inputs: one array a feature. An image is RGB (1, 3, H, W) or gray (1, 1, H, W), 0..255: what Core ML makes of a
    pixel buffer; GRAYSCALE_FLOAT16 alone has no such bounds.
    Raises: MilError for missing or unknown names, a shape that isn't the declared one, or pixels out of range.
    """
    names = {feature.name for feature in features}
    if names != inputs.keys():
        given = ", ".join(sorted(inputs)) or "none"
        raise MilError(f"inputs {given}: they aren't the program's. Known: {', '.join(sorted(names))}.")
    return {feature.name: _feed_one(feature, np.asarray(inputs[feature.name])) for feature in features}


def _feed_one(feature: Feature, array: np.ndarray) -> Tensor:
    _check_shape(feature, array)
    if feature.kind == "image":
        _check_pixels(feature, array)
        array = array[:, ::-1] if feature.color == "BGR" else array
    if feature.dtype not in STORAGE:
        raise MilError(f"input {feature.name!r}: its type {feature.dtype} can't be fed. Known: {', '.join(STORAGE)}.")
    # A copy, as torch takes no negative strides and no array that is read-only.
    return torch.from_numpy(array.astype(STORAGE[feature.dtype]))


def _check_shape(feature: Feature, array: np.ndarray) -> None:
    if not fits(array.shape, feature.shape):
        raise MilError(
            f"input {feature.name!r} {format_shape(array.dtype.name, array.shape)}: the program takes "
            f"{format_shape(feature.dtype, feature.shape)}. Resize or batch it so."
        )


def _check_pixels(feature: Feature, array: np.ndarray) -> None:
    if feature.color == "GRAYSCALE_FLOAT16":
        return
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):
        raise MilError(f"input {feature.name!r}: its pixels go from {low:g} to {high:g}. An image is 0 to 255.")
