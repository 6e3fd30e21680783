"""What Linux and Android machines say of themselves."""

from mobile_kit.profiling.devices import android, linux
from mobile_kit.profiling.devices.device import DeviceState

BOARD = """system Linux
version 6.6.31+rpt-rpi-2712
abi aarch64
cores 4
model Raspberry Pi 5 Model B Rev 1.0
ram_kb 8244528
soc BCM2835
os Debian GNU/Linux 12 (bookworm)
governor ondemand
interpreter /usr/bin/dash
"""
PHONE = """version 15
sdk 35
manufacturer Google
model Pixel 8
soc Tensor G3
board zuma
abi arm64-v8a
qemu
machine aarch64
cores 9
ram_kb 7811932
interpreter /system/bin/sh
battery_level 81
battery_status 2
"""
# https://android.googlesource.com/platform/frameworks/base/+/refs/heads/main/services/core/java/com/android/server/power
# /ThermalManagerService.java: its dump.
THERMAL = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 4
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=61.5, mType=0, mName=BIG, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 2  connected: yes
Current temperatures from HAL:
\tTemperature{mValue=38.2, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=41.875, mType=3, mName=VIRTUAL-SKIN, mStatus=2}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}

Battery:
Current Battery Service state:
  AC powered: false
  status: 3
  level: 81
  temperature: 287
"""


def test_a_board_is_described() -> None:
    found = linux.described(BOARD, "ssh:pi", "ssh")
    assert (found.os, found.os_version) == ("Debian GNU/Linux 12 (bookworm)", "6.6.31+rpt-rpi-2712")
    assert (found.model, found.soc, found.abi, found.cores) == (
        "Raspberry Pi 5 Model B Rev 1.0",
        "BCM2835",
        "aarch64",
        4,
    )
    assert (found.ram_bytes, found.governor, found.emulated) == (8244528 * 1024, "ondemand", False)


def test_what_is_not_said_is_null() -> None:
    found = linux.described("", "ssh:pi", "ssh")
    assert (found.os, found.cores, found.ram_bytes, found.governor) == (None, None, None, None)
    assert linux.state_of("") == DeviceState(None, None, None)
    assert android.state_of("\nBattery:\n") == DeviceState(None, None, None)
    assert linux.big_cores("") == ()


def test_an_emulated_processor_is_known_by_what_a_process_sees_of_another() -> None:
    said = BOARD.replace("/usr/bin/dash", "/usr/bin/qemu-aarch64-static")
    assert linux.described(said, "ssh:pi", "ssh").emulated is True
    assert android.described(PHONE.replace("qemu", "qemu 1"), "adb:x").emulated is True
    assert android.described(PHONE, "adb:x").emulated is False
    assert (
        linux.described(BOARD.replace("Raspberry Pi 5 Model B Rev 1.0", "linux,dummy-virt"), "x", "ssh").emulated
        is True
    )
    assert linux.described("", "ssh:pi", "ssh").emulated is None


def test_what_makes_no_sense_is_null() -> None:
    said = "zone 1.2.3\nzone ²\nthrottled 0xnonsense\ncores ²\nram_kb 99999999999999999999\n"
    assert linux.state_of(said) == DeviceState(None, "0xnonsense", None)
    found = linux.described(said, "x", "ssh")
    assert (found.cores, found.ram_bytes) == (None, None)
    assert android.state_of("Temperature{mValue=1.2.3, mType=0, mName=x\nThermal Status: ²\n") == DeviceState()


def test_the_hottest_zone_and_a_raspberry_s_flags() -> None:
    said = "zone 48312\nzone 51000\nthrottled 0x50000\n"
    assert linux.state_of(said) == DeviceState(51.0, "0x50000", False)
    # Bit 2: held back now; 18: since it was started.
    assert linux.state_of(said.replace("0x50000", "0x50004")) == DeviceState(51.0, "0x50004", True)


def test_a_phone_is_described() -> None:
    found = android.described(PHONE, "adb:3A1")
    assert (found.os, found.os_version, found.manufacturer) == ("Android", "15 (API 35)", "Google")
    assert (found.model, found.soc, found.abi, found.cores) == ("Pixel 8", "Tensor G3", "arm64-v8a", 9)
    assert (found.battery_percent, found.charging) == (81, True)


def test_a_phone_s_sensors_as_they_are_now_and_its_thermal_status() -> None:
    assert android.state_of(THERMAL) == DeviceState(41.875, "moderate", True)
    # Without sensors, the battery's.
    assert android.state_of(THERMAL[THERMAL.index("\nBattery:") :]) == DeviceState(28.7, None, None)


def test_big_cores_are_those_above_the_slowest() -> None:
    assert linux.big_cores("0 1803000\n1 1803000\n2 2348000\n3 2850000\n") == (2, 3)
    assert linux.big_cores("0 1800000\n1 1800000\n") == (0, 1)
