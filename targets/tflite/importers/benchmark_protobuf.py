"""What LiteRT's benchmarks write as protocol buffers: their result, and the profile of operations.

The files don't say what they are, so that the fields they have decide. Field numbers: of benchmark_result.proto in
tflite/tools/benchmark/proto; profiling_info.proto's classes come with ai-edge-litert.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mobile_kit.errors import MissingToolError, ResultError, malformed, one_line
from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.latency import Latency
from mobile_kit.measurements.result import (
    Config,
    Load,
    Memory,
    ModelInfo,
    Op,
    Placement,
    Result,
    RunInfo,
    unknown_device,
)
from mobile_kit.reading import MOST_JSON_BYTES, ReadError, read_bytes
from targets.tflite.importers.op_table import joined, nothing, with_shares

__all__ = ["BenchmarkResultProto", "OpProfileProto"]

KIBIBYTE, MEBIBYTE, MEGABYTE = 1 << 10, 1 << 20, 1e6
# What the profiler calls KB.
KB = 1000
MS_US = 1e3
# The fields of benchmark_result.proto that are read, by message: name, number, and what it holds. No package brings
# its classes.
TIMES = ("avg", "min", "max", "stddev", "median", "p5", "p95", "init", "first_inference", "average_warm_up")
RESULT: Mapping[str, Sequence[tuple[str, int, str]]] = {
    "LatencyMetrics": [(f"{name}_ms", number, "FLOAT") for number, name in enumerate(TIMES, 1)],
    "MemoryMetrics": [
        ("init_footprint_kb", 1, "INT64"),
        ("overall_footprint_kb", 2, "INT64"),
        ("peak_mem_mb", 3, "FLOAT"),
    ],
    "MiscMetrics": [("model_size_mb", 1, "FLOAT"), ("num_runs", 2, "INT32"), ("num_warmup_runs", 3, "INT32")],
    "BenchmarkResult": [
        ("name", 1, "STRING"),
        ("latency_metrics", 2, "LatencyMetrics"),
        ("memory_metrics", 3, "MemoryMetrics"),
        ("misc_metrics", 4, "MiscMetrics"),
    ],
}
# The keys that a file of either can begin with: of its first three fields.
KEYS = {b"\x0a", b"\x12", b"\x1a"}


class BenchmarkResultProto:
    """Reads what `--result_file_path` writes."""

    name = "LiteRT benchmark's result (protocol buffer)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether its fields are those of a result."""
        return _kind(path, head) == "result"

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        found = _message(path, _result_class())
        times, memory, misc = map(_fields, (found.latency_metrics, found.memory_metrics, found.misc_metrics))
        size = misc.get("model_size_mb")
        result = Result(
            run=RunInfo("", "imported", "LiteRT benchmark"),
            model=ModelInfo("", size_bytes=None if not size else round(size * MEGABYTE)),
            device=unknown_device(),
            config=Config(warmup_runs=misc.get("num_warmup_runs")),
            latency=_latency(times, misc.get("num_runs")),
            load=Load(_times(times, "init_ms")),
            memory=Memory(
                peak_bytes=round(memory["peak_mem_mb"] * MEBIBYTE) if memory.get("peak_mem_mb") else None,
                init_bytes=_kibibytes(memory.get("init_footprint_kb")),
                overall_bytes=_kibibytes(memory.get("overall_footprint_kb")),
            ),
        )
        return Imported((result,))


class OpProfileProto:
    """Reads what `--op_profiling_output_mode=proto` writes: the operations alone."""

    name = "LiteRT benchmark_model's profile of operations (protocol buffer)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether its fields are those of a profile."""
        return _kind(path, head) == "profile"

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        found = _message(path, _profile_class())
        runs = found.runtime_profile
        # Other graphs run within an operation of the first.
        graph = [_op(each) for one in runs.subgraph_profiles if not one.subgraph_index for each in one.per_op_profiles]
        kernels = [_op(each) for one in runs.delegate_profiles for each in one.per_op_profiles]
        if not graph:
            raise nothing(path)
        ops, partitions = joined(list(with_shares(graph)), kernels)
        result = Result(
            run=RunInfo("", "imported", "LiteRT benchmark_model"),
            model=ModelInfo(found.model_name.replace("\\", "/").rpartition("/")[2]),
            device=unknown_device(),
            ops=ops,
            placement=Placement(partitions=partitions),
        )
        return Imported((result,))


def _latency(times: Mapping[str, float], count: int | None) -> Latency:
    """Return the figures; without a call all are 0 in the file, and None here."""
    if not count:
        return Latency(count=count)
    names = {"mean": "avg", "std": "stddev", "min": "min", "max": "max", "p5": "p5", "p50": "median", "p95": "p95"}
    figures = {ours: _times(times, f"{theirs}_ms") for ours, theirs in names.items()}
    mean, std = figures["mean"], figures["std"]
    return Latency(
        count=count,
        first=_times(times, "first_inference_ms"),
        cv=None if std is None or not mean else std / mean,
        **figures,  # type: ignore[arg-type]  # the names are those of figures
    )


def _times(times: Mapping[str, float], key: str) -> float | None:
    return times[key] * MS_US if key in times else None


def _kibibytes(count: int | None) -> int | None:
    return None if count is None else count * KIBIBYTE


def _op(record: Any) -> Op:
    """Return an operation of an OpProfileData."""
    fields, mean = _fields(record), _fields(record.inference_microseconds).get("avg")
    return Op(
        name=record.name,
        type=fields.get("node_type"),
        mean_us=None if mean is None else float(mean),
        calls=fields.get("times_called"),
        memory_bytes=record.mem_kb.last * KB or None,
    )


def _fields(message: Any) -> dict[str, Any]:
    """Return the fields that a message has, by name, but for numbers that aren't finite."""
    found = {field.name: value for field, value in message.ListFields()}
    return {name: value for name, value in found.items() if not isinstance(value, float) or math.isfinite(value)}


def _kind(path: Path, head: bytes) -> Literal["result", "profile"] | None:
    """Return which of the two a file is: by the fields that it has as one, as what isn't known is left out.

    What begins like one and is torn is a result, whose reader then says so.
    """
    if head[:1] not in KEYS or not any(byte < ord("\t") for byte in head):  # no text has those
        return None
    try:
        profile = _message(path, _profile_class())
        return "profile" if profile.init_profile.ListFields() or profile.runtime_profile.ListFields() else "result"
    except (ResultError, MissingToolError):
        return "result"


def _message(path: Path, message: Any) -> Any:
    """Read a file as a message. Raises: ResultError where it isn't whole."""
    from google.protobuf.message import DecodeError

    try:
        return message.FromString(read_bytes(path, MOST_JSON_BYTES))
    except ReadError as exc:
        raise ResultError(f"result {path.name}: {exc}. Give a file that can be read.") from exc
    except DecodeError as exc:
        raise malformed(path, "protocol buffer", "is cut off, or isn't whole") from exc


def _profile_class() -> Any:
    """Return the class of profiling_info.proto's BenchmarkProfilingData."""
    try:
        from ai_edge_litert.profiling_info_pb2 import BenchmarkProfilingData
    except ImportError as exc:
        raise MissingToolError(
            f"protocol buffers of LiteRT: need ai-edge-litert ({one_line(exc)}). Run: pip install 'mobile-kit[tflite]'"
        ) from exc
    return BenchmarkProfilingData


@functools.cache
def _result_class() -> Any:
    """Return the class of benchmark_result.proto's BenchmarkResult, with the fields that are read."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as exc:
        raise MissingToolError(
            f"protocol buffers: need protobuf ({one_line(exc)}). Run: pip install 'mobile-kit[tflite]'"
        ) from exc
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="benchmark_result.proto", package="benchmark", syntax="proto2")
    for name, fields in RESULT.items():
        message = file.message_type.add(name=name)
        for own, number, kind in fields:
            added = message.field.add(name=own, number=number, label=field.LABEL_OPTIONAL)
            if kind in RESULT:
                added.type, added.type_name = field.TYPE_MESSAGE, f".benchmark.{kind}"
            else:
                added.type = getattr(field, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("benchmark.BenchmarkResult"))
