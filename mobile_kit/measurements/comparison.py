"""Whether one file is faster than another: the ratio of their latencies, and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mobile_kit.measurements.latency import Latency

__all__ = ["CONFIDENCE", "LEAST_DIFFERENCE", "Comparison", "compare"]

CONFIDENCE = 0.99
# A ratio nearer to 1 is no difference to anyone: alignment of memory alone makes as much.
LEAST_DIFFERENCE = 0.03
# Calls of a block depend on one another, so blocks are what is drawn; those without blocks get some of this size.
CALLS_A_BLOCK = 5
DRAWS, SEED = 4000, 0

Verdict = Literal["faster", "slower", "no difference"]


@dataclass(frozen=True)
class Comparison:
    """The ratio of a median latency to another's, with its 99 % confidence interval.

    paired: measured in turns, round by round, so that what disturbed one disturbed both. verdict: a difference counts
    where the whole interval is further than 3 % from 1.
    """

    ratio: float
    interval: tuple[float, float]
    paired: bool
    verdict: Verdict


def compare(ours: Latency, theirs: Latency, paired: bool) -> Comparison | None:
    """Compare the raw samples of two files; None where either has none, too few for an interval, or calls of no time.

    paired: whether block n of one was measured beside block n of the other.
    """
    if not all(block and min(block) > 0 for each in (ours, theirs) for block in each.samples):
        return None
    if paired and len(ours.samples) == len(theirs.samples):
        found = _paired(ours.samples, theirs.samples)
        if found is not None:
            return found
    blocks = [_blocks(each.samples) for each in (ours, theirs)]
    if min(map(len, blocks)) < 2:
        return None
    return _drawn(*blocks)


def _paired(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Comparison | None:
    """Return the median of the blocks' ratios with the interval of its order statistics, None for too few blocks.

    That assumes nothing of how times are distributed: Conover, Practical Nonparametric Statistics, section 3.2.
    """
    ratios = np.sort([np.median(a) / np.median(b) for a, b in zip(ours, theirs, strict=True)])
    rank = _rank(len(ratios))
    if rank is None:
        return None
    return _judged(float(np.median(ratios)), (float(ratios[rank]), float(ratios[-1 - rank])), paired=True)


def _rank(count: int) -> int | None:
    """Return how many of the smallest and of the largest values lie outside the interval of a median."""
    outside, rank = 0.0, None
    for number in range(count // 2):
        outside += math.comb(count, number) / 2**count
        if 2 * outside > 1 - CONFIDENCE:
            break
        rank = number
    return rank


def _drawn(ours: list[NDArray[np.float64]], theirs: list[NDArray[np.float64]]) -> Comparison:
    """Return the ratio of medians with the interval of a bootstrap over blocks (Efron and Tibshirani, chapter 13)."""
    draw = np.random.default_rng(SEED)

    def medians(blocks: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        chosen = draw.integers(len(blocks), size=(DRAWS, len(blocks)))
        return np.array([np.median(np.concatenate([blocks[place] for place in row])) for row in chosen])

    ratios = medians(ours) / medians(theirs)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    ratio = np.median(np.concatenate(ours)) / np.median(np.concatenate(theirs))
    return _judged(float(ratio), (float(low), float(high)), paired=False)


def _blocks(samples: Sequence[Sequence[float]]) -> list[NDArray[np.float64]]:
    if len(samples) > 1:
        return [np.array(block) for block in samples]
    calls = np.array(samples[0] if samples else ())
    return [calls[start : start + CALLS_A_BLOCK] for start in range(0, len(calls), CALLS_A_BLOCK)]


def _judged(ratio: float, interval: tuple[float, float], paired: bool) -> Comparison:
    low, high = interval
    verdict: Verdict = "no difference"
    if high < 1 - LEAST_DIFFERENCE:
        verdict = "faster"
    elif low > 1 + LEAST_DIFFERENCE:
        verdict = "slower"
    return Comparison(ratio, interval, paired, verdict)
