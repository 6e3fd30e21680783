import math

import numpy as np
import pytest

from mobile_kit.measurements.metrics import (
    comparable,
    cosine,
    distance,
    mean_iou,
    pixel_agreement,
    sigmoid,
    softmax,
    spread,
    sqnr_db,
    top_k_agreement,
)

REFERENCE = np.array([[1.0, -1.0, 1.0, -1.0]])


def test_distance_is_in_standard_deviations_of_the_reference() -> None:
    assert distance(np.array([[1.0, -1.0, 1.0, -0.5]]), REFERENCE) == 0.5
    assert distance(np.array([[10.0, -10.0, 10.0, -5.0]]), 10 * REFERENCE) == 0.5
    assert distance(REFERENCE, REFERENCE) == 0


def test_the_distance_of_a_single_value_is_relative_to_its_size() -> None:
    assert distance(np.array([[-2.5]]), np.array([[-2.0]])) == 0.25


def test_a_difference_from_a_constant_is_beyond_every_bound() -> None:
    assert distance(np.array([0.0, 1e-6]), np.zeros(2)) > 1e9


def test_float32_is_compared_as_float64() -> None:
    exact = np.array([0.0, 1.0, 1e-9])
    assert distance(exact.astype(np.float32), exact) < 1e-15


def test_what_is_not_a_number_has_no_distance() -> None:
    assert math.isnan(distance(np.array([[1.0, np.nan, 1.0, -1.0]]), REFERENCE))


def test_spread_is_never_zero() -> None:
    assert spread(REFERENCE) == 1
    assert spread(np.array([[-3.0]])) == 3
    assert spread(np.zeros(4)) > 0
    assert spread(np.zeros(1)) > 0


def test_sqnr_is_a_ratio_of_powers() -> None:
    assert sqnr_db(REFERENCE + 0.1, REFERENCE) == pytest.approx(20)
    assert sqnr_db(REFERENCE * 1.001, REFERENCE) == pytest.approx(60)
    assert sqnr_db(REFERENCE, REFERENCE) == math.inf
    assert sqnr_db(np.ones(2), np.zeros(2)) < -1000


def test_cosine_sees_the_direction_only() -> None:
    assert cosine(3 * REFERENCE, REFERENCE) == pytest.approx(1)
    assert cosine(-REFERENCE, REFERENCE) == pytest.approx(-1)
    assert cosine(np.array([1.0, 1.0, 1.0, 1.0]), REFERENCE) == 0
    assert cosine(np.zeros(4), REFERENCE) == 0


def test_top_k_agreement_counts_common_classes() -> None:
    reference = np.array([[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]])
    swapped = np.array([[4.0, 5.0, 3.0, 2.0, 0.0, 1.0]])
    assert top_k_agreement(reference, reference, 1) == 1
    assert top_k_agreement(swapped, reference, 1) == 0
    assert top_k_agreement(swapped, reference, 2) == 1
    assert top_k_agreement(swapped, reference, 5) == 0.8
    assert top_k_agreement(swapped, reference, 50) == 1  # fewer classes than k


def test_top_k_agreement_is_the_mean_over_images() -> None:
    reference = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert top_k_agreement(np.array([[1.0, 0.0], [1.0, 0.0]]), reference, 1) == 0.5


def test_masks_agree_by_pixel_and_by_class() -> None:
    reference = np.array([[0, 0, 1, 2]])
    classes = np.array([[0, 1, 1, 1]])
    assert pixel_agreement(classes, reference) == 0.5
    # Class 0: 1 of 2; class 1: 1 of 3; class 2, absent from one map: 0 of 1.
    assert mean_iou(classes, reference) == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert mean_iou(reference, reference) == pixel_agreement(reference, reference) == 1


def test_values_are_compared_by_how_photos_spread_them() -> None:
    """An age and a year: their own sizes say nothing of how far photos move them."""
    rng = np.random.default_rng(0)
    reference = np.array([45.0, 2000.0]) + rng.normal(size=(64, 2)) * [5, 0.5]
    values = reference + np.array([0.05, 0.005])
    ours, theirs = comparable(values, reference, over_photos=True)
    assert theirs.std(0) == pytest.approx([1, 1])
    assert sqnr_db(ours, theirs) == pytest.approx(40, abs=1)
    assert sqnr_db(values, reference) > 90
    blind = np.broadcast_to(reference.mean(0), reference.shape)
    assert sqnr_db(*comparable(blind, reference, over_photos=True)) == pytest.approx(0, abs=0.1)
    assert comparable(values, reference, over_photos=False) == (values, reference)
    # One photo has no spread, and what none moves is held against the others'.
    assert comparable(values[:1], reference[:1], over_photos=True)[0] is not None
    still = np.hstack([reference, np.full((64, 1), 7.0)])
    assert np.isfinite(comparable(still + 0.01, still, over_photos=True)[0]).all()


def test_probabilities_are_those_of_their_definition() -> None:
    logits = np.array([[-1000.0, 0.0, 1000.0], [1.0, 2.0, 3.0]])
    assert sigmoid(logits)[0] == pytest.approx([0, 0.5, 1])
    assert sigmoid(logits)[1] == pytest.approx(1 / (1 + np.exp(-logits[1])))
    assert softmax(logits)[0] == pytest.approx([0, 0, 1])
    assert softmax(logits).sum(1) == pytest.approx([1, 1])
