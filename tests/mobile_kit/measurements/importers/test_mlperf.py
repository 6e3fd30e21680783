"""The app's own example, and its newer schema's keys."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.errors import ResultError
from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.importers.mlperf import MLPerf

RUN = {
    "throughput": {"value": 615.32},
    "accuracy": None,
    "dataset": {"name": "Open images subset", "type": "IMAGENET", "data_path": "", "groundtruth_path": ""},
    "measured_duration": 60.89,
    "measured_samples": 40000,
    "start_datetime": "2023-04-07T11:54:12.502961",
    "loadgen_info": {"validity": True, "duration": 60.0},
}
# As flutter/lib/data/results writes it since its second schema.
LOADGEN = {
    "query_count": 40001,
    "latency_mean": 0.0015,
    "latency90": 0.0016,
    "is_min_duration_met": True,
    "is_min_query_met": True,
    "is_early_stopping_met": True,
    "is_result_valid": True,
}
BENCHMARK = {
    "benchmark_id": "image_classification",
    "benchmark_name": "Image Classification",
    "loadgen_scenario": "SingleStream",
    "backend_settings": {
        "accelerator_code": "ane",
        "accelerator_desc": "ANE (asked for)",
        "framework": "TFLite CoreML",
        "model_path": "https://example.com/v1_1/tflite/mobilenet_edgetpu.tflite",
        "batch_size": 0,
        "extra_settings": [{"id": "num_threads", "name": "Number of threads", "value": "4", "value_name": "4 threads"}],
    },
    "backend_info": {"filename": "libtflitebackend", "vendor_name": "Google", "accelerator_name": "ANE"},
    "performance_run": RUN,
    "accuracy_run": None,
    "min_duration": 60.0,
    "min_samples": 1024,
}
IOS = {"os_version": "16.2", "model_code": "iPad8,10", "model_name": "iPad Pro 11 inch", "soc_name": "A12Z Bionic"}
ANDROID = {
    "os_version": "14",
    "manufacturer": "samsung",
    "model_code": "SM-S918U",
    "model_name": "Galaxy S23 Ultra",
    "board_code": "kalama",
    "proc_cpuinfo_soc_name": "",
    "props": [{"type": "soc_model", "name": "ro.soc.model", "value": "SM8550"}],
}
RESULT: dict[str, Any] = {
    "meta": {"uuid": "e4985125-ed30-4b1d-be77-eb427f416d1c", "creation_date": "", "upload_date": None},
    "results": [BENCHMARK],
    "environment_info": {"platform": "ios", "value": {"android": None, "ios": IOS, "windows": None}},
    "build_info": {"version": "3.0.0", "build_number": "1"},
}


def changed(**run: Any) -> dict[str, Any]:
    result = copy.deepcopy(RESULT)
    result["results"][0]["performance_run"] |= run
    return result


def camel_case(value: Any) -> Any:
    if isinstance(value, list):
        return [camel_case(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {re.sub(r"_([a-z])", lambda x: x[1].upper(), key): camel_case(each) for key, each in value.items()}


def read(content: Any, folder: Path) -> Imported:
    path = folder / "result.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert MLPerf().knows(path, path.read_bytes())
    return MLPerf().read(path, None)


def test_a_result_gives_every_figure(tmp_path: Path) -> None:
    (found,) = read(RESULT, tmp_path).results
    assert (found.latency.count, found.latency.mean, found.latency.p90) == (40000, 1500, None)
    config = found.config
    assert (config.delegate, config.threads, config.runs, config.min_s, config.max_s) == ("ANE", 4, 1024, 60, None)
    run = found.run
    assert (run.id, run.tool, run.tool_version) == (RESULT["meta"]["uuid"], "MLPerf Mobile", "3.0.0")
    assert run.started_at == "2023-04-07T11:54:12.502961"
    device = found.device
    assert (device.name, device.os, device.os_version, device.soc) == ("iPad Pro 11 inch", "ios", "16.2", "A12Z Bionic")
    assert (device.model, device.manufacturer, found.model.name) == ("iPad8,10", None, "mobilenet_edgetpu.tflite")
    assert found.validity.completed


@pytest.mark.parametrize("key", ["loadgen", "loadgen_info"])
@pytest.mark.parametrize("spelling", [camel_case, copy.copy])
def test_the_load_generator_s_keys_have_two_spellings(key: str, spelling: Any, tmp_path: Path) -> None:
    (found,) = read(spelling(changed(**{"loadgen_info": None, key: LOADGEN})), tmp_path).results
    assert (found.latency.count, found.latency.mean, found.latency.p90) == (40001, 1500, 1600)
    assert (found.config.threads, found.device.soc) == (4, "A12Z Bionic")


def test_an_android_s_properties_name_its_chip(tmp_path: Path) -> None:
    value = {"platform": "android", "value": {"android": ANDROID, "ios": None, "windows": None}}
    (found,) = read(RESULT | {"environment_info": value}, tmp_path).results
    device = found.device
    assert (device.name, device.manufacturer, device.soc) == ("Galaxy S23 Ultra", "samsung", "SM8550")


def test_calls_that_come_all_at_once_have_no_latency(tmp_path: Path) -> None:
    result = copy.deepcopy(RESULT)
    result["results"][0]["loadgen_scenario"] = "Offline"
    (found,) = read(result, tmp_path).results
    assert (found.latency.count, found.latency.mean) == (None, None)


def test_what_the_load_generator_says_against_it_stays(tmp_path: Path) -> None:
    (found,) = read(changed(loadgen=LOADGEN | {"is_min_query_met": False, "is_result_valid": False}), tmp_path).results
    reason = "there were too few calls, and its load generator says that it isn't valid"
    assert found.validity.reasons == (reason,)


def test_benchmarks_without_a_performance_run_are_left_out(tmp_path: Path) -> None:
    accuracy = BENCHMARK | {"performance_run": None, "accuracy_run": RUN}
    assert len(read(RESULT | {"results": [accuracy, BENCHMARK]}, tmp_path).results) == 1
    with pytest.raises(ResultError, match="at results: has no benchmark with a performance run"):
        read(RESULT | {"results": [accuracy]}, tmp_path)


def test_a_torn_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r'at results/0/performance_run/loadgen/latency90: "x" is no number'):
        read(changed(loadgen=LOADGEN | {"latency90": "x"}), tmp_path)
    with pytest.raises(ResultError, match="at results: is no list"):
        read('{"results": {"benchmark_id": 1}}', tmp_path)
