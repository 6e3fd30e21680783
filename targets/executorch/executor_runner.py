"""ExecuTorch's `executor_runner`: how it is started on a device, and what it prints.

The lines are those of examples/portable/executor_runner/executor_runner.cpp. Older ones give the time of all calls
alone, newer ones that of each.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from mobile_kit.errors import malformed
from mobile_kit.measurements.importers.base import Imported, Importer
from mobile_kit.measurements.latency import Latency, latency
from mobile_kit.measurements.result import Config, Load, ModelInfo, Result, RunInfo, unknown_device
from mobile_kit.target_api.benchmark import BenchmarkJob, BenchmarkProgram

__all__ = ["EXECUTOR_RUNNER", "ExecutorRunnerLog"]

TOOL = "ExecuTorch executor_runner"
OUTPUTS = "outputs"
LOADED = re.compile(r"Model loaded in ([\d.]+) ms")
CALL = re.compile(r"Iteration (\d+) of (\d+): ([\d.]+) ms")
ALL = re.compile(r"Model executed successfully (\d+) time\(s\) in ([\d.]+) ms")
THREADS = re.compile(r"Resetting threadpool with num threads = (\d+)")
MARK = b"Model executed successfully "


class ExecutorRunnerLog:
    """Reads the log."""

    name = "ExecuTorch executor_runner's log"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it has one of the tool's own lines."""
        return MARK in head or b"executor_runner.cpp:" in head

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file. The calls of a warm-up aren't told apart: the first is left out of the figures."""
        text = path.read_text(encoding="utf-8", errors="replace")
        loaded, whole, threads = LOADED.search(text), ALL.search(text), THREADS.search(text)
        if whole is None or int(whole[1]) == 0:
            raise malformed(path, "its end", "it doesn't say that the model was executed")
        calls = [1e3 * float(ms) for _, _, ms in CALL.findall(text)]
        count, total_us = int(whole[1]), 1e3 * float(whole[2])
        figures = latency([calls[1:]], calls[0]) if len(calls) > 1 else Latency(count=count, mean=total_us / count)
        result = Result(
            run=RunInfo("", "imported", TOOL),
            model=ModelInfo(""),
            device=unknown_device(),
            config=Config(threads=int(threads[1]) if threads else None, runs=count),
            latency=figures,
            load=Load(None if loaded is None else 1e3 * float(loaded[1])),
        )
        return Imported((result,))


def _command(job: BenchmarkJob) -> Sequence[str]:
    flags = {
        "model_path": job.model,
        "inputs": ",".join(job.values),
        "output_file": job.folder + OUTPUTS,
        # It has no warm-up of its own: its first calls are that, of which `ExecutorRunnerLog` leaves out one.
        "num_executions": job.warmup_runs + job.runs,
    }
    threads = {} if job.threads is None else {"cpu_threads": job.threads}
    return [job.program, *(f"--{name}={value}" for name, value in {**flags, **threads}.items())]


def _outputs(job: BenchmarkJob) -> Sequence[str]:
    return [f"{OUTPUTS}-{number}.bin" for number in range(len(job.outputs))]


LOG: Importer = ExecutorRunnerLog()
EXECUTOR_RUNNER = BenchmarkProgram("executor_runner", _command, _outputs, LOG)
