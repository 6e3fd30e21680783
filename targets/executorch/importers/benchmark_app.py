"""ExecuTorch's Android benchmark app: the metrics that it leaves in `benchmark_results.json`.

It writes 0 for what it doesn't know, such as the device's memory, and gives neither the calls nor their number.
"""

from pathlib import Path

from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.json_document import Node, read_json
from mobile_kit.measurements.latency import Latency
from mobile_kit.measurements.result import Config, DeviceInfo, Load, Memory, ModelInfo, Result, RunInfo, Validity

__all__ = ["MiniBench"]

MS_US, MEBIBYTE = 1e3, 1 << 20
MEAN, TRIMMED, LOAD = "avg_inference_latency(ms)", "trimmean_inference_latency(ms)", "model_load_time(ms)"
PSS, STATUS = "ram_pss_usage(mb)", "load_status"
KNOWN = {MEAN, TRIMMED, LOAD, PSS, STATUS}


class MiniBench:
    """Reads the list of metrics, which is one result a model."""

    name = "ExecuTorch's Android benchmark_results.json"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether a metric begins as the app's do."""
        return b'"benchmarkModel"' in head

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        models: dict[tuple[str, str], dict[str, Node]] = {}
        for metric in read_json(path).items():
            name = metric["metric"].text()
            if name is None:
                raise metric["metric"].error("is no name of a metric")
            model = metric["benchmarkModel"]
            key = model["name"].text() or "", model["backend"].text() or ""
            models.setdefault(key, {})[name] = metric
        if not models:
            raise read_json(path).error("has no metric")
        unread = sorted({name for metrics in models.values() for name in metrics} - KNOWN)
        return Imported(tuple(_result(*key, metrics) for key, metrics in models.items()), tuple(unread))


def _result(name: str, backend: str, metrics: dict[str, Node]) -> Result:
    def value(metric: str, unit: float) -> float | None:
        return metrics[metric]["actualValue"].amount(unit) if metric in metrics else None

    memory, status = _pss(metrics), metrics[STATUS]["actualValue"].number() if STATUS in metrics else None
    reason = f"the app couldn't load the model (ExecuTorch error {status:g})" if status else None
    return Result(
        run=RunInfo("", "imported", "ExecuTorch benchmark app"),
        model=ModelInfo(name),
        device=_device(next(iter(metrics.values()))["deviceInfo"]),
        config=Config(delegate=backend or None),
        latency=Latency(mean=value(MEAN, MS_US), trimmed_mean_80=value(TRIMMED, MS_US)),
        load=Load(value(LOAD, MS_US)),
        memory=Memory(pss_bytes=memory),
        validity=Validity(completed=reason is None, reasons=() if reason is None else (reason,)),
    )


def _pss(metrics: dict[str, Node]) -> int | None:
    """Return what running added to the memory. It may be less than before; 0 is unknown."""
    found = metrics[PSS]["actualValue"].number() if PSS in metrics else None
    return round(found * MEBIBYTE) if found else None


def _device(info: Node) -> DeviceInfo:
    """Return the device: the app calls its brand `device`, and its model `arch`."""
    system, _, version = (info["os"].text() or "").partition(" ")
    model = info["arch"].text()
    return DeviceInfo(
        name=model or "unknown",
        kind="imported",
        os=system or None,
        os_version=version or None,
        manufacturer=info["device"].text(),
        model=model,
        ram_bytes=info["totalMem"].count(),
    )
