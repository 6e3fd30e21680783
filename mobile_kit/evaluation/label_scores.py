"""Scores of a number a label, over images that count so many times each, as a bootstrap draws them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RankedLabels", "correlation", "decision_counts", "f1"]

Array = NDArray[Any]


class RankedLabels:
    """Scores (N, K) of N images, ordered once for all drawings of them. truth: (N, K) bool, what is right."""

    def __init__(self, scores: Array, truth: Array) -> None:
        self._order = np.argsort(-scores, axis=0, kind="stable")
        ordered = np.take_along_axis(scores, self._order, 0)
        self._right = np.take_along_axis(truth, self._order, 0)
        # Equal scores are above a threshold together: each counts as the last of them.
        places = np.broadcast_to(np.arange(len(scores))[:, None], scores.shape)
        last = np.vstack([ordered[1:] != ordered[:-1], np.ones((1, scores.shape[1]), bool)])
        self._end = np.minimum.accumulate(np.where(last, places, len(scores))[::-1], axis=0)[::-1]

    def mean_average_precision(self, weights: Array) -> float:
        """Return the mean of the average precisions of the labels that occur. weights: (N,), how often an image counts.

        A label's is the sum over thresholds of the gain in recall times the precision there.
        """
        counts = weights[self._order]
        hits = np.cumsum(counts * self._right, axis=0)
        said = np.cumsum(counts, axis=0)
        precision = np.take_along_axis(hits, self._end, 0) / np.maximum(np.take_along_axis(said, self._end, 0), 1)
        occurs = hits[-1] > 0
        averages = (counts * self._right * precision).sum(0)[occurs] / hits[-1][occurs]
        return float(averages.mean()) if averages.size else 0.0


def decision_counts(said: Array, truth: Array) -> Array:
    """(N, K) bool each to the number of right, and of wrong or missed, labels of each image, (N, 2)."""
    return np.stack([(said & truth).sum(1), (said ^ truth).sum(1)], axis=1)


def f1(counts: Array) -> float:
    """Return the harmonic mean of precision and recall; counts: (2,), as `decision_counts` sums up to.

    Where nothing is there to be said, and nothing is said, it is 1.
    """
    right, wrong = counts
    return float(2 * right / (2 * right + wrong)) if right + wrong else 1.0


def correlation(values: Array, truth: Array, weights: Array) -> float | None:
    """Return the mean over labels of Pearson's correlation; None where a label has none.

    values, truth: (N, K). weights: (N,), how often an image counts.
    """
    if any((np.ptp(each[weights > 0], axis=0) == 0).any() for each in (values, truth)):
        return None
    share = (weights / weights.sum())[:, None]
    ours, theirs = (each - (share * each).sum(0) for each in (values, truth))
    spread = np.sqrt((share * ours**2).sum(0) * (share * theirs**2).sum(0))
    return float(((share * ours * theirs).sum(0) / spread).mean())
