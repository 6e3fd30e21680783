"""What LiteRT's benchmarks write as protocol buffers: their result, and the profile of operations.

The files don't say what they are, so that the kinds of their fields decide. Field numbers: of benchmark_result.proto in
tflite/tools/benchmark/proto and profiling_info.proto in tflite/profiling/proto. The format is small enough to be read
here; its own library isn't needed.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mobile_kit.errors import ResultError, malformed
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
from targets.tflite.importers.op_table import joined, nothing

__all__ = ["BenchmarkResultProto", "OpProfileProto"]

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
KIBIBYTE, MEBIBYTE, MEGABYTE = 1 << 10, 1 << 20, 1e6
# What the profiler calls KB.
KB = 1000
MS_US = 1e3

# A message: its fields by number, each with its name and either what it holds or the message that it is.
Fields = Mapping[int, tuple[str, Any]]
TIMES = ("avg", "min", "max", "stddev", "median", "p5", "p95", "init", "first_inference", "average_warm_up")
LATENCY: Fields = {number: (f"{name}_ms", "float") for number, name in enumerate(TIMES, 1)}
MEMORY: Fields = {1: ("init_footprint_kb", "int"), 2: ("overall_footprint_kb", "int"), 3: ("peak_mem_mb", "float")}
MISC: Fields = {1: ("model_size_mb", "float"), 2: ("num_runs", "int"), 3: ("num_warmup_runs", "int")}
RESULT: Fields = {
    1: ("name", "text"),
    2: ("latency_metrics", LATENCY),
    3: ("memory_metrics", MEMORY),
    4: ("misc_metrics", MISC),
}
STATISTIC: Fields = {3: ("avg", "int"), 2: ("last", "int")}
OPERATION: Fields = {
    1: ("node_type", "text"),
    2: ("inference_microseconds", STATISTIC),
    3: ("mem_kb", STATISTIC),
    4: ("times_called", "int"),
    5: ("name", "text"),
    6: ("run_order", "int"),
}
SUBGRAPH: Fields = {1: ("subgraph_name", "text"), 2: ("subgraph_index", "int"), 3: ("per_op_profiles", OPERATION)}
DELEGATE: Fields = {1: ("delegate_name", "text"), 2: ("per_op_profiles", OPERATION)}
MODEL: Fields = {1: ("subgraph_profiles", SUBGRAPH), 2: ("delegate_profiles", DELEGATE)}
PROFILE: Fields = {1: ("model_name", "text"), 2: ("init_profile", MODEL), 3: ("runtime_profile", MODEL)}


class BenchmarkResultProto:
    """Reads what `--result_file_path` writes."""

    name = "LiteRT benchmark's result (protocol buffer)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether its fields are those of a result."""
        return _kind(head) == "result"

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        found = _message(path, _contents(path), RESULT)
        times, memory, misc = (_only(found, f"{key}_metrics") for key in ("latency", "memory", "misc"))
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
        return _kind(head) == "profile"

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        found = _message(path, _contents(path), PROFILE)
        runs = _only(found, "runtime_profile")
        # Other graphs run within an operation of the first.
        graphs = [graph for graph in runs.get("subgraph_profiles", ()) if not graph.get("subgraph_index")]
        graph = [_op(each) for one in graphs for each in one.get("per_op_profiles", ())]
        kernels = [_op(each) for one in runs.get("delegate_profiles", ()) for each in one.get("per_op_profiles", ())]
        if not graph:
            raise nothing(path)
        ops, partitions = joined(_shared(graph), kernels)
        result = Result(
            run=RunInfo("", "imported", "LiteRT benchmark_model"),
            model=ModelInfo(found.get("model_name", "").replace("\\", "/").rpartition("/")[2]),
            device=unknown_device(),
            ops=ops,
            placement=Placement(partitions=partitions),
        )
        return Imported((result,))


def _latency(times: Mapping[str, float], count: int | None) -> Latency:
    """Return the figures; without a call all are 0 in the file, and null here."""
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


def _op(record: Mapping[str, Any]) -> Op:
    memory = _only(record, "mem_kb").get("last")
    mean = _only(record, "inference_microseconds").get("avg")
    return Op(
        name=record.get("name", ""),
        type=record.get("node_type"),
        mean_us=None if mean is None else float(mean),
        calls=record.get("times_called"),
        memory_bytes=memory * KB if memory else None,
    )


def _shared(ops: list[Op]) -> list[Op]:
    """Add which part of all each operation takes: the file doesn't say it."""
    total = sum(op.mean_us or 0 for op in ops)
    return [Op(**{**vars(op), "percent": 100 * op.mean_us / total if op.mean_us and total else None}) for op in ops]


def _only(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a message that is there once at most, an empty one where it isn't."""
    found: list[Mapping[str, Any]] = record.get(name, [])
    return found[-1] if found else {}


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ResultError(f"result {path.name}: can't be read ({exc.strerror}). Give a file that can.") from exc


def _kind(head: bytes) -> Literal["result", "profile"] | None:
    """Return which of the two a file begins like: a result's messages hold numbers, a profile's hold messages."""
    try:
        for number, kind, place, end in _fields(head, 0, len(head), whole=False):
            if kind != LENGTH or not 1 <= number <= 4:
                return None
            if number > 1 and end > place and place < len(head):
                inner = head[place] & 7
                if inner == LENGTH and number < 4:
                    return "profile"
                return "result" if inner in {VARINT, FOUR_BYTES} else None
    except _TornError:
        return None
    return None


class _TornError(Exception):
    """The bytes are no fields. The argument: where not."""


def _message(path: Path, data: bytes, fields: Fields) -> dict[str, Any]:
    try:
        return _decoded(data, 0, len(data), fields)
    except _TornError as exc:
        raise malformed(path, f"byte {exc.args[0]}", "is no field of its message, or is cut off") from exc


def _decoded(data: bytes, place: int, end: int, fields: Fields) -> dict[str, Any]:
    """Return the known fields of a message: those that are messages as lists, of others the last."""
    found: dict[str, Any] = {}
    for number, kind, start, stop in _fields(data, place, end):
        name, holds = fields.get(number, ("", None))
        if not name:
            continue
        if holds == "float" and kind == FOUR_BYTES:
            value = struct.unpack_from("<f", data, start)[0]
            if math.isfinite(value):
                found[name] = value
        elif holds == "int" and kind == VARINT:
            value, _ = _varint(data, start, stop)
            found[name] = value - (1 << 64) if value >> 63 else value
        elif holds == "text" and kind == LENGTH:
            found[name] = data[start:stop].decode(errors="replace")
        elif isinstance(holds, Mapping) and kind == LENGTH:
            found.setdefault(name, []).append(_decoded(data, start, stop, holds))
        else:
            raise _TornError(start)
    return found


def _fields(data: bytes, place: int, end: int, whole: bool = True) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, kind, and where its bytes begin and end, for each field. whole: none may reach beyond the end."""
    while place < end:
        start = place
        key, place = _varint(data, place, end)
        kind = key & 7
        if kind == VARINT:
            stop = _varint(data, place, end)[1]
        elif kind == LENGTH:
            length, place = _varint(data, place, end)
            stop = place + length
        elif kind in {EIGHT_BYTES, FOUR_BYTES}:
            stop = place + (8 if kind == EIGHT_BYTES else 4)
        else:
            raise _TornError(start)
        if not key >> 3 or (whole and stop > end):
            raise _TornError(start)
        yield key >> 3, kind, place, stop
        place = stop


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            raise _TornError(place)
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _TornError(place)
