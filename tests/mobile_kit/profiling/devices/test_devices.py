"""A device is known by its name, and by what it is like."""

import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.profiling.devices import open_device
from mobile_kit.profiling.devices.host import HostDevice


@pytest.mark.parametrize("name", ["hos", "host:1", "ssh", "ssh:", "adb:", "ios:", "", ":", "ADB"])
def test_another_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        UnsupportedError, match=r"device .*: unknown\. Known: adb, adb:SERIAL, host, ios, ios:UDID, ssh:HOST\."
    ):
        open_device(name)


def test_a_team_is_for_an_iphone_alone() -> None:
    with pytest.raises(UnsupportedError, match=r"--team: is for device ios, not 'host'\. Leave it out\."):
        open_device("host", "ABCDE12345")


def test_this_machine_shares_its_cores_with_the_kit() -> None:
    device = open_device("host")
    assert isinstance(device, HostDevice)
    assert (device.name, device.kind) == ("host", "host")
    assert (device.shares_our_cpu, device.one_at_a_time, device.starts_programs) == (True, False, True)
