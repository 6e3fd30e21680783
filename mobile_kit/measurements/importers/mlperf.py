"""MLPerf Mobile: what its app exports, one result a benchmark.

Keys are spelt in snake_case by the app's schema and in camelCase by its documentation; both are taken. Times are in
seconds.
"""

from pathlib import Path

from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.json_document import Node, read_json, snake_case
from mobile_kit.measurements.latency import Latency
from mobile_kit.measurements.result import Config, DeviceInfo, ModelInfo, Result, RunInfo, Validity

__all__ = ["MLPerf"]

# In the one scenario calls follow one another. In the other they come all at once, so that none has a time of its own.
ONE_BY_ONE = "SingleStream"
SECOND_US = 1e6
KNOWN = {"build_info", "environment_info", "filter", "meta", "results"}
CHECKS = {
    "is_min_duration_met": "it was too short",
    "is_min_query_met": "there were too few calls",
    "is_early_stopping_met": "there were too few calls for its percentile",
    "is_result_valid": "its load generator says that it isn't valid",
    "validity": "its load generator says that it isn't valid",
}


class MLPerf:
    """Reads the app's result, of which each benchmark with a performance run is one."""

    name = "MLPerf Mobile's result (JSON)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it has a key that a benchmark begins with."""
        return any(key in head for key in (b'"benchmark_id"', b'"benchmarkId"'))

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        top = read_json(path, snake_case)
        results = tuple(
            _result(top, benchmark)
            for benchmark in top["results"].items()
            if benchmark["performance_run"].value is not None
        )
        if not results:
            raise top["results"].error("has no benchmark with a performance run")
        return Imported(results, tuple(sorted(top.fields().keys() - KNOWN)))


def _result(top: Node, benchmark: Node) -> Result:
    run, settings = benchmark["performance_run"], benchmark["backend_settings"]
    loadgen = run["loadgen"] if run["loadgen"].value is not None else run["loadgen_info"]
    extra = {each["id"].text(): each["value"] for each in settings["extra_settings"].items()}
    threads = extra["num_threads"].text() if "num_threads" in extra else None
    reasons = tuple(dict.fromkeys(why for key, why in CHECKS.items() if loadgen[key].flag() is False))
    return Result(
        run=RunInfo(
            id=top["meta"]["uuid"].text() or "",
            harness="imported",
            tool="MLPerf Mobile",
            tool_version=top["build_info"]["version"].text(),
            started_at=run["start_datetime"].text(),
        ),
        model=ModelInfo((settings["model_path"].text() or "").rpartition("/")[2]),
        device=_device(top["environment_info"]),
        config=Config(
            delegate=benchmark["backend_info"]["accelerator_name"].text() or settings["accelerator_desc"].text(),
            threads=int(threads) if threads is not None and threads.isdecimal() else None,
            runs=benchmark["min_samples"].count(),
            min_s=benchmark["min_duration"].amount(),
            max_s=benchmark["max_duration"].amount(),
        ),
        latency=_latency(benchmark, run, loadgen),
        validity=Validity(completed=not reasons, reasons=(", and ".join(reasons),) if reasons else ()),
    )


def _latency(benchmark: Node, run: Node, loadgen: Node) -> Latency:
    if benchmark["loadgen_scenario"].text() != ONE_BY_ONE:
        return Latency()
    count = loadgen["query_count"].count() or run["measured_samples"].count()
    mean, duration = loadgen["latency_mean"].amount(SECOND_US), loadgen["duration"].amount(SECOND_US)
    if mean is None and duration is not None and count is not None:
        mean = duration / count
    return Latency(count=count, mean=mean, p90=loadgen["latency90"].amount(SECOND_US))


def _device(environment: Node) -> DeviceInfo:
    system = environment["platform"].text()
    info = environment["value"][system or ""]
    properties = {each["name"].text(): each["value"].text() for each in info["props"].items()}
    model = info["model_name"].text() or info["model_code"].text()
    return DeviceInfo(
        name=model or "unknown",
        kind="imported",
        os=system,
        os_version=info["os_version"].text(),
        manufacturer=info["manufacturer"].text(),
        model=info["model_code"].text(),
        soc=properties.get("ro.soc.model")
        or info["proc_cpuinfo_soc_name"].text()
        or info["soc_name"].text()
        or info["cpu_full_name"].text(),
    )
