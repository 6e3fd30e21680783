"""This machine as a device: a folder of our own, files in it, and programs with their lines."""

import sys
from pathlib import Path

import pytest

from mobile_kit.errors import DeviceError, UnsupportedError
from mobile_kit.profiling.devices.host import HostDevice


def test_the_folder_goes_when_it_is_left(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "weights").write_bytes(b"1")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    with HostDevice() as device:
        place = Path(device.put(tmp_path / "package", "model"))
        assert (place / "weights").read_bytes() == b"1"
        assert Path(device.put(tmp_path / "run", "run", program=True)).stat().st_mode & 0o100
        device.get("run", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "#!/bin/sh\n"
    assert not Path(device.folder).exists()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with HostDevice() as device:
        with pytest.raises(DeviceError, match="device host: answers can't be read"):
            device.get("answers", tmp_path / "x")
        with pytest.raises(DeviceError, match="device host: model can't be put into"):
            device.put(tmp_path / "no", "model")


def test_it_describes_itself() -> None:
    found = HostDevice().describe()
    assert (found.name, found.kind, found.emulated) == ("host", "host", False)
    assert found.os


def test_nothing_is_installed_into_the_kit_s_own_environment() -> None:
    with pytest.raises(UnsupportedError, match=r"^--install: "):
        HostDevice().install(["tflite-runtime"])


def test_a_program_waits_for_a_line_and_answers_in_lines() -> None:
    with HostDevice() as device:
        running = device.start([sys.executable, "-c", "input(); print('one'); print('two', flush=True)"])
        running.go()
        assert list(running.lines()) == ["one", "two"]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('torn in two')", r"device host: the program failed \(torn in two\)\. Run it again\."),
        ("import os; os.kill(os.getpid(), 9)", r"device host: the program was killed \(signal 9, it said nothing\)"),
    ],
)
def test_how_a_program_ended_is_said(program: str, said: str) -> None:
    with HostDevice() as device, pytest.raises(DeviceError, match=said):
        list(device.start([sys.executable, "-c", program]).lines())


def test_a_program_that_is_not_there_is_named() -> None:
    with HostDevice() as device, pytest.raises(DeviceError, match=r"no/such can't be started .* Install it\."):
        device.start(["no/such"])
