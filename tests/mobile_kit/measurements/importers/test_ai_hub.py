"""The JSON that AI Hub's client makes of a profile."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.errors import ResultError
from mobile_kit.measurements.importers.ai_hub import AiHub
from mobile_kit.measurements.importers.base import Imported

PROFILE: dict[str, Any] = {
    "execution_summary": {
        "estimated_inference_time": 3652,
        "estimated_inference_peak_memory": 166711296,
        "first_load_time": 1374293,
        "first_load_peak_memory": 166711296,
        "warm_load_time": 277823,
        "warm_load_peak_memory": 163520512,
        "compile_time": 0,
        "compile_peak_memory": 0,
        "compile_memory_peak_range": [0, 0],
        "inference_memory_increase_range": [0, 2658496],
        "inference_memory_peak_range": [2654208, 39406752],
        "all_compile_times": [1],
        "all_first_load_times": [1374293],
        "all_inference_times": [10003, 4205],
        "all_warm_load_times": [277823, 277000],
    },
    "execution_detail": [
        {"compute_unit": "CPU", "execution_time": 25, "name": "truediv", "type": "MUL"},
        {"compute_unit": "NPU", "execution_cycles": 180315, "execution_time": 75, "name": "t", "type": "TRANSPOSE"},
        {"compute_unit": "NPU", "execution_time": 0, "name": "u", "type": "RESHAPE"},
    ],
}


def read(content: Any, folder: Path) -> Imported:
    path = folder / "profile.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert AiHub().knows(path, path.read_bytes())
    return AiHub().read(path, None)


def test_a_profile_gives_every_figure(tmp_path: Path) -> None:
    (found,) = read(PROFILE, tmp_path).results
    assert found.latency.samples == ((10003, 4205),)
    assert (found.latency.count, found.latency.mean, found.latency.p50) == (2, 7104, 7104)
    assert found.load.cold_us == 1374293
    assert found.load.warm_us == (277823, 277000)
    # 0 is what it writes where nothing was compiled.
    assert found.load.compile_us is None
    assert found.memory.peak_bytes == 166711296
    assert found.memory.range_bytes == (2654208, 39406752)
    assert (found.placement.total, found.placement.npu, found.placement.gpu, found.placement.cpu) == (3, 2, 0, 1)
    assert [(op.name, op.type, op.unit, op.mean_us, op.percent) for op in found.ops] == [
        ("truediv", "MUL", "CPU", 25, 25),
        ("t", "TRANSPOSE", "NPU", 75, 75),
        ("u", "RESHAPE", "NPU", None, None),
    ]
    assert (found.run.tool, found.device.emulated) == ("Qualcomm AI Hub", None)


def test_older_profiles_have_an_estimate_alone(tmp_path: Path) -> None:
    summary = {"estimated_inference_time": 3652, "first_load_time": 5, "warm_load_time": 4}
    (found,) = read({"execution_summary": summary}, tmp_path).results
    assert (found.latency.mean, found.latency.count, found.latency.p50) == (3652, None, None)
    assert (found.load.warm_us, found.memory.range_bytes, found.ops) == ((4,), None, ())
    assert found.placement.total is None


def test_what_is_not_known_is_named(tmp_path: Path) -> None:
    assert read(PROFILE | {"segment_detail": []}, tmp_path).unread == ("segment_detail",)
    (found,) = read(PROFILE | {"execution_detail": [{"name": "x"}]}, tmp_path).results
    assert (found.placement.total, found.placement.npu, found.ops[0].unit) == (1, None, None)


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("first_load_time", "long", 'execution_summary/first_load_time: "long" is no number'),
        ("all_inference_times", [1, -2], "execution_summary/all_inference_times/1: -2 is less than 0"),
        ("all_inference_times", 3, "execution_summary/all_inference_times: is no list"),
        ("inference_memory_peak_range", [1], "execution_summary/inference_memory_peak_range: is no pair of numbers"),
    ],
)
def test_a_torn_value_is_named(key: str, value: Any, place: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=rf"^result profile.json: at {place}"):
        read(PROFILE | {"execution_summary": PROFILE["execution_summary"] | {key: value}}, tmp_path)


def test_a_profile_without_its_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="at top level: has no 'execution_summary'"):
        read({"execution_detail": []}, tmp_path)
