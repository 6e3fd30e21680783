"""The worker processes of one export, seen from the parent."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from mobile_kit.errors import LoweringError, MobileKitError
from mobile_kit.exporting.job import GOLDEN_READY, ExportJob
from mobile_kit.progress import Progress

__all__ = ["WorkerPool", "run_jobs", "threads_beside"]

# What workers may take together, and what one takes at its peak for each parameter: copies of the weights in float32.
MOST_BYTES, PEAK_BYTES = 12 * 10**9, 16

# Workers share the cores with one another: each computes on one thread, and none spins while it waits.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
# Less than this is free after a write that failed for lack of room, however the toolchain put it.
NO_ROOM_BYTES = 1 << 16


def run_jobs(jobs: list[ExportJob], progress: Progress, meanwhile: Callable[[], None] = lambda: None) -> dict[str, str]:
    """Run jobs in worker processes, and something here until the golden files are written, which it is to do.

    Returns: what went wrong, by job, where something else went well. Raises: the first error where nothing did.
    """
    together = max(MOST_BYTES // (PEAK_BYTES * jobs[0].model_record.num_parameters), 1)
    threads = ThreadPoolExecutor(max_workers=min(len(jobs), os.cpu_count() or 1, together))
    with contextlib.closing(WorkerPool(progress)) as workers, threads:
        futures = {job.name: threads.submit(workers.run, job) for job in jobs}
        try:
            meanwhile()
            workers.golden.set()
            errors = {name: error for name, future in futures.items() if (error := future.exception()) is not None}
        except BaseException:
            workers.stop()
            raise
    for error in errors.values():
        if not isinstance(error, MobileKitError) or len(errors) == len(jobs):
            raise error
    return {name: str(error) for name, error in errors.items()}


@contextlib.contextmanager
def threads_beside(jobs: int) -> Iterator[None]:
    """Compute in this process on the cores that the workers of so many jobs leave, on one at least.

    Torch's threads wait for one another at every operation, and spin meanwhile: where workers have all cores, a small
    network takes fifty times as long.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max((os.cpu_count() or 1) - jobs, 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class WorkerPool:
    """Runs each job in a process of its own. `golden` is set once the golden files are written; safe for threads."""

    def __init__(self, progress: Progress) -> None:
        self.golden = Event()
        self._progress = progress
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        # Nothing is ever written: it closes when this process ends, however that comes.
        self._lives, self._alive = os.pipe()

    def run(self, job: ExportJob) -> None:
        """Run one job to its end; its log stays only where the toolchain failed.

        Raises: LoweringError naming the log, or the error that the worker reports; OSError where the disk is full.
        """
        if self._stopped:
            return
        job.kept_log.unlink(missing_ok=True)
        last = self._follow(job, self._start(job))
        ended = self._stopped or last.get("done")
        if not ended and shutil.disk_usage(job.folder).free < NO_ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if not ended and "error" in last:
            raise MobileKitError(last["error"])
        if not ended:
            reason = last.get("crash") or f"its process ended with code {last['code']}"
            job.kept_log.parent.mkdir(parents=True, exist_ok=True)
            job.log.replace(job.kept_log)
            raise LoweringError(f"{job.name}: the toolchain failed ({reason}). Its own words are in {job.kept_log}.")

    def stop(self) -> None:
        """Kill all workers, and let no other start."""
        self._stopped = True
        self.golden.set()
        for process in list(self._running):
            process.kill()

    def close(self) -> None:
        """Let go of the pipe that workers live by; none may be running."""
        for end in (self._lives, self._alive):
            os.close(end)

    def _start(self, job: ExportJob) -> "subprocess.Popen[str]":
        # In the staging folder, which goes whatever happens to this process.
        temporary = job.folder.with_name("temporary")
        temporary.mkdir(exist_ok=True)
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mobile_kit.exporting.worker", str(job.handed), str(self._lives)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,  # what it says before it opens the log itself
                text=True,
                pass_fds=(self._lives,),
                start_new_session=True,  # Ctrl-C is the parent's to handle
                env={**os.environ, **ENVIRONMENT, "TMPDIR": str(temporary)},
            )
        self._running.add(process)
        if self._stopped:  # while it started
            process.kill()
        return process

    def _follow(self, job: ExportJob, process: "subprocess.Popen[str]") -> dict[str, Any]:
        """Pass on what a worker says; return its last message, with its exit code."""
        assert process.stdout is not None
        last: dict[str, Any] = {}
        try:
            for line in process.stdout:
                last = json.loads(line)
                if "stage" in last:
                    self._progress.stage(job.name, last["stage"], done=last.get("done", False))
                if "lowered" in last:
                    self._answer(process)
        finally:
            self._running.discard(process)
            if not last.get("done"):
                process.kill()
            last = {**last, "code": process.wait()}
        return last

    def _answer(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        self.golden.wait()
        with contextlib.suppress(BrokenPipeError, ValueError):
            process.stdin.write(GOLDEN_READY + "\n")
            process.stdin.flush()
