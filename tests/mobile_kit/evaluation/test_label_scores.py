"""Scores of labels, held against their definitions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mobile_kit.evaluation.label_scores import RankedLabels, correlation, decision_counts, f1


def average_precision(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """By its definition: over falling thresholds, the gain in recall times the precision."""
    found, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        said = scores >= threshold
        reached = float((said & truth).sum() / truth.sum())
        found += (reached - recall) * float((said & truth).sum() / said.sum())
        recall = reached
    return found


@pytest.mark.parametrize("steps", [3, 10_000])
def test_average_precision_is_that_of_its_definition(steps: int) -> None:
    """Also where many scores are equal, as those of a quantized file are."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(40, 4)) < 0.3
    truth[:, 3] = False  # a label that no image has says nothing
    scores = np.round(rng.uniform(size=truth.shape) * steps) / steps + 0.0
    expected = np.mean([average_precision(scores[:, k], truth[:, k]) for k in range(3)])
    once = RankedLabels(scores, truth).mean_average_precision(np.ones(40))
    assert once == pytest.approx(expected)
    drawn = rng.integers(40, size=40)
    weights = np.bincount(drawn, minlength=40)
    repeated = RankedLabels(scores[drawn], truth[drawn]).mean_average_precision(np.ones(40))
    assert RankedLabels(scores, truth).mean_average_precision(weights) == pytest.approx(repeated)


def test_the_best_order_has_a_precision_of_1_and_the_worst_the_least() -> None:
    truth = np.array([[True], [True], [False], [False]])
    scores = np.array([[0.9], [0.8], [0.2], [0.1]])
    assert RankedLabels(scores, truth).mean_average_precision(np.ones(4)) == 1
    assert RankedLabels(-scores, truth).mean_average_precision(np.ones(4)) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_f1_counts_all_decisions() -> None:
    truth = np.array([[True, False, True], [False, False, False]])
    said = np.array([[True, True, False], [False, False, False]])
    counts = decision_counts(said, truth)
    assert counts.tolist() == [[1, 2], [0, 0]]
    assert f1(counts.sum(0)) == pytest.approx(2 * 1 / (2 * 1 + 2))
    assert f1(counts[1]) == 1


def test_a_correlation_is_numpys_and_none_without_spread() -> None:
    rng = np.random.default_rng(1)
    values, truth, once = rng.normal(size=(30, 2)), rng.normal(size=(30, 2)), np.ones(30)
    expected = np.mean([np.corrcoef(values[:, k], truth[:, k])[0, 1] for k in range(2)])
    assert correlation(values, truth, once) == pytest.approx(expected)
    drawn = rng.integers(30, size=30)
    assert correlation(values, truth, np.bincount(drawn, minlength=30)) == pytest.approx(
        correlation(values[drawn], truth[drawn], once)
    )
    assert correlation(values, np.ones_like(truth), once) is None
