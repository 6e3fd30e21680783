"""Coloured views of handwritten digits: the images that the small checkpoints are trained and tested on.

`python -m sample_apps.checkpoints.digits DIR [--count N] [--held-out]` writes some as PNG, in a folder a class.

A view is one scan, turned, scaled and shifted, drawn with a warm (red) or a cool (blue) stroke on a greyish background.
The classes are "warm 0" to "warm 9", then "cool 0" to "cool 9". With red and blue swapped every view belongs to another
class, so a pipeline with a wrong channel order can't pass a test on these images.
"""

import argparse
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "LABELS",
    "SCANS_FILE",
    "SIZE_PX",
    "held_out_scans",
    "held_out_views",
    "training_scans",
    "training_views",
    "view",
]

SCANS_FILE = Path(__file__).with_name("digits.npz")
LABELS = tuple(f"{tone} {digit}" for tone in ("warm", "cool") for digit in range(10))
SIZE_PX = 128

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

_HELD_OUT_EVERY = 5
# A prime that divides neither split's size: the views of any count then come from all over the file, thus all writers.
_STRIDE = 97
_SCAN_PX = 8
_MAX_TURN_DEG = 14.0
_SCALES = (0.7, 0.9)
_MAX_SHIFT = 0.06
# Ink (0 to 1) where the stroke's edge starts and where it's opaque.
_STROKE_EDGE = (0.25, 0.85)


def training_scans() -> tuple[int, ...]:
    """Return the indices of the 1438 scans to train on."""
    return _split()[0]


def held_out_scans() -> tuple[int, ...]:
    """Return the indices of the 359 scans that are never trained on."""
    return _split()[1]


def training_views(count: int, seed: int, size_px: int = SIZE_PX) -> Iterator[tuple[UInt8, int]]:
    """Yield views of training scans as (image, label); see `view`. All scans appear once before one appears again."""
    return _views(training_scans(), count, seed, size_px)


def held_out_views(count: int, seed: int, size_px: int = SIZE_PX) -> Iterator[tuple[UInt8, int]]:
    """Yield views of held-out scans as (image, label); see `view`. All scans appear once before one appears again."""
    return _views(held_out_scans(), count, seed, size_px)


def view(scan: int, seed: int, turn: int = 0, size_px: int = SIZE_PX) -> tuple[UInt8, int]:
    """Draw one scan, `size_px` high and wide. The same arguments give the same view.

    `seed` and `turn` choose the view: `turn` counts how often a series of this seed has shown the scan before.
    Returns: (size_px, size_px, 3) uint8 RGB, and the index of its label in `LABELS`.
    """
    scans, digits = _load()
    rng = np.random.default_rng((seed, turn, scan))
    is_cool = bool(rng.integers(2))
    alpha = _stroke(scans[scan], rng, size_px)[..., None]
    image = (1 - alpha) * _background(rng, size_px) + alpha * _ink(rng, is_cool)
    return (image + 0.5).astype(np.uint8), int(digits[scan]) + 10 * is_cool


def _views(scans: tuple[int, ...], count: int, seed: int, size_px: int) -> Iterator[tuple[UInt8, int]]:
    for index in range(count):
        turn, place = divmod(index, len(scans))
        yield view(scans[place * _STRIDE % len(scans)], seed, turn, size_px)


@cache
def _load() -> tuple[UInt8, UInt8]:
    with np.load(SCANS_FILE) as file:
        return file["scans"], file["digits"]


@cache
def _split() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hold out every fifth scan of each digit, so that no generator of random numbers decides the split."""
    digits = _load()[1]
    held_out = np.sort(np.concatenate([np.flatnonzero(digits == d)[2::_HELD_OUT_EVERY] for d in range(10)]))
    training = np.setdiff1d(np.arange(len(digits)), held_out)
    return tuple(training.tolist()), tuple(held_out.tolist())


def _stroke(scan: UInt8, rng: np.random.Generator, size_px: int) -> Float32:
    """Enlarge the scan under a random affine map. Returns: (size_px, size_px) opacity of 0 to 1."""
    angle = math.radians(rng.uniform(-_MAX_TURN_DEG, _MAX_TURN_DEG))
    scale_xy = rng.uniform(*_SCALES) * rng.uniform(0.95, 1.05, size=2)
    shift_xy = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, size=2)
    # An empty frame, as bicubic sampling would otherwise smear the outermost ink to the image's edge.
    source = np.pad(scan, 2).astype(np.float32) / 16
    centre = source.shape[0] / 2
    # Pillow wants the way back: output pixel to source pixel.
    cos_x, sin_x = np.array([math.cos(angle), math.sin(angle)]) * _SCAN_PX / size_px / scale_xy[0]
    cos_y, sin_y = np.array([math.cos(angle), math.sin(angle)]) * _SCAN_PX / size_px / scale_xy[1]
    x0, y0 = size_px * (0.5 + shift_xy)
    affine = (cos_x, sin_x, centre - cos_x * x0 - sin_x * y0, -sin_y, cos_y, centre + sin_y * x0 - cos_y * y0)
    size = (size_px, size_px)
    drawn = Image.fromarray(source).transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    low, high = _STROKE_EDGE
    return np.clip((np.asarray(drawn) - low) / (high - low), 0, 1)


def _background(rng: np.random.Generator, size_px: int) -> Float32:
    """Draw a grey of slowly changing brightness. Returns: (size_px, size_px, 3) of 0 to 255."""
    level = rng.uniform(70, 185) + rng.uniform(-8, 8, size=3)
    clouds = Image.fromarray(rng.uniform(-25, 25, size=(4, 4)).astype(np.float32))
    smooth = np.asarray(clouds.resize((size_px, size_px), Image.Resampling.BICUBIC))
    return np.clip(smooth[..., None] + level.astype(np.float32), 0, 255)


def _ink(rng: np.random.Generator, is_cool: bool) -> Float32:
    """Choose a stroke colour. Returns: (3,) RGB of 0 to 255."""
    rgb = np.array([rng.uniform(195, 255), rng.uniform(40, 140), rng.uniform(0, 60)], dtype=np.float32)
    return rgb[::-1] if is_cool else rgb


def main() -> None:
    """Write views into a folder a class."""
    parser = argparse.ArgumentParser(description="Draw coloured views of handwritten digits.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--held-out", action="store_true", help="of scans that no checkpoint was trained on")
    options = parser.parse_args()
    views = held_out_views if options.held_out else training_views
    for number, (image, label) in enumerate(views(options.count, 1)):
        place = options.folder / LABELS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:05}.png")


if __name__ == "__main__":
    main()
