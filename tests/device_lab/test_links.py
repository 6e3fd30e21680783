"""The way to a real device and back, and every way in which it breaks."""

import re
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.errors import DeviceError, UnsupportedError
from mobile_kit.measurements.result import Result, read_results
from mobile_kit.profiling.devices import open_device
from mobile_kit.profiling.devices.remote import Remote
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.profiling.runner_session import RunnerSession
from mobile_kit.progress import Progress
from tests.device_lab.conftest import Lab, Place, wait

# Where the link has no part in what is tested, one kind is fast.
BOARD_FAST = pytest.mark.parametrize("device", ["ssh", pytest.param("adb", marks=pytest.mark.slow)], indirect=True)
PHONE_FAST = pytest.mark.parametrize("machine", ["adb", pytest.param("ssh", marks=pytest.mark.slow)], indirect=True)
Maker = Callable[..., AbstractContextManager[Place]]
ENGINE = Path(__file__).with_name("idle_engine.py")
ODD = ["with space", 'quote\'d "twice"', "semi; touch hurt", "$(touch hurt) `touch hurt`", "new\nline", "-dash", "*"]


@pytest.fixture
def artifact(paper_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tests.paper_target.PaperTarget.engine", ENGINE)
    return paper_artifact


def quick(place: Place) -> ProfileOptions:
    return ProfileOptions(place.name, runs=8, blocks=8, min_s=0.0, warmup_s=0.0, loads=1)


def at_turn(number: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[RunnerSession], object]) -> None:
    """Do something after so many turns."""
    turn, turns = RunnerSession.turn, []

    def counting(trial: RunnerSession) -> None:
        turn(trial)
        turns.append(trial)
        if len(turns) == number:
            action(trial)

    monkeypatch.setattr(RunnerSession, "turn", counting)


def broken(place: Place, artifact: Path, blocks: int = 3) -> Result:
    """Profile to where it breaks: the samples so far are kept as no valid result, and nothing is left there."""
    (found,) = profile([artifact], quick(place), Progress(quiet=True))
    assert len(found.latency.samples) == blocks
    assert found.validity.completed is False
    assert not found.validity.valid
    assert read_results(artifact / profile_name(place.name)) == [found]
    wait(lambda: not place.left())
    return found


def test_what_it_says_of_itself_is_kept_and_it_is_marked_as_emulated(place: Place) -> None:
    with open_device(place.name) as opened:
        found = opened.describe()
        assert (found.name, found.kind) == (place.name, place.name.split(":")[0])
        assert found.emulated is True
        assert found.abi in {"aarch64", "arm64-v8a"}
        assert found.ram_bytes is not None
        assert found.cores is not None
        if found.kind == "adb":
            assert (found.os_version, found.model) == ("15 (API 35)", "<b>Phone</b> of the lab")
            assert (found.battery_percent, found.charging) == (81, False)
            assert opened.state().hottest_c == 36.5
            assert opened.state().throttled is False


def test_no_word_is_read_by_a_shell(place: Place, tmp_path: Path) -> None:
    with open_device(place.name) as opened:
        for number, name in enumerate(ODD):
            content = tmp_path / "content"
            content.write_bytes(bytes([number, 0, 10, 13, 255]))
            there = opened.put(content, name)
            opened.get(name, tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == content.read_bytes()
            said = "\n".join(opened.start(["printf", "%s|", there, *ODD]).lines())
            assert said == "".join(f"{word}|" for word in [there, *ODD])
        assert place.left() == [Path(opened.folder).name]
        names = {path.name for path in place.machine.path(opened.folder).iterdir()}
        assert names - set(ODD) <= {"alive"}
    wait(lambda: not place.left())


def test_a_program_that_fails_says_why(place: Place) -> None:
    with open_device(place.name) as opened:
        with pytest.raises(DeviceError, match=rf"^device {place.name}: the program failed \(.*no-such-thing"):
            list(opened.start(["no-such-thing"]).lines())
        with pytest.raises(DeviceError, match=r"the program was killed \(signal 9"):
            list(opened.start(["sh", "-c", "kill -9 $$"]).lines())


@PHONE_FAST
def test_a_killed_program_s_samples_are_kept(place: Place, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_turn(3, monkeypatch, lambda trial: place.machine.kill("bin/python3"))
    found = broken(place, artifact)
    assert "the program was killed (signal 9" in found.validity.reasons[0]


def test_a_link_that_ends_leaves_nothing_behind(device: Maker, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sshd's session killed; adbd killed."""
    with device() as place:
        at_turn(3, monkeypatch, lambda trial: place.cut())
        if place.name.startswith("adb"):  # the phone's only program of its own: the whole phone goes with it
            (found,) = profile([artifact], quick(place), Progress(quiet=True))
            assert len(found.latency.samples) == 3
        else:
            found = broken(place, artifact)
        assert "the link broke" in found.validity.reasons[0]


@pytest.mark.slow
def test_a_cable_that_is_pulled_is_noticed_on_both_sides(
    device: Maker, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No end of a connection comes over a network that is cut: both sides must miss the other's word."""
    monkeypatch.setattr(Remote, "given_up_s", 20)
    monkeypatch.setattr("mobile_kit.profiling.devices.remote.BEAT_S", 1.0)
    monkeypatch.setattr("mobile_kit.profiling.devices.remote.LEAVE_S", 2.0)
    monkeypatch.setattr("mobile_kit.profiling.devices.program.Program.silence_s", 25.0)
    with device() as place:
        at_turn(3, monkeypatch, lambda trial: place.machine.cut())
        found = broken(place, artifact)
        # ssh asks whether the other side is there; adb over a network doesn't.
        assert found.device.kind != "ssh" or "the link broke" in found.validity.reasons[0]


@BOARD_FAST
def test_a_full_disk_is_said(device: Maker, artifact: Path) -> None:
    with device(room="256k") as place:
        found = broken(place, artifact, blocks=0)
        assert "No space left on device" in found.validity.reasons[0]
        assert found.validity.reasons[0].endswith("Make room there.")
        assert found.latency.p50 is None


@BOARD_FAST
def test_a_device_that_says_nothing_is_given_up(device: Maker, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asleep: its processes stand still, its link doesn't end."""
    with device() as place:

        def halt(trial: RunnerSession) -> None:
            place.machine.halt("bin/python3")
            monkeypatch.setattr("mobile_kit.profiling.devices.program.Program.silence_s", 3.0)

        at_turn(3, monkeypatch, halt)
        found = broken(place, artifact)
        assert "said nothing for 3 s" in found.validity.reasons[0]


def test_a_device_that_is_not_there_is_said(artifact: Path, lab: Lab) -> None:
    for name in ("ssh:no-such-host.invalid", "ssh:$(id)`id`;'\"*", "adb:no-such-serial", "adb:a;b$(touch`hurt`)'\"*"):
        with pytest.raises(DeviceError, match=f"^device {re.escape(name)}: ") as raised:
            profile([artifact], ProfileOptions(name), Progress(quiet=True))
        assert "\n" not in str(raised.value)
    for name in ("adb:with space", "adb:new\nline", "ssh:with space"):
        with pytest.raises(UnsupportedError, match="Give one as"):
            profile([artifact], ProfileOptions(name), Progress(quiet=True))
    assert not list(artifact.glob("profile-*"))


def test_a_host_whose_key_is_another_is_not_trusted(artifact: Path, lab: Lab) -> None:
    with lab.board() as place:
        known = lab.known_hosts(place.machine)
        address, kind, key = known.read_text().split()
        known.write_text(f"{address} {kind} {key[:-8]}{'A' * 8}\n")
        with pytest.raises(DeviceError, match=r"Host key verification failed.*Connect once by hand"):
            profile([artifact], ProfileOptions(place.name), Progress(quiet=True))
        known.write_text("")
        with pytest.raises(DeviceError, match=r"Host key verification failed.*Connect once by hand"):
            profile([artifact], ProfileOptions(place.name), Progress(quiet=True))


@pytest.fixture
def needy(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact whose engine needs a package."""
    engine = tmp_path / "engine.py"
    engine.write_text(ENGINE.read_text().replace('return "idle 1.0"', "import tiny\n    return tiny.NAME"))
    monkeypatch.setattr("tests.paper_target.PaperTarget.engine", engine)
    return artifact


def test_a_runtime_that_is_missing_is_installed_into_our_folder(
    lab: Lab, needy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab.board() as place:
        (found,) = profile([needy], quick(place), Progress(quiet=True))
        assert "No module named 'tiny'" in found.validity.reasons[0]
        wheel = place.machine.path(place.base) / "tiny-1.0-py3-none-any.whl"
        _write_wheel(wheel)
        monkeypatch.setattr("tests.paper_target.PaperTarget.packages", (f"{place.base}/{wheel.name}",))
        (found,) = profile([needy], replace(quick(place), install=True), Progress(quiet=True))
        assert found.config.delegate == "tiny 1.0"
        assert place.left() == [wheel.name]


@pytest.mark.slow
def test_a_runtime_that_is_not_to_be_had_is_said(lab: Lab, needy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab.board() as place:
        monkeypatch.setattr("tests.paper_target.PaperTarget.packages", ("no-such-package; touch hurt",))
        with pytest.raises(DeviceError, match=r"can't install no-such-package; touch hurt, as"):
            profile([needy], replace(quick(place), install=True), Progress(quiet=True))
        assert not place.left()


def _write_wheel(path: Path) -> None:
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", 'NAME = "tiny 1.0"\n')
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
