"""Confidence intervals of differences on the same images."""

from collections.abc import Callable

import numpy as np

from mobile_kit.measurements.metrics import NORMAL_95, RESAMPLINGS, Array

__all__ = ["bootstrap_interval", "mean_iou_interval", "paired_interval"]


def paired_interval(ours: Array, theirs: Array) -> tuple[float, float]:
    """Return where the difference of two rates on the same images lies with 95 % confidence.

    ours, theirs: (N,) bool. Wald's interval with a half added to each cell of the table of pairs, which holds its
    promise for few images too (Agresti and Min, "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine 24, 2005).
    """
    count = len(ours) + 2
    gained, lost = float(np.sum(ours & ~theirs)) + 0.5, float(np.sum(theirs & ~ours)) + 0.5
    middle = (gained - lost) / count
    reach = NORMAL_95 / count * float(np.sqrt(gained + lost - (gained - lost) ** 2 / count))
    return max(middle - reach, -1.0), min(middle + reach, 1.0)


def mean_iou_interval(counts: Array) -> tuple[float, float, tuple[float, float]]:
    """Return two mean intersections over union, and where their difference lies with 95 % confidence.

    counts: (N, 2, 2, K) pixels of N images, of both, of the intersection and the union, by class.
    """
    ours, theirs = _mean_ious(counts.sum(0))

    def difference(weights: Array) -> float:
        return float(np.subtract(*_mean_ious(np.tensordot(weights, counts, 1))))

    return ours, theirs, bootstrap_interval(len(counts), difference)


def bootstrap_interval(count: int, difference: Callable[[Array], float]) -> tuple[float, float]:
    """Return where a difference lies with 95 % confidence, by 1000 resamplings of images (Efron's percentiles).

    difference: of images that count so many times each, (N,) integers.
    """
    rng = np.random.default_rng(0)
    drawn = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(RESAMPLINGS))
    low, high = np.quantile([difference(weights) for weights in drawn], (0.025, 0.975))
    return float(low), float(high)


def _mean_ious(totals: Array) -> tuple[float, float]:
    """(2, 2, K) to the mean over the classes that occur, of both."""
    present = totals[:, 1].max(0) > 0
    ious = totals[:, 0, present] / np.maximum(totals[:, 1, present], 1)
    return float(ious[0].mean()), float(ious[1].mean())
