"""How warm a device is."""

from dataclasses import dataclass

__all__ = ["DeviceState"]


@dataclass(frozen=True)
class DeviceState:
    """Degrees Celsius of the hottest zone, and what the system says of it; null where unknown."""

    hottest_c: float | None = None
    status: str | None = None
    throttled: bool | None = None
