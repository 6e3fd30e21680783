"""A result says whether it can be trusted, and why not."""

from dataclasses import replace

import pytest

from mobile_kit.measurements.latency import Latency, latency
from mobile_kit.measurements.result import (
    Config,
    ModelInfo,
    OutputDistance,
    Placement,
    Result,
    RunInfo,
    Thermal,
    Validity,
    unknown_device,
)
from mobile_kit.profiling.validity import LEAST_RUNS, with_validity

GOOD = Result(
    run=RunInfo("one", "runner", "mobile-kit"),
    model=ModelInfo("m"),
    device=unknown_device(),
    config=Config(runs=50, min_s=0.1, max_s=10.0),
    latency=latency([[10_000.0] * 10] * 6),
    thermal=Thermal(throttled=False),
    placement=Placement(partitions=1),
    parity=(OutputDistance("logits", passed=True), OutputDistance("features", passed=None)),
)


def test_a_good_result_says_so_in_every_flag() -> None:
    found = with_validity(GOOD, undisturbed=True).validity
    assert found.valid
    assert found == Validity(*[True] * 7)


BAD = {
    "completed": ({}, {"error": "the cable was pulled"}, "the cable was pulled"),
    "enough_runs": ({"config": Config(runs=61, min_s=0.1)}, {}, "60 calls of at least 61"),
    "long_enough": ({"config": Config(runs=50, min_s=0.7)}, {}, "0.60 s of at least 0.7"),
    "parity_held": (
        {"parity": (OutputDistance("logits", passed=False), *GOOD.parity)},
        {},
        "what it computed there isn't what the checkpoint computes",
    ),
    "not_throttled": ({"thermal": Thermal(throttled=True)}, {}, "the device held its clock back"),
    "one_delegate": ({"placement": Placement(partitions=3)}, {"pieces": 2}, "the delegate has the graph in 3 pieces"),
    "undisturbed": ({}, {"undisturbed": False}, "other processes used more than 10% of a core in too many rounds"),
}


@pytest.mark.parametrize("flag", BAD)
def test_what_is_wrong_is_said_and_nothing_else(flag: str) -> None:
    changes, told, reason = BAD[flag]
    found = with_validity(replace(GOOD, **changes), **{"undisturbed": True, **told}).validity  # type: ignore[arg-type]
    assert not found.valid
    assert found.reasons == (reason,)
    assert getattr(found, flag) is False


def test_what_can_not_be_told_counts_neither_way() -> None:
    silent = replace(
        GOOD,
        config=Config(),
        latency=Latency(mean=10_000.0),
        thermal=Thermal(),
        placement=Placement(),
        parity=(),
    )
    assert with_validity(silent).validity == Validity(completed=True)
    assert Validity(completed=True).valid


def test_as_many_pieces_as_at_export_are_one_delegate() -> None:
    assert with_validity(replace(GOOD, placement=Placement(partitions=3)), pieces=3).validity.one_delegate


def test_a_file_that_ends_by_its_time_need_not_have_more_of_it() -> None:
    short = replace(GOOD, config=Config(runs=50, min_s=5.0, max_s=0.5))
    assert with_validity(short).validity.long_enough


def test_without_a_bound_of_its_own_litert_s_counts() -> None:
    few = replace(GOOD, config=Config(min_s=0.0), latency=latency([[10_000.0] * (LEAST_RUNS - 1)]))
    assert with_validity(few).validity.reasons == (f"{LEAST_RUNS - 1} calls of at least {LEAST_RUNS}",)
