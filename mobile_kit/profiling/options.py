"""How a file is measured."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mobile_kit.profiling.devices.device import Device
from mobile_kit.profiling.validity import LEAST_RUNS, LEAST_S, MOST_S

__all__ = ["DeviceOptions", "ProfileOptions"]


@dataclass(frozen=True)
class ProfileOptions:
    """How to time. Calls go on until there are `runs` of them and `min_s` seconds, and end after `max_s`.

    min_s, max_s: None for what fits the device, see `devices.Device`.

    device, team: see `devices.open_device`. runner: a program of the platform's own that times its files, in place of
    the kit's. install: put the runtime into our folder there first. blocks: rounds, in each of which every file has its
    turn. cores: numbers of those to stay on, or the big ones. loads: warm ones. traced: runs of which single operations
    are timed. cooldown_s: how long to wait at most, after a round, until the device is as cool as it was; 0 not to.
    """

    device: str = "host"
    team: str | None = None
    runner: Path | None = None
    install: bool = False
    threads: int | None = 2
    cores: tuple[int, ...] | Literal["big"] | None = None
    warmup_runs: int = 1
    warmup_s: float = 0.5
    runs: int = LEAST_RUNS
    min_s: float | None = None
    max_s: float | None = None
    blocks: int = 16
    loads: int = 3
    traced: int = 20
    cooldown_s: float = 0.0

    def on(self, device: Device) -> "DeviceOptions":
        """Return the options with a device's own in place of those that weren't asked for."""
        asked: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        own = dict(zip(("min_s", "max_s"), device.default_seconds, strict=True))
        return DeviceOptions(**{**asked, **{name: own[name] for name in own if asked[name] is None}})


@dataclass(frozen=True)
class DeviceOptions(ProfileOptions):
    """How to time on a device."""

    min_s: float = LEAST_S
    max_s: float = MOST_S
