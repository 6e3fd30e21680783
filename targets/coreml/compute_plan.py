"""What Core ML plans for each operation of a file: its unit, and its share of the time by Core ML's own estimate."""

from collections.abc import Mapping
from typing import Any

from mobile_kit.measurements.result import Op

__all__ = ["read_plan"]


def read_plan(said: Mapping[str, Any]) -> tuple[Op, ...]:
    """Return the operations of a plan. said: what engine.py printed."""
    mean_us = said["mean_us"]
    return tuple(
        Op(
            name,
            kind,
            kind="estimated",
            mean_us=None if share is None else mean_us * share,
            percent=None if share is None else 100 * share,
            calls=1,
            unit=unit,
        )
        for name, kind, unit, share in said["operations"]
    )
