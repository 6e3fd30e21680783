"""Files that need no toolchain, timed on this machine."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.errors import DeviceError
from mobile_kit.measurements.result import Op, read_results
from mobile_kit.profiling.devices.device import DeviceState
from mobile_kit.profiling.devices.host import HostDevice
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.profiling.runner_session import RunnerSession
from mobile_kit.progress import Progress
from mobile_kit.target_api.benchmark import Tracer
from tests.conftest import Answer
from tests.exports import ROOT

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets")
ENGINE = ROOT / "tests" / "golden_engine.py"
PAPER_ENGINE = ENGINE.with_name("paper_engine.py")
QUICK = ProfileOptions(runs=20, blocks=8, min_s=0.0, warmup_s=0.0, loads=1, traced=0)
HOST = profile_name("host")


@pytest.fixture
def artifact(paper_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One whose program gives the golden answers, as no toolchain has to be loaded for it."""
    monkeypatch.setenv("GOLDEN", str(paper_artifact / "golden/outputs"))
    monkeypatch.setattr("tests.paper_target.PaperTarget.engine", ENGINE)
    # What else runs on the machine must not decide a test.
    monkeypatch.setattr("mobile_kit.profiling.machine_load.BusyMeter.cores", lambda self: 0.0)
    return paper_artifact


def test_a_result_has_every_figure_and_holds_what_was_computed_against_the_oracle(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.paper_target.PaperTarget.engine", PAPER_ENGINE)
    (found,) = profile([artifact], QUICK, Progress(quiet=True))
    assert found.validity.valid, found.validity.reasons
    assert (len(found.latency.samples), found.latency.count) == (8, 24)
    assert found.latency.p50 is not None
    assert found.latency.first is not None
    calls = [call for block in found.latency.samples for call in block]
    assert 0 < min(calls) <= found.latency.p50 <= max(calls)
    # Slower than the others where the machine does nothing else.
    assert found.latency.first > 0
    assert found.load.cold_us is not None
    assert len(found.load.warm_us) == 1
    # Python and torch alone take more than this.
    assert found.memory.peak_bytes is not None
    assert found.memory.peak_bytes > 50e6
    assert found.memory.overall_bytes is not None
    assert found.memory.overall_bytes < found.memory.peak_bytes
    steps = (found.pipeline.preprocess_us, found.pipeline.inference_us, found.pipeline.postprocess_us)
    assert all(step is not None and step > 0 for step in steps)
    assert [out.name for out in found.parity] == ["probabilities", "logits"]
    assert all(out.passed and out.max_error is not None and out.max_error < 1e-4 for out in found.parity)
    assert (found.config.delegate, found.config.input, found.placement.partitions) == ("paper 1.0", "golden", 1)
    assert (found.device.kind, found.device.emulated) == ("host", False)
    assert read_results(artifact / HOST) == [found]


def test_nothing_is_left_on_the_device(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    profile([artifact], QUICK, Progress(quiet=True))
    assert not list((tmp_path / "scratch").iterdir())


def test_a_device_that_computes_something_else_is_not_valid(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held against the oracle in the same run: a device that computes wrongly isn't fast."""
    monkeypatch.setattr("tests.paper_target.PaperTarget.engine", PAPER_ENGINE)
    monkeypatch.setattr("mobile_kit.profiling.session.raw", lambda values: (255 - values).tobytes())
    (found,) = profile([artifact], QUICK, Progress(quiet=True))
    assert found.validity.parity_held is False
    assert found.validity.reasons == ("what it computed there isn't what the checkpoint computes",)
    assert not found.validity.valid


def test_a_killed_program_s_samples_are_kept_as_no_valid_result(
    artifact: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, turns = RunnerSession.turn, []

    def killing(trial: RunnerSession) -> None:
        turn(trial)
        turns.append(trial)
        if len(turns) == 3:
            assert trial.pid is not None
            os.kill(trial.pid, signal.SIGKILL)

    monkeypatch.setattr(RunnerSession, "turn", killing)
    answer = command("profile", artifact, "--runs", "20", "--min-seconds", "0.02", "--json")
    assert (answer.code, answer.err.count("Traceback")) == (1, 0)
    (found,) = read_results(artifact / HOST)
    assert json.loads(answer.out) == [found.to_json()]
    assert len(found.latency.samples) == 3
    assert found.validity.completed is False
    assert found.validity.reasons[0].startswith("device host: the program was killed (signal 9")
    assert not found.parity


def test_others_are_told_apart_from_our_own_programs(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_kit.profiling.machine_load.BusyMeter.cores", lambda self: 1.0)
    (found,) = profile([artifact], QUICK, Progress(quiet=True))
    assert found.validity.undisturbed is False
    assert found.validity.reasons == ("other processes used more than 10% of a core in too many rounds",)
    # All rounds that were tried are shown then.
    assert len(found.latency.samples) == 4 * 8


def test_where_nobody_tells_who_uses_the_machine_that_is_said(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_kit.profiling.machine_load.BusyMeter.cores", lambda self: None)
    (found,) = profile([artifact], QUICK, Progress(quiet=True))
    assert found.validity.undisturbed is None
    assert found.validity.valid


def test_an_artifact_that_is_given_twice_is_refused(artifact: Path, command: Command) -> None:
    answer = command("profile", artifact, artifact / ".." / artifact.name)
    assert answer.code == 1
    assert answer.err.endswith("is given twice. Give it once, or a copy.\n")


@pytest.mark.parametrize(
    "said",
    ['{"us": null}', '{"us": [NaN]}', '{"us": [0]}', '{"us": []}', '{"peak_bytes": "<b>"}', '{"x": "\\u001b[2J"}'],
)
def test_what_a_device_says_is_believed_only_if_it_can_be(
    said: str, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text(f"print('{{\"warmup_runs\": 1}}', flush=True)\ninput()\nprint({said!r}, flush=True)\ninput()\n")
    monkeypatch.setattr("mobile_kit.profiling.runner_session.RUNNER", runner)
    answer = command("profile", artifact)
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.out
    (found,) = read_results(artifact / HOST)
    assert found.validity.reasons[0].startswith("the program there says ")
    assert found.latency.count is None


def test_a_link_that_breaks_while_outputs_are_fetched_keeps_the_samples(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, gets = HostDevice.get, []

    def breaking(device: HostDevice, name: str, path: Path) -> None:
        gets.append(name)
        if len(gets) == 2:
            raise DeviceError("device host: the link broke. Run it again.")
        get(device, name, path)

    monkeypatch.setattr(HostDevice, "get", breaking)
    (found,) = profile([artifact], QUICK, Progress(quiet=True))
    assert len(found.latency.samples) == 8
    assert found.validity.reasons == ("device host: the link broke. Run it again.",)


def test_nothing_has_to_take_its_time_where_that_is_asked(artifact: Path) -> None:
    (found,) = profile([artifact], replace(QUICK, min_s=0.0), Progress(quiet=True))
    assert found.validity.long_enough is True


def test_a_throttled_device_s_figures_are_not_valid(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter([DeviceState(40.0, "0x0", False), DeviceState(85.0, "0x4", True)])
    monkeypatch.setattr(HostDevice, "state", lambda self: next(states))
    (found,) = profile([artifact], QUICK, Progress(quiet=True))
    assert (found.thermal.before_c, found.thermal.after_c, found.thermal.status_after) == (40.0, 85.0, "0x4")
    assert found.validity.reasons == ("the device held its clock back",)


def test_a_warm_device_may_cool_down_between_rounds(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    degrees = iter([40.0, *(value for _ in range(50) for value in (55.0, 48.0, 40.5))])
    monkeypatch.setattr(HostDevice, "state", lambda self: DeviceState(next(degrees)))
    slept: list[float] = []
    monkeypatch.setattr("mobile_kit.profiling.profile.time.sleep", slept.append)
    profile([artifact], replace(QUICK, min_s=0.0, cooldown_s=60.0), Progress(quiet=True))
    # Between rounds, not after the last.
    assert slept == [5.0] * 2 * 7


def test_operations_that_cannot_be_timed_are_said_and_cost_no_result(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "tracer.py"
    monkeypatch.setattr("tests.paper_target.PaperTarget.tracer", Tracer(program, lambda said: (Op(said["name"]),)))
    for text, reason in (
        ('print(\'{"why_not": "it is another one"}\')', "it is another one"),
        ("import os; os.abort()", "device host: the program was killed (signal 6, it said nothing). Run it again."),
        ("print(1)", "it printed no JSON object"),
        ("print('{}')", "what it printed isn't known (KeyError: 'name')"),
    ):
        program.write_text(text)
        (found,) = profile([artifact], replace(QUICK, traced=2), Progress())
        assert found.validity.valid
        assert found.ops == ()
        assert f"paper-fp32: single operations aren't timed, as {reason}\n" in capsys.readouterr().err
    program.write_text('import sys; print(\'{"name": "\' + " ".join(sys.argv[2:]) + \'"}\')')
    (found,) = profile([artifact], replace(QUICK, traced=2), Progress(quiet=True))
    assert found.ops == (Op("2 2"),)


def test_files_of_one_run_are_compared(artifact: Path, command: Command) -> None:
    copy = shutil.copytree(artifact, artifact.with_name("paper-copy"))
    answer = command("profile", artifact, copy, "--runs", "20", "--min-seconds", "0.02", "--json")
    assert answer.code == 0, answer.err
    first, second = json.loads(answer.out)
    assert first["run"]["id"] == second["run"]["id"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--device", "phone"], "device 'phone': unknown. Known: adb, adb:SERIAL, host, ios, ios:UDID, ssh:HOST."),
        (["--device", "ios:"], "device 'ios:': unknown. Known: adb, adb:SERIAL, host, ios, ios:UDID, ssh:HOST."),
        (["--device", "adb:"], "device 'adb:': unknown. Known: adb, adb:SERIAL, host, ios, ios:UDID, ssh:HOST."),
        (["--device", "host:1"], "device 'host:1': unknown. Known: adb, adb:SERIAL, host, ios, ios:UDID, ssh:HOST."),
        (["--device", "ssh:"], "device 'ssh:': unknown. Known: adb, adb:SERIAL, host, ios, ios:UDID, ssh:HOST."),
        (["--device", "ssh:-oX=y"], "device 'ssh:-oX=y': no host name. Give one as ssh takes it."),
        (["--device", "ssh:a\nb"], "device 'ssh:a\\nb': no host name. Give one as ssh takes it."),
    ],
)
def test_a_device_that_is_none_is_refused(arguments: list[str], reason: str, artifact: Path, command: Command) -> None:
    answer = command("profile", artifact, *arguments)
    assert (answer.code, answer.out, answer.err) == (1, "", f"mobile-kit: {reason}\n")
    assert not list(artifact.glob("profile-*"))


def test_a_file_without_a_runtime_here_is_not_timed(
    artifact: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.paper_target.PaperTarget.engine", None)
    answer = command("profile", artifact)
    assert answer.code == 1
    assert answer.err == (
        "mobile-kit: artifact paper-fp32: can't be timed here, as only a Mac or a phone runs it. Time it there.\n"
    )
    assert not (artifact / HOST).exists()
