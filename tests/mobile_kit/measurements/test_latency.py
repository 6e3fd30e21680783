from dataclasses import asdict, fields

import numpy as np
import pytest

from mobile_kit.measurements.latency import GRADES, Latency, grade, latency


def test_figures_are_those_of_the_samples() -> None:
    calls = [float(n) for n in range(1, 101)]
    found = latency([calls[:50], calls[50:]], first=500.0)
    assert found.samples == (tuple(calls[:50]), tuple(calls[50:]))
    assert (found.count, found.first, found.min, found.max) == (100, 500, 1, 100)
    assert found.mean == found.p50 == found.trimmed_mean_80 == 50.5
    assert found.std == pytest.approx(np.std(calls, ddof=1))
    assert found.cv == pytest.approx(np.std(calls, ddof=1) / 50.5)
    assert (found.p5, found.p95, found.p99) == pytest.approx((5.95, 95.05, 99.01))
    assert found.p99_p50 == pytest.approx(99.01 / 50.5)
    assert found.stability == "poor"


def test_the_order_of_calls_changes_nothing_but_the_samples() -> None:
    calls = np.random.default_rng(0).gamma(50, 20, 60)
    one, other = (asdict(latency([order.tolist()])) for order in (calls, calls[::-1]))
    assert one.pop("samples") != other.pop("samples")
    assert one.pop("stability") == other.pop("stability")
    assert one == pytest.approx(other)


def test_a_slow_tenth_at_each_end_is_trimmed() -> None:
    found = latency([[1.0, *[10.0] * 8, 1000.0]])
    assert found.trimmed_mean_80 == 10


def test_what_is_not_known_is_null_and_never_zero() -> None:
    none = latency([], first=7.0)
    assert none.first == 7
    assert {getattr(none, field.name) for field in fields(Latency)} == {None, 7.0, ()}
    one = latency([[3.0]])
    assert (one.count, one.mean, one.std, one.cv, one.stability) == (1, 3, None, None, None)


@pytest.mark.parametrize(
    ("count", "cv", "ratio", "expected"),
    [
        (50, 0.05, 1.1, "excellent"),
        (50, 0.051, 1.1, "good"),
        (50, 0.01, 1.26, "moderate"),
        (50, 0.3, 1.0, "poor"),
        (50, 0.0, 2.0, "poor"),
        (19, 0.0, 1.0, None),
        (None, 0.0, 1.0, None),
        (50, None, 1.0, None),
    ],
)
def test_a_grade_needs_both_of_its_bounds(
    count: int | None, cv: float | None, ratio: float, expected: str | None
) -> None:
    assert grade(count, cv, ratio) == expected
    assert [bound for _, bound, _ in GRADES] == sorted(bound for _, bound, _ in GRADES)
