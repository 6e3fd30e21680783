"""The report's keys aren't described anywhere: these are made up, as its values and their units are known."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.errors import ResultError
from mobile_kit.measurements.importers.base import Imported
from targets.coreml.importers.xcode_report import XcodeReport

REPORT = {
    "formatVersion": 2,
    "prediction": {"unit": "ms", "median": 12.68, "min": 12.0, "count": 120},
    "compileTimeMs": 67.05,
    "load": {"medianSeconds": 0.02134},
    "operations": [
        {"name": "conv_1", "operatorType": "conv", "preferredComputeUnit": "MLNeuralEngineComputeDevice", "cost": 0.5},
        {"name": "softmax", "operatorType": "softmax", "preferredComputeUnit": "CPU", "cost": 0.5},
    ],
}


def read(content: Any, folder: Path, bundle: bool = True) -> Imported:
    path = folder / "model.mlperf"
    path.mkdir(exist_ok=True)
    (path / "report.json").write_text(content if isinstance(content, str) else json.dumps(content))
    path = path if bundle else path / "report.json"
    assert XcodeReport().knows(path, b"" if bundle else path.read_bytes())
    return XcodeReport().read(path, None)


@pytest.mark.parametrize("bundle", [True, False])
def test_values_with_a_unit_are_read_and_others_are_named(bundle: bool, tmp_path: Path) -> None:
    found = read(REPORT, tmp_path, bundle)
    (result,) = found.results
    assert (result.latency.p50, result.latency.min, result.latency.count) == (pytest.approx(12680), 12000, 120)
    assert (result.latency.mean, result.latency.max) == (None, None)
    assert (result.load.compile_us, result.load.cold_us) == (pytest.approx(67050), pytest.approx(21340))
    placement = result.placement
    assert (placement.total, placement.npu, placement.gpu, placement.cpu) == (2, 1, 0, 1)
    assert [(op.name, op.type, op.unit, op.kind) for op in result.ops] == [
        ("conv_1", "conv", "NPU", "estimated"),
        ("softmax", "softmax", "CPU", "estimated"),
    ]
    assert found.unread == ("formatVersion",)


def test_a_list_of_calls_counts_itself(tmp_path: Path) -> None:
    (result,) = read({"predictionTimesMs": [1.0, 2.0, 3.0]}, tmp_path).results
    assert (result.latency.count, result.latency.p50, result.latency.samples) == (3, 2000, ((1000, 2000, 3000),))


def test_a_time_without_a_unit_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"has no time with its unit, .* but prediction/median, load\. "):
        read({"prediction": {"median": 12.68}, "load": 3}, tmp_path)
    with pytest.raises(ResultError, match=r"but nothing\. "):
        read({}, tmp_path)


def test_a_torn_report_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"^result report.json: isn't JSON \(line 1, column 2"):
        read("{", tmp_path)
    with pytest.raises(ResultError, match="at prediction/median: -1 is less than 0"):
        read({"prediction": {"unit": "ms", "median": -1}}, tmp_path)


def test_a_bundle_without_a_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mlperf").mkdir()
    with pytest.raises(ResultError, match=r"^result empty.mlperf: has no report.json"):
        XcodeReport().read(tmp_path / "empty.mlperf", None)
