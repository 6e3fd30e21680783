"""What the calls of a model took: the figures that a report gives, from raw samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["GRADES", "Latency", "grade", "latency"]

# What ExecuTorch's own benchmark trims at each end of the sorted calls.
TRIMMED = 0.1
# A grade with the coefficient of variation and p99 / p50 that it needs; both must hold. Below the last it is poor.
GRADES = (("excellent", 0.05, 1.1), ("good", 0.10, 1.25), ("moderate", 0.20, 1.5))
POOR = "poor"
# Fewer say nothing of the slowest hundredth.
LEAST_GRADED = 20


@dataclass(frozen=True)
class Latency:
    """Times of calls in microseconds; what a source doesn't say is None.

    samples: every call that counts, in blocks of calls that followed one another; none where only figures are known.
    p5 to p99: percentiles. trimmed_mean_80: of the middle 80 %. cv: standard deviation over mean. stability: see
    `grade`.
    """

    samples: tuple[tuple[float, ...], ...] = ()
    count: int | None = None
    first: float | None = None
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    p5: float | None = None
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    trimmed_mean_80: float | None = None
    cv: float | None = None
    p99_p50: float | None = None
    stability: str | None = None


def latency(blocks: Sequence[Sequence[float]], first: float | None = None) -> Latency:
    """Return the figures of calls in microseconds; of none, all are None.

    blocks: calls that followed one another, a block a round. first: the very first call after loading, which is none of
    them.
    """
    samples = tuple(tuple(map(float, block)) for block in blocks if block)
    calls = np.sort([call for block in samples for call in block])
    if not len(calls):
        return Latency(first=first)
    mean = float(calls.mean())
    # One call has no spread.
    std = float(calls.std(ddof=1)) if len(calls) > 1 else None
    percentiles = {q: float(np.percentile(calls, q)) for q in (5, 10, 50, 90, 95, 99)}
    cut = int(len(calls) * TRIMMED)
    cv = None if std is None else std / mean
    ratio = percentiles[99] / percentiles[50]
    return Latency(
        samples=samples,
        count=len(calls),
        first=first,
        mean=mean,
        std=std,
        min=float(calls[0]),
        max=float(calls[-1]),
        **{f"p{q}": value for q, value in percentiles.items()},
        trimmed_mean_80=float(calls[cut : len(calls) - cut].mean()),
        cv=cv,
        p99_p50=ratio,
        stability=grade(len(calls), cv, ratio),
    )


def grade(count: int | None, cv: float | None, p99_p50: float | None) -> str | None:
    """Return how steady calls are, None where too few are known: the best of `GRADES` whose two bounds hold."""
    if count is None or count < LEAST_GRADED or cv is None or p99_p50 is None:
        return None
    return next((name for name, most_cv, most_ratio in GRADES if cv <= most_cv and p99_p50 <= most_ratio), POOR)
