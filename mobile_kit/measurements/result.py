"""What was measured of a file on a device: one record, wherever it was measured and by whatever tool.

The records are wide enough that each known tool's figures fit in. What a tool doesn't say is None, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mobile_kit.errors import ArtifactError, one_line, unwritable
from mobile_kit.measurements.latency import Latency
from mobile_kit.records import RecordError, dumped, read_file, schema_of, to_values
from mobile_kit.whole_file import write_whole

__all__ = [
    "Config",
    "DeviceInfo",
    "Load",
    "Measured",
    "Memory",
    "ModelInfo",
    "Op",
    "OutputDistance",
    "Pipeline",
    "Placement",
    "Result",
    "RunInfo",
    "Thermal",
    "Validity",
    "read_results",
    "schema",
    "unknown_device",
    "write_results",
]

# What measured: a program on the device, the kit's own runner there, an app, or a tool whose figures were read.
Harness = Literal["binary", "runner", "app", "imported"]
Measured = Literal["measured", "estimated"]


@dataclass(frozen=True)
class RunInfo:
    """One measurement. id: the same for all files that were measured in turns. started_at: ISO 8601, UTC."""

    id: str
    harness: Harness
    tool: str
    tool_version: str | None = None
    started_at: str | None = None
    source_file_sha256: str | None = None


@dataclass(frozen=True)
class ModelInfo:
    """The file. name: of its artifact. sha256: of the model file, of a package that of its files' hashes."""

    name: str
    family: str | None = None
    head: str | None = None
    source: str | None = None
    target: str | None = None
    backend: str | None = None
    recipe: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class DeviceInfo:
    """The machine. emulated: its latencies mean nothing and are compared with none."""

    name: str
    kind: str
    emulated: bool | None = None
    os: str | None = None
    os_version: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    soc: str | None = None
    abi: str | None = None
    cores: int | None = None
    ram_bytes: int | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    governor: str | None = None


def unknown_device() -> DeviceInfo:
    """Return what is known of a device of which a file says nothing."""
    return DeviceInfo(name="unknown", kind="imported")


@dataclass(frozen=True)
class Config:
    """How it was measured. delegate: what computes, such as XNNPACK, GPU or a compute unit. input: golden or random."""

    delegate: str | None = None
    threads: int | None = None
    cores: tuple[int, ...] | None = None
    warmup_runs: int | None = None
    warmup_s: float | None = None
    runs: int | None = None
    min_s: float | None = None
    max_s: float | None = None
    cooldown_s: float | None = None
    input: Literal["golden", "random"] | None = None


@dataclass(frozen=True)
class Thermal:
    """Degrees Celsius of the hottest zone before and after. throttled: whether the system held its clock back."""

    before_c: float | None = None
    after_c: float | None = None
    status_before: str | None = None
    status_after: str | None = None
    throttled: bool | None = None


@dataclass(frozen=True)
class Load:
    """Microseconds from a path to a model that runs: the first of a process, later ones, and compiling alone."""

    cold_us: float | None = None
    warm_us: tuple[float, ...] = ()
    compile_us: float | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes. peak: of the process. init: what loading added; overall: what loading and running added."""

    peak_bytes: int | None = None
    init_bytes: int | None = None
    overall_bytes: int | None = None
    pss_bytes: int | None = None
    range_bytes: tuple[int, int] | None = None


@dataclass(frozen=True)
class Pipeline:
    """Median microseconds of an app's three steps."""

    preprocess_us: float | None = None
    inference_us: float | None = None
    postprocess_us: float | None = None


@dataclass(frozen=True)
class Op:
    """An operation's mean time a call of the model. kind: estimates are a tool's guess, such as Core ML's.

    module: of the common model, where the toolchain keeps it. percent: of all operations.
    """

    name: str
    type: str | None = None
    kind: Measured = "measured"
    mean_us: float | None = None
    percent: float | None = None
    calls: int | None = None
    memory_bytes: int | None = None
    unit: str | None = None
    delegate: str | None = None
    module: str | None = None


@dataclass(frozen=True)
class Placement:
    """How many operations run where, and in how many pieces the delegate has the graph."""

    total: int | None = None
    npu: int | None = None
    gpu: int | None = None
    cpu: int | None = None
    partitions: int | None = None


def units(ops: Sequence[Op]) -> Placement:
    """Return how many operations run where, all unknown where no unit is known."""
    found = [op.unit for op in ops]
    if not any(found):
        return Placement()
    return Placement(len(ops), found.count("NPU"), found.count("GPU"), found.count("CPU"))


@dataclass(frozen=True)
class OutputDistance:
    """How far an output of the device is from the golden one; see `parity.OutputParity`."""

    name: str
    max_error: float | None = None
    sqnr_db: float | None = None
    top1: float | None = None
    pixel_agreement: float | None = None
    bound: str | None = None
    passed: bool | None = None


@dataclass(frozen=True)
class Validity:
    """Whether the figures can be trusted; None where it can't be told.

    reasons: why not. valid: whether no flag says no.
    """

    enough_runs: bool | None = None
    long_enough: bool | None = None
    parity_held: bool | None = None
    not_throttled: bool | None = None
    one_delegate: bool | None = None
    undisturbed: bool | None = None
    completed: bool | None = None
    reasons: tuple[str, ...] = ()
    valid: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        flags = (getattr(self, each.name) for each in fields(self) if each.name != "valid")
        object.__setattr__(self, "valid", not self.reasons and all(flag is not False for flag in flags))


@dataclass(frozen=True)
class Result:
    """One file measured on one device."""

    run: RunInfo
    model: ModelInfo
    device: DeviceInfo
    config: Config = Config()
    thermal: Thermal = Thermal()
    latency: Latency = field(default_factory=Latency)
    load: Load = Load()
    memory: Memory = Memory()
    pipeline: Pipeline = Pipeline()
    ops: tuple[Op, ...] = ()
    placement: Placement = Placement()
    parity: tuple[OutputDistance, ...] = ()
    validity: Validity = Validity()
    env: Mapping[str, str] = field(default_factory=dict)
    schema_version: Literal[1] = 1

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        record: dict[str, Any] = to_values(self)
        return record


def write_results(results: "list[Result]", path: Path) -> None:
    """Write results to a file. Raises: ArtifactError where it can't be written."""
    try:
        write_whole(path, dumped(results))
    except OSError as exc:
        raise unwritable(path, exc) from exc


def read_results(path: Path) -> list[Result]:
    """Read results from a file.

    Raises: ArtifactError naming the place where it isn't what `write_results` writes.
    """
    try:
        return read_file(list[Result], path)
    except RecordError as exc:
        raise ArtifactError(f"results {path}: {one_line(exc)}. Profile the artifact again.") from exc


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of a result."""
    return schema_of(Result, "mobile_kit measurement of a file on a device")
