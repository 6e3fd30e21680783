"""What `litert-benchmark`, the Python tool in ai-edge-litert, leaves with `--result_json`: rounded milliseconds."""

from pathlib import Path

from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.json_document import read_json
from mobile_kit.measurements.latency import Latency
from mobile_kit.measurements.result import Config, Load, ModelInfo, Result, RunInfo, unknown_device

__all__ = ["LiteRtBenchmark"]

MS_US = 1e3
KNOWN = {"accelerators", "fully_accelerated", "latency", "model", "model_size_mb", "num_threads", "signature"}
KNOWN |= {"throughput_mb_s"}
# Its names of figures, and ours.
FIGURES = {
    "avg_ms": "mean",
    "max_ms": "max",
    "median_ms": "p50",
    "min_ms": "min",
    "p5_ms": "p5",
    "p95_ms": "p95",
    "std_ms": "std",
    "warmup_first_ms": "first",
}
OTHERS = {"init_ms", "num_runs", "num_warmup_runs", "warmup_avg_ms"}


class LiteRtBenchmark:
    """Reads the file."""

    name = "litert-benchmark's result (JSON)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it has two of its own keys."""
        return b'"warmup_first_ms"' in head and b'"fully_accelerated"' in head

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        top = read_json(path)
        times = top["latency"]
        if not times.fields():
            raise top.error("has no 'latency'")
        figures = {ours: times[theirs].amount(MS_US) for theirs, ours in FIGURES.items()}
        units = [each.text() or "" for each in top["accelerators"].items()]
        result = Result(
            run=RunInfo("", "imported", "litert-benchmark"),
            model=ModelInfo(Path(top["model"].text() or "").name),
            device=unknown_device(),
            config=Config(
                delegate=", ".join(units) or None,
                threads=top["num_threads"].count(),
                warmup_runs=times["num_warmup_runs"].count(),
                input="random",
            ),
            latency=Latency(count=times["num_runs"].count(), **figures),  # type: ignore[arg-type]  # by the names above
            load=Load(times["init_ms"].amount(MS_US)),
        )
        unread = {f"latency/{key}" for key in times.fields().keys() - FIGURES.keys() - OTHERS}
        unread |= top.fields().keys() - KNOWN
        if top["fully_accelerated"].flag() is False and len(units) > 1:
            unread.add("fully_accelerated (false: a part ran on the processor, in how many pieces isn't said)")
        return Imported((result,), tuple(sorted(unread)))
