"""Scenes of several coloured digits with the class of every pixel, composed of the views that classifiers see.

A digit covers its stroke and what is within a few pixels of it; class 0 is the background, then come those of `digits`.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sample_apps.checkpoints.digits import LABELS, SIZE_PX, held_out_views, training_views

__all__ = ["CLASSES", "held_out_scenes", "training_scenes"]

CLASSES = ("background", *LABELS)
# Digits stand in two rows of two, or one fills the scene.
_ROWS = 2
_ALONE = 0.25
# A stroke is at least that many grey levels more colourful than the background, whose channels differ by 16 at most.
_COLOURFUL = 40
_AROUND_PX = 5

UInt8 = NDArray[np.uint8]
View = tuple[UInt8, int]


def training_scenes(count: int, seed: int) -> Iterator[tuple[UInt8, UInt8]]:
    """Yield scenes of digits to train on: (128, 128, 3) RGB, and the class of every pixel (128, 128)."""
    half = SIZE_PX // _ROWS
    return _scenes(training_views(count, seed), training_views(count * _ROWS**2, seed, half), seed)


def held_out_scenes(count: int, seed: int) -> Iterator[tuple[UInt8, UInt8]]:
    """Yield scenes of digits that are never trained on; see `training_scenes`."""
    half = SIZE_PX // _ROWS
    return _scenes(held_out_views(count, seed), held_out_views(count * _ROWS**2, seed, half), seed)


def _scenes(large: Iterator[View], small: Iterator[View], seed: int) -> Iterator[tuple[UInt8, UInt8]]:
    rng = np.random.default_rng(seed)
    for alone in large:
        quarters = [next(small) for _ in range(_ROWS**2)]
        if rng.random() < _ALONE:
            yield alone[0], _mask(*alone)
            continue
        pairs = [(image, _mask(image, label)) for image, label in quarters]
        rows = [pairs[start:end] for start, end in pairwise(range(0, len(pairs) + 1, _ROWS))]
        image = np.vstack([np.hstack([image for image, _ in row]) for row in rows])
        yield image, np.vstack([np.hstack([mask for _, mask in row]) for row in rows])


def _mask(image: UInt8, label: int) -> UInt8:
    """Return the class of every pixel of a view."""
    colourful = image.max(2).astype(np.int16) - image.min(2) > _COLOURFUL
    around = Image.fromarray(np.uint8(255) * colourful).filter(ImageFilter.MaxFilter(_AROUND_PX))
    return np.where(np.asarray(around) > 0, np.uint8(label + 1), np.uint8(0)).astype(np.uint8)
