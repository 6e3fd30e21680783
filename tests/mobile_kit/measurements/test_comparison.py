"""Verdicts on draws whose truth is known: how often they are right, and how often the interval holds the truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from mobile_kit.measurements.comparison import Comparison, compare
from mobile_kit.measurements.latency import Latency, latency

ROUNDS, CALLS = 20, 5


def drawn(seed: int, *factors: float, rounds: int = ROUNDS) -> list[Latency]:
    """Files measured in turns on a machine that drifts by 10 % and is now and then disturbed, a factor a file."""
    draw = np.random.default_rng(seed)
    drift = 1 + 0.1 * np.sin(np.linspace(0, 6, rounds)) + draw.normal(0, 0.01, rounds)
    files = []
    for factor in factors:
        calls = 1000 * factor * drift[:, None] * (1 + draw.gamma(2, 0.01, (rounds, CALLS)))
        calls *= np.where(draw.uniform(size=calls.shape) < 0.03, 1.5, 1.0)
        files.append(latency(calls.tolist()))
    return files


def found(ours: Latency, theirs: Latency, paired: bool = True) -> Comparison:
    result = compare(ours, theirs, paired)
    assert result is not None
    return result


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, "faster"), (1.0, "no difference"), (1.1, "slower")])
def test_in_turns_the_verdict_is_right(factor: float, verdict: str) -> None:
    results = [found(*drawn(seed, factor, 1.0)) for seed in range(200)]
    assert sum(result.verdict == verdict for result in results) >= 198
    assert sum(result.interval[0] <= factor <= result.interval[1] for result in results) >= 196


def test_real_files_in_turns_are_judged_rightly() -> None:
    # Recorded by `python -m tests.benchmarks.peers --only verdict`: a file, its copy, and one with 11 of its 12 layers.
    tries = json.loads((Path(__file__).parent / "data/turns.json").read_text())
    assert len(tries) == 20
    for name, verdict in (("its copy", "no difference"), ("a faster one", "faster")):
        verdicts = [found(latency(each[name]), latency(each["file"])).verdict for each in tries]
        assert verdicts.count(verdict) >= 19
    faster = [found(latency(each["a faster one"]), latency(each["file"])).ratio for each in tries]
    assert 0.89 < float(np.median(faster)) < 0.93


def test_a_machine_that_drifts_makes_others_less_sure() -> None:
    ours, theirs = drawn(0, 1.0, 1.0)
    low, high = found(ours, theirs).interval
    wide_low, wide_high = found(ours, theirs, paired=False).interval
    assert wide_high - wide_low > 2 * (high - low)
    results = [found(*drawn(seed, 1.0, 1.0), paired=False) for seed in range(10)]
    assert all(result.verdict == "no difference" for result in results)
    assert not any(result.paired for result in results)


def test_a_difference_below_three_percent_is_none() -> None:
    result = found(*drawn(0, 0.98, 1.0))
    assert result.interval[1] < 1
    assert result.verdict == "no difference"


def test_too_few_blocks_for_pairs_are_compared_as_they_are() -> None:
    assert not found(*drawn(0, 1.0, 1.0, rounds=5)).paired
    assert found(*drawn(0, 1.0, 1.0, rounds=8)).paired


def test_samples_without_blocks_get_some() -> None:
    one = latency([[1000.0 + n % 7 for n in range(100)]])
    result = found(one, latency([[900.0 + n % 7 for n in range(100)]]), paired=True)
    assert not result.paired
    assert result.verdict == "slower"
    assert result.ratio == pytest.approx(1003 / 903)


def test_without_samples_there_is_no_verdict() -> None:
    assert compare(Latency(mean=3.0), latency([[1.0] * 50]), paired=True) is None
    assert compare(latency([[1.0] * 4]), latency([[1.0] * 50]), paired=False) is None


def test_the_same_samples_give_the_same_interval() -> None:
    ours, theirs = drawn(0, 0.95, 1.0)
    assert found(ours, theirs, paired=False) == found(ours, theirs, paired=False)
