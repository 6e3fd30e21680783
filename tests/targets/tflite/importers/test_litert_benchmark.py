"""The JSON of ai-edge-litert's own benchmark, as its tool writes it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.errors import ResultError
from targets.tflite.importers.litert_benchmark import LiteRtBenchmark
from tests.exports import Export

FOUND: dict[str, Any] = {
    "model": "/data/model.tflite",
    "model_size_mb": 2.34,
    "accelerators": ["CPU"],
    "signature": "serving_default",
    "fully_accelerated": True,
    "num_threads": 2,
    "latency": {
        "init_ms": 14.5,
        "warmup_first_ms": 1.25,
        "warmup_avg_ms": 0.75,
        "num_warmup_runs": 5,
        "avg_ms": 0.5,
        "min_ms": 0.25,
        "max_ms": 2.0,
        "median_ms": 0.5,
        "std_ms": 0.125,
        "p5_ms": 0.25,
        "p95_ms": 0.75,
        "num_runs": 50,
    },
    "throughput_mb_s": 24.5,
}


def test_every_figure_is_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**FOUND, "new": 1}))
    assert LiteRtBenchmark().knows(path, path.read_bytes())
    found = LiteRtBenchmark().read(path, None)
    (result,) = found.results
    times = result.latency
    assert (times.count, times.first, times.mean, times.p50, times.p95) == (50, 1250, 500, 500, 750)
    assert (times.min, times.max, times.std, times.p5, times.samples) == (250, 2000, 125, 250, ())
    assert (result.load.cold_us, result.config.threads, result.config.delegate) == (14500, 2, "CPU")
    assert (result.model.name, result.config.input, result.config.warmup_runs) == ("model.tflite", "random", 5)
    assert found.unread == ("new",)


def test_a_model_of_which_a_part_fell_back_is_said(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**FOUND, "accelerators": ["GPU", "CPU"], "fully_accelerated": False}))
    found = LiteRtBenchmark().read(path, None)
    assert found.results[0].config.delegate == "GPU, CPU"
    assert any("a part ran on the processor" in each for each in found.unread)


@pytest.mark.parametrize("record", [{**FOUND, "latency": None}, {**FOUND, "latency": {"median_ms": "fast"}}])
def test_a_malformed_file_is_named_with_the_place(record: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ResultError, match=r"^result result\.json: .*latency") as raised:
        LiteRtBenchmark().read(path, None)
    assert "\n" not in str(raised.value)


def test_the_installed_tool_writes_what_is_read(digits: Export, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    model = digits["tflite-fp32"] / "model.tflite"
    flags = ("--model", model, "--num_runs", "5", "--warmup_runs", "1", "--num_threads", "1", "--result_json", path)
    command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", *map(str, flags)]
    subprocess.run(command, capture_output=True, check=True)
    found = LiteRtBenchmark().read(path, None)
    assert found.unread == ()
    assert found.results[0].latency.count == 5
    assert found.results[0].latency.p50 is not None
