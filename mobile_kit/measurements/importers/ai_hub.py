"""Qualcomm AI Hub: the profile of a job on one of its devices, as its client downloads it."""

from pathlib import Path

from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.json_document import Node, read_json
from mobile_kit.measurements.latency import Latency, latency
from mobile_kit.measurements.result import Load, Memory, ModelInfo, Op, Placement, Result, RunInfo, unknown_device

__all__ = ["AiHub"]

# The keys of the file; what else it has is said to be unread.
KNOWN = {"execution_detail", "execution_summary"}


class AiHub:
    """Reads `ProfileJob.download_profile()`: microseconds, bytes."""

    name = "Qualcomm AI Hub's profile (JSON)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it has one of the two keys; the list of operations may be long."""
        return b'"execution_summary"' in head or b'"execution_detail"' in head

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        top = read_json(path)
        summary = top["execution_summary"]
        if not summary.fields():
            raise top.error("has no 'execution_summary'")
        ops, placement = _ops(top["execution_detail"])
        warm = [summary["warm_load_time"]] if summary["all_warm_load_times"].value is None else []
        result = Result(
            run=RunInfo("", "imported", "Qualcomm AI Hub"),
            model=ModelInfo(""),
            device=unknown_device(),
            latency=_latency(summary),
            load=Load(
                cold_us=summary["first_load_time"].amount(),
                warm_us=_times([*summary["all_warm_load_times"].items(), *warm]),
                compile_us=summary["compile_time"].amount(),
            ),
            memory=Memory(
                peak_bytes=summary["estimated_inference_peak_memory"].count(),
                range_bytes=_range(summary["inference_memory_peak_range"]),
            ),
            ops=ops,
            placement=placement,
        )
        return Imported((result,), tuple(sorted(top.fields().keys() - KNOWN)))


def _latency(summary: Node) -> Latency:
    """Return the figures of all calls; where they aren't given, the service's own estimate of one."""
    calls = _times(summary["all_inference_times"].items())
    return latency([calls]) if calls else Latency(mean=summary["estimated_inference_time"].amount())


def _times(nodes: list[Node]) -> tuple[float, ...]:
    return tuple(time for time in (node.amount() for node in nodes) if time is not None)


def _range(node: Node) -> tuple[int, int] | None:
    bounds = [each.number() for each in node.items()]
    if not bounds:
        return None
    if len(bounds) != 2 or bounds[0] is None or bounds[1] is None:
        raise node.error("is no pair of numbers")
    return round(bounds[0]), round(bounds[1])


def _ops(detail: Node) -> tuple[tuple[Op, ...], Placement]:
    layers = detail.items()
    units = [(layer["compute_unit"].text() or "").upper() for layer in layers]
    times = [layer["execution_time"].amount() for layer in layers]
    total = sum(time for time in times if time is not None)
    ops = tuple(
        Op(
            name=layer["name"].text() or f"operation {place}",
            type=layer["type"].text(),
            mean_us=time,
            percent=None if time is None else 100 * time / total,
            unit=unit or None,
        )
        for place, (layer, unit, time) in enumerate(zip(layers, units, times, strict=True))
    )
    if not all(units) or not ops:
        return ops, Placement(total=len(ops) or None)
    return ops, Placement(len(ops), units.count("NPU"), units.count("GPU"), units.count("CPU"))
