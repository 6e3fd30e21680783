"""What isn't asked is the device's own."""

import pytest

from mobile_kit.profiling.devices.host import HostDevice
from mobile_kit.profiling.devices.ios import IosDevice
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.validity import LEAST_S, MOST_S

PHONE = IosDevice(None, "A1B2C3D4E5")


def test_seconds_are_the_devices_where_none_are_asked() -> None:
    here, there = ProfileOptions().on(HostDevice()), ProfileOptions(device="ios").on(PHONE)
    assert (here.min_s, here.max_s) == (LEAST_S, MOST_S)
    assert (there.min_s, there.max_s) == PHONE.default_seconds == (0.0, 900.0)
    assert there.device == "ios"


@pytest.mark.parametrize("device", [HostDevice(), PHONE], ids=["host", "ios"])
def test_what_is_asked_stays(device: HostDevice) -> None:
    found = ProfileOptions(min_s=0.0, max_s=3.0, runs=7, cores=(1, 2)).on(device)
    assert (found.min_s, found.max_s, found.runs, found.cores) == (0.0, 3.0, 7, (1, 2))
