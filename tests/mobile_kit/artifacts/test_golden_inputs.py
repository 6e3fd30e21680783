from dataclasses import replace

import numpy as np
import pytest

from mobile_kit.artifacts.golden_inputs import further_inputs
from mobile_kit.models.spec import TensorSpec

NOISE = TensorSpec("noise", (1, 196), meaning="noise", range=(0, 1))
MASK = TensorSpec("bool_masked_pos", (1, 49), meaning="patch_mask", range=(0, 1))


def test_noise_is_distinct_but_not_in_float16() -> None:
    noise = further_inputs([NOISE])["noise"]
    assert noise.dtype == np.float32
    assert len(np.unique(noise)) == 196
    assert len(np.unique(noise.astype(np.float16))) == 1
    assert 0 <= noise.min() < noise.max() < 1


def test_a_mask_is_zeros_and_ones() -> None:
    mask = further_inputs([MASK])["bool_masked_pos"]
    assert set(np.unique(mask)) == {0, 1}
    assert 0.3 < mask.mean() < 0.5


@pytest.mark.parametrize(("count", "masked"), [(1, 0), (2, 1), (3, 2), (10, 4)])
def test_a_mask_leaves_something_to_be_seen(count: int, masked: int) -> None:
    assert further_inputs([replace(MASK, shape=(1, count))])["bool_masked_pos"].sum() == masked


def test_the_same_seed_draws_the_same() -> None:
    first, again, other = (further_inputs([NOISE], seed)["noise"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
