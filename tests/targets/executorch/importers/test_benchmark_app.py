"""The app's file as Gson writes it, with its zeros for what isn't known."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.errors import ResultError
from mobile_kit.measurements.importers.base import Imported
from targets.executorch.importers.benchmark_app import MiniBench

DEVICE = {"device": "samsung", "arch": "SM-S901U1", "os": "Android 14", "totalMem": 0, "availMem": 0}
VALUES = {
    "avg_inference_latency(ms)": 12.5,
    "trimmean_inference_latency(ms)": 12.25,
    "model_load_time(ms)": 101.5,
    "load_status": 0.0,
    "ram_pss_usage(mb)": 3.5,
}


def metrics(name: str = "mv2", values: dict[str, float] = VALUES) -> list[dict[str, Any]]:
    model = {"name": name, "backend": "xnnpack", "quantization": "q8"}
    return [
        {"benchmarkModel": model, "metric": metric, "actualValue": value, "targetValue": 0.0, "deviceInfo": DEVICE}
        for metric, value in values.items()
    ]


def read(content: Any, folder: Path) -> Imported:
    path = folder / "benchmark_results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert MiniBench().knows(path, path.read_bytes()[: 1 << 16])
    return MiniBench().read(path, None)


def test_metrics_give_every_figure_and_zeros_are_null(tmp_path: Path) -> None:
    (found,) = read(metrics(), tmp_path).results
    assert (found.latency.mean, found.latency.trimmed_mean_80, found.latency.count) == (12500, 12250, None)
    assert (found.load.cold_us, found.memory.pss_bytes) == (101500, 3.5 * (1 << 20))
    device = found.device
    assert (device.name, device.manufacturer, device.os, device.os_version) == ("SM-S901U1", "samsung", "Android", "14")
    assert (device.ram_bytes, device.emulated) == (None, None)
    assert (found.model.name, found.config.delegate, found.config.runs) == ("mv2", "xnnpack", None)
    assert found.validity.completed
    (zero,) = read(metrics(values={"avg_inference_latency(ms)": 0.0, "ram_pss_usage(mb)": 0.0}), tmp_path).results
    assert (zero.latency.mean, zero.memory.pss_bytes, zero.load.cold_us) == (None, None, None)


def test_a_model_that_was_not_loaded_says_so(tmp_path: Path) -> None:
    (found,) = read(metrics(values={"model_load_time(ms)": 3.0, "load_status": 32.0}), tmp_path).results
    assert found.validity.reasons == ("the app couldn't load the model (ExecuTorch error 32)",)
    assert found.latency.mean is None


def test_each_model_is_a_result_and_unknown_metrics_are_named(tmp_path: Path) -> None:
    found = read(metrics() + metrics("vit", {"generate_time(ms)": 5.0}), tmp_path)
    assert [result.model.name for result in found.results] == ["mv2", "vit"]
    assert found.unread == ("generate_time(ms)",)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"actualValue": "fast"}, 'at 0/actualValue: "fast" is no number'),
        ({"actualValue": -1.0}, "at 0/actualValue: -1 is less than 0"),
        ({"metric": 3}, "at 0/metric: is no text"),
        ({"metric": None}, "at 0/metric: is no name of a metric"),
        ({"deviceInfo": []}, "at 0/deviceInfo: is no object"),
    ],
)
def test_a_torn_value_is_named(change: dict[str, Any], place: str, tmp_path: Path) -> None:
    first, *rest = metrics()
    with pytest.raises(ResultError, match=place):
        read([first | change, *rest], tmp_path)


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="at top level: is no list"):
        read(metrics()[0], tmp_path)
    with pytest.raises(ResultError, match=r"isn't JSON \(line 1, column \d+"):
        read(json.dumps(metrics())[:-3], tmp_path)
