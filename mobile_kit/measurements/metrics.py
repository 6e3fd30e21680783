"""How far one tensor is from a reference."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "comparable",
    "cosine",
    "decisions",
    "distance",
    "mean_iou",
    "moved",
    "pixel_agreement",
    "sigmoid",
    "softmax",
    "spread",
    "sqnr_db",
    "top_k_agreement",
]

# Of the standard normal distribution, which 95 % of it lie between the negative and this.
NORMAL_95 = 1.959964
RESAMPLINGS = 1000

Array = NDArray[Any]


def spread(values: Array) -> float:
    """Return the standard deviation; of a single value, which has none, its size. Never 0, so that it can divide."""
    wide = values.astype(np.float64)
    return max(float(wide.std() if wide.size > 1 else np.abs(wide).max()), float(np.finfo(np.float64).tiny))


def distance(values: Array, reference: Array) -> float:
    """Return the largest absolute difference in standard deviations (`spread`) of the reference."""
    difference = np.abs(values.astype(np.float64) - reference.astype(np.float64)).max()
    return float(difference / spread(reference))


def comparable(values: Array, reference: Array, over_photos: bool) -> tuple[Array, Array]:
    """Return two tensors as their distance is taken.

    values, reference: (N, ...) of N photos. over_photos: in the reference's standard deviations from its mean over
    photos, each value by itself; one that photos hardly move has a hundredth of the greatest deviation. One photo has
    none: it stays as it is.
    """
    if not over_photos:
        return values, reference
    wide = reference.astype(np.float64)
    deviation = wide.std(0)
    if len(wide) == 1 or not deviation.any():
        return values, reference
    scale = np.maximum(deviation, deviation.max() / 100)
    return (values.astype(np.float64) - wide.mean(0)) / scale, (wide - wide.mean(0)) / scale


def moved(first: Array, second: Array) -> float:
    """Return how far two results are apart: root mean square in standard deviations of the wider one."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    return float(np.sqrt(np.mean((a - b) ** 2)) / max(spread(a), spread(b), 1e-12))


def sqnr_db(values: Array, reference: Array) -> float:
    """Return 10 log10 of the reference's power over the difference's; infinite where they are equal."""
    signal = reference.astype(np.float64)
    noise = float(np.mean((values.astype(np.float64) - signal) ** 2))
    return float("inf") if noise == 0 else 10 * float(np.log10(max(float(np.mean(signal**2)), 1e-300) / noise))


def cosine(values: Array, reference: Array) -> float:
    """Return the cosine of the angle between two tensors, taken as vectors."""
    a, b = values.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300))


def top_k_agreement(values: Array, reference: Array, k: int) -> float:
    """Return the part of the reference's k best classes (last axis) that are among the k best of `values`."""
    k = min(k, reference.shape[-1])
    ours, theirs = (np.argsort(-x.reshape(-1, x.shape[-1]), axis=-1)[:, :k] for x in (values, reference))
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]))


def decisions(logits: Array, axis: int, each: bool) -> Array:
    """Return what is decided: the best class along an axis, or, where each class is decided by itself, all of them."""
    return logits > 0 if each else logits.argmax(axis)


def softmax(logits: Array) -> Array:
    """Return the probabilities along the last axis, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    """Return the probability of each number by itself, in float64."""
    # Of the negative size alone, whose power never overflows.
    power = np.exp(-np.abs(logits.astype(np.float64)))
    return np.where(logits >= 0, 1, power) / (1 + power)


def pixel_agreement(classes: Array, reference: Array) -> float:
    """Return the part of the pixels whose class is the same."""
    return float(np.mean(classes == reference))


def mean_iou(classes: Array, reference: Array) -> float:
    """Return the mean intersection over union of the classes that occur in either map."""
    present = np.union1d(np.unique(classes), np.unique(reference))
    ious = [
        np.sum((classes == c) & (reference == c)) / np.sum((classes == c) | (reference == c)) for c in present.tolist()
    ]
    return float(np.mean(ious))
