"""An iPhone behind a Mac, through coremltools' own client: the Mac's tools, and the phone, are stand-ins."""

import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.cli.main import main
from mobile_kit.errors import DeviceError, UnsupportedError
from mobile_kit.measurements.result import Result, read_results
from mobile_kit.profiling.devices import open_device
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.progress import Progress
from tests.exports import Export

pytest.importorskip("coremltools")

MAC = Path(__file__).with_name("mac")
UDID, TEAM, APP = "00008130-001A2B3C4D5E6F70", "A1B2C3D4E5", "com.mobilekit.modelrunner.a1b2c3d4e5"
IPHONE: dict[str, Any] = {
    "identifier": "6F1C2D3E-0000-4000-8000-1234567890AB",
    "deviceProperties": {"name": "<b>Phone</b>", "osVersionNumber": "18.1", "developerModeStatus": "enabled"},
    "hardwareProperties": {
        "udid": UDID,
        "deviceType": "iPhone",
        "platform": "iOS",
        "marketingName": "iPhone 15 Pro",
        "cpuType": {"name": "arm64e"},
        "reality": "virtual",
    },
    "connectionProperties": {"tunnelState": "disconnected"},
}
QUICK = ProfileOptions(device="ios", team=TEAM, runs=3, blocks=1, min_s=0.0, warmup_s=0.0, loads=1, traced=1)


@dataclass(frozen=True)
class Mac:
    """A folder as `mac/tools.py` knows it."""

    folder: Path

    def plug(self, *phones: dict[str, Any]) -> None:
        (self.folder / "phone.json").write_text(json.dumps(phones))

    def install_xcode(self, version: str) -> None:
        (self.folder / "xcode").write_text(f"Xcode {version}\nBuild version 16C5032a")

    def stop(self) -> None:
        """End the apps that run on a phone that was unplugged."""
        for path in self.folder.glob("running-*"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.name.partition("-")[2]), signal.SIGKILL)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mac]:
    found = Mac(tmp_path / "phone")
    (found.folder / "project/ModelRunner.xcworkspace").mkdir(parents=True)
    (found.folder / "bin").mkdir()
    for name in ("xcrun", "devicectl", "xcodebuild"):
        script = found.folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{MAC / "tools.py"}" {name} "$@"\n')
        script.chmod(0o700)
    found.plug(IPHONE)
    found.install_xcode("16.2")
    # devicectl isn't on a Mac's path: xcrun knows where it is.
    apart = tmp_path / "path"
    apart.mkdir()
    for name in ("xcrun", "xcodebuild"):
        (apart / name).symlink_to(found.folder / "bin" / name)
    monkeypatch.setenv("PATH", f"{apart}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_PHONE", str(found.folder))
    monkeypatch.setenv("PYTHONPATH", f"{MAC}{os.pathsep}{MAC.parents[2]}")
    yield found
    found.stop()


def profiled(artifact: Path, options: ProfileOptions = QUICK) -> Result:
    (result,) = profile([artifact], options, Progress(quiet=True))
    return result


def test_a_file_is_timed_and_checked_on_the_phone(digits: Export, mac: Mac, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(digits["coreml-fp16"], tmp_path / "coreml-fp16"))
    assert main(["profile", str(artifact), "--device", "ios", "--team", TEAM]) == 0
    (result,) = read_results(artifact / f"profile-ios-{UDID}.json")
    assert result.validity.valid, result.validity.reasons
    assert result.validity.parity_held is True
    device, config = result.device, result.config
    assert (device.name, device.kind, device.model) == (f"ios:{UDID}", "ios", "iPhone 15 Pro")
    assert (device.os, device.os_version, device.emulated) == ("iOS", "18.1", True)
    # Core ML has no number of threads, and the Mac's memory isn't the phone's.
    assert (config.delegate, config.threads) == (f"Core ML, all units (coremltools {version('coremltools')})", None)
    assert result.memory.peak_bytes is None
    assert (result.pipeline.preprocess_us, result.pipeline.postprocess_us) == (None, None)
    assert (result.latency.count or 0) >= 50
    assert result.load.cold_us is not None
    assert len(result.load.warm_us) == 3
    _is_planned(result)
    # The app goes when we leave.
    assert mac.calls()[-1][:5] == ["devicectl", "device", "uninstall", "app", "--device"]
    assert not (mac.folder / "installed").exists()
    assert not list(mac.folder.glob("running-*"))
    (built,) = [call for call in mac.calls() if "-workspace" in call]
    assert {f"DEVELOPMENT_TEAM={TEAM}", f"PRODUCT_BUNDLE_IDENTIFIER={APP}"} <= {*built}


def _is_planned(result: Result) -> None:
    """Every operation has its unit and its share, marked as an estimate."""
    assert {op.kind for op in result.ops} == {"estimated"}
    assert {op.unit for op in result.ops if op.type == "conv"} == {"NPU"}
    assert sum(op.percent or 0 for op in result.ops) == pytest.approx(100)
    placement = result.placement
    assert placement.npu
    assert (placement.npu or 0) + (placement.cpu or 0) == len(result.ops)


def test_a_mac_times_a_file_itself(digits: Export, mac: Mac, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("targets.coreml.CoreMLTarget.devices", ("host", "ios"))
    artifact = Path(shutil.copytree(digits["coreml-fp32"], tmp_path / "coreml-fp32"))
    result = profiled(artifact, replace(QUICK, device="host", team=None))
    assert result.validity.parity_held is True
    assert result.device.kind == "host"
    assert result.config.threads is None
    assert result.latency.count
    assert result.load.compile_us
    assert (result.memory.peak_bytes, result.pipeline.preprocess_us) == (None, None)
    _is_planned(result)
    assert not (mac.folder / "calls").exists()


def test_a_phone_that_is_unplugged_leaves_what_was_measured(
    digits: Export, mac: Mac, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = Path(shutil.copytree(digits["coreml-fp16"], tmp_path / "coreml-fp16"))

    class Cut(Progress):
        def stage(self, name: str, detail: str = "", done: bool = False) -> None:
            if detail.startswith("round"):
                (mac.folder / "unplugged").touch()

    (result,) = profile([artifact], replace(QUICK, blocks=3), Cut(quiet=True))
    assert result.latency.count == 1
    assert result.validity.completed is False
    assert "the app on the phone has ended: The device was disconnected." in result.validity.reasons[0]
    said = capsys.readouterr().err
    assert f"note: the app {APP}, if it got there, is still on the phone" in said
    assert "The cable was pulled" in said


def test_why_an_app_isnt_signed_is_said(digits: Export, mac: Mac, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(digits["coreml-fp16"], tmp_path / "coreml-fp16"))
    result = profiled(artifact, replace(QUICK, team="UNKNOWN000"))
    assert (
        'can\'t be built, signed, installed or started: No Account for Team "UNKNOWN000"'
        in (result.validity.reasons[0])
    )


def _with(part: str, **changes: object) -> dict[str, Any]:
    return {**IPHONE, part: {**IPHONE[part], **changes}}


@pytest.mark.parametrize(
    ("phones", "name", "said"),
    [
        ((), "ios", "isn't there. Known: none, so plug one in and trust this Mac"),
        ((_with("hardwareProperties", deviceType="appleWatch"),), "ios", "isn't there"),
        ((IPHONE,), "ios:another", f"isn't there. Known: ios:{UDID}"),
        ((IPHONE, _with("hardwareProperties", udid="b")), "ios", f"is ambiguous. Known: ios:{UDID}, ios:b"),
        ((_with("deviceProperties", developerModeStatus="disabled"),), "ios", "developer mode is off"),
        (({**IPHONE, "identifier": "$(touch x)"},), "ios", "strange identifier"),
        ((_with("deviceProperties", osVersionNumber="16.7.1"),), "ios", "is for iOS 17 and later"),
        ((_with("connectionProperties", tunnelState="unavailable"),), "ios", f"isn't there. Known: ios:{UDID}"),
        (("a",), "ios", "devicectl's list isn't known"),
    ],
)
def test_a_phone_that_cant_be_used_is_said_so(phones: tuple[Any, ...], name: str, said: str, mac: Mac) -> None:
    mac.plug(*phones)
    with pytest.raises(DeviceError, match=re.escape(said)), open_device(name, TEAM):
        pass


def test_of_the_phones_of_a_macs_past_the_one_that_is_here_is_taken(mac: Mac) -> None:
    gone = {"identifier": "b", "connectionProperties": {"tunnelState": "unavailable"}}
    past = _with("hardwareProperties", udid="b") | gone
    unknown = {"identifier": "c", "hardwareProperties": {}}
    mac.plug(past, unknown, {"identifier": "d"}, _with("hardwareProperties", reality="physical"))
    with open_device("ios", TEAM) as device:
        assert device.name == f"ios:{UDID}"
        assert device.describe().emulated is False
        folder = Path(device.folder)
    assert not folder.exists()


def test_a_mac_without_xcode_is_said_so(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(mac.folder))
    with pytest.raises(DeviceError, match=r"xcrun isn't here\. Use a Mac with Xcode 16"), open_device("ios", TEAM):
        pass


def test_an_old_xcode_is_said_so(mac: Mac) -> None:
    mac.install_xcode("15.4")
    with pytest.raises(DeviceError, match=r"this Xcode is too old.* with xcode-select"), open_device("ios", TEAM):
        pass


@pytest.mark.parametrize("team", ["", "A1B2C3D4E", "A1B2C3D4E5;ls", "a1b2c3d4e5"])
def test_a_team_is_one_of_apples(team: str) -> None:
    with pytest.raises(UnsupportedError, match="is none of Apple's"):
        open_device("ios", team)


def test_a_phone_needs_a_team() -> None:
    with pytest.raises(UnsupportedError, match="an app is signed before it runs there"):
        open_device("ios")


def test_a_team_is_for_a_phone() -> None:
    with pytest.raises(UnsupportedError, match="--team: is for device ios, not 'host'"):
        open_device("host", TEAM)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("tflite-fp32", {}, "an iPhone runs it in an app alone"),
        ("coreml-fp32", {"runner": Path("runner")}, "starts none"),
        ("coreml-fp32", {"cores": (0,)}, "--cores: a program can't be kept on some"),
        ("coreml-fp32", {"install": True}, "--install: is for a device that lacks a runtime"),
        ("coreml-fp32", {"cooldown_s": 1.0}, "--cool-down: .* doesn't say how warm it is"),
    ],
)
def test_what_a_phone_cant_do_is_refused(
    name: str, changes: dict[str, Any], said: str, digits: Export, mac: Mac
) -> None:
    with pytest.raises(UnsupportedError, match=said):
        profiled(digits[name], replace(QUICK, **changes))


def test_artifacts_come_one_by_one(digits: Export, mac: Mac) -> None:
    with pytest.raises(UnsupportedError, match="times one artifact a run"):
        profile([digits["coreml-fp32"], digits["coreml-fp16"]], QUICK, Progress(quiet=True))
