"""Files as protobuf's own library writes them, by benchmark_result.proto and profiling_info.proto."""

from pathlib import Path
from typing import Any

import pytest

from mobile_kit.errors import ResultError
from mobile_kit.measurements.result import Result
from targets.tflite.importers.benchmark_protobuf import BenchmarkResultProto, OpProfileProto

pytest.importorskip("google.protobuf")
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FLOAT, INT64, INT32, STRING, MESSAGE = 2, 3, 5, 9, 11
TIMES = ["avg", "min", "max", "stddev", "median", "p5", "p95", "init", "first_inference", "average_warm_up"]
MESSAGES: dict[str, list[tuple[str, int, Any]]] = {
    "LatencyMetrics": [(f"{name}_ms", number, FLOAT) for number, name in enumerate(TIMES, 1)],
    "MemoryMetrics": [("init_footprint_kb", 1, INT64), ("overall_footprint_kb", 2, INT64), ("peak_mem_mb", 3, FLOAT)],
    "MiscMetrics": [
        ("model_size_mb", 1, FLOAT),
        ("num_runs", 2, INT32),
        ("num_warmup_runs", 3, INT32),
        ("model_throughput_in_mb_per_sec", 4, FLOAT),
        ("throughput_fps", 5, FLOAT),
    ],
    "BenchmarkResult": [
        ("name", 1, STRING),
        ("latency_metrics", 2, "LatencyMetrics"),
        ("memory_metrics", 3, "MemoryMetrics"),
        ("misc_metrics", 4, "MiscMetrics"),
    ],
}


def empty_result() -> Any:
    """A message of benchmark_result.proto: no package brings its class."""
    file = descriptor_pb2.FileDescriptorProto(name="benchmark_result.proto", package="benchmark", syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, label=1)
            if isinstance(kind, str):
                added.type, added.type_name = MESSAGE, f".benchmark.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("benchmark.BenchmarkResult"))()


def result_bytes(name: str = "") -> bytes:
    result = empty_result()
    if name:
        result.name = name
    for place, each in enumerate(TIMES):
        setattr(result.latency_metrics, f"{each}_ms", place + 0.5)
    result.memory_metrics.init_footprint_kb = 1024
    result.memory_metrics.overall_footprint_kb = -2
    result.misc_metrics.model_size_mb = 24.6229
    result.misc_metrics.num_runs = 60
    result.misc_metrics.num_warmup_runs = 9
    result.misc_metrics.throughput_fps = 2.0
    return bytes(result.SerializeToString())


def profile_bytes(kernels: bool = False) -> bytes:
    profiles = pytest.importorskip("ai_edge_litert.profiling_info_pb2")
    profile = profiles.BenchmarkProfilingData(model_name="/data/local/tmp/model.tflite")
    for part, names in (
        (profile.init_profile, ["Allocate"]),
        (profile.runtime_profile, ["CAST", "TfLiteGpuDelegateV2"]),
    ):
        graph = part.subgraph_profiles.add(subgraph_name="main", subgraph_index=0)
        for place, name in enumerate(names):
            op = graph.per_op_profiles.add(node_type=name, name=f"[{name}]:{place}", times_called=1, run_order=place)
            op.inference_microseconds.avg = 100 + 200 * place
            op.inference_microseconds.stddev = 1.5
            op.mem_kb.last = 16 * place
    inner = profile.runtime_profile.subgraph_profiles.add(subgraph_name="body", subgraph_index=1)
    inner.per_op_profiles.add(node_type="ADD", name="[add]:0").inference_microseconds.avg = 7
    if kernels:
        op = profile.runtime_profile.delegate_profiles.add().per_op_profiles.add(node_type="conv", name="conv:0")
        op.inference_microseconds.avg = 300
    return bytes(profile.SerializeToString())


def read(data: bytes, folder: Path) -> Result:
    path = folder / "benchmark.pb"
    path.write_bytes(data)
    (importer,) = [each for each in (BenchmarkResultProto(), OpProfileProto()) if each.knows(path, data)]
    (found,) = importer.read(path, None).results
    return found


@pytest.mark.parametrize("name", ["", "of a phone"])
def test_a_result_gives_every_figure(name: str, tmp_path: Path) -> None:
    found = read(result_bytes(name), tmp_path)
    times = found.latency
    assert (times.count, times.mean, times.min, times.max, times.std) == (60, 500, 1500, 2500, 3500)
    assert (times.p50, times.p5, times.p95, times.first) == (4500, 5500, 6500, 8500)
    assert (times.p90, times.p99, times.samples) == (None, None, ())
    assert (found.load.cold_us, found.config.warmup_runs) == (7500, 9)
    assert (found.memory.init_bytes, found.memory.overall_bytes) == (1 << 20, -2048)
    assert found.memory.peak_bytes is None
    assert found.model.size_bytes == 24622900


def test_no_call_has_no_time(tmp_path: Path) -> None:
    result = empty_result()
    result.latency_metrics.avg_ms = 0
    result.misc_metrics.num_runs = 0
    found = read(result.SerializeToString(), tmp_path)
    assert (found.latency.count, found.latency.mean) == (0, None)


def test_a_profile_gives_the_operations_of_the_runs(tmp_path: Path) -> None:
    found = read(profile_bytes(), tmp_path)
    cast, gpu = found.ops
    assert (cast.name, cast.type, cast.mean_us, cast.percent, cast.calls) == ("[CAST]:0", "CAST", 100, 25, 1)
    assert (cast.memory_bytes, cast.delegate) == (None, None)
    assert (gpu.memory_bytes, gpu.delegate, gpu.percent) == (16000, "GPU", 75)
    assert (found.placement.partitions, found.model.name) == (1, "model.tflite")


def test_a_delegate_s_kernels_stand_for_its_node(tmp_path: Path) -> None:
    found = read(profile_bytes(kernels=True), tmp_path)
    assert [(op.name, op.delegate, op.percent) for op in found.ops] == [("[CAST]:0", None, 25), ("conv:0", "GPU", 75)]


def test_a_file_that_is_cut_off_or_torn_is_named(tmp_path: Path) -> None:
    whole = result_bytes()
    said = r"^result benchmark.pb: protocol buffer: is cut off, or isn't whole\. Give the file"
    # Its first message has 52 bytes, and the next begins there.
    for torn in (*(whole[:end] for end in (7, 20, 51, 53, 54, len(whole) - 1)), whole[:52] + b"\x0f" + whole[53:]):
        with pytest.raises(ResultError, match=said):
            read(torn, tmp_path)


def test_a_profile_of_loading_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"^result benchmark.pb: has no operation of a run"):
        read(b"\x12\x02\x0a\x00", tmp_path)


@pytest.mark.parametrize("data", [b"\n", b"\nSome text of a log.\n", b"PK\x03\x04", b"\x80" * 20, b"", b"{}", b"\x12"])
def test_what_is_neither_is_not_known(data: bytes, tmp_path: Path) -> None:
    assert not BenchmarkResultProto().knows(tmp_path, data)
    assert not OpProfileProto().knows(tmp_path, data)
