"""Time several files in one process, so that their ratios mean something."""

import os
import random
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BusyMeter", "Plan", "Timing", "interleave"]

# An intra-op pool goes on spinning after a run and disturbs whoever comes next (ONNX Runtime's did by a factor of 2).
PAUSE_S = 0.05
# A round counts if other processes used less than this part of one core meanwhile.
QUIET_CORES = 0.1


@dataclass(frozen=True)
class Plan:
    """How to time. rounds: those that must count. tries: rounds at most. calls: timed ones an engine and round."""

    rounds: int
    tries: int
    calls: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Timing:
    """What was measured. calls_ms: engine to its timed calls in the rounds that count.

    quiet: enough rounds had the machine for themselves; where not, all rounds count and nothing is decided.
    """

    calls_ms: Mapping[str, list[float]]
    rounds: int
    tries: int
    quiet: bool

    def median_ms(self, engine: str) -> float:
        """Return the median of all calls."""
        return statistics.median(self.calls_ms[engine])

    def min_ms(self, engine: str) -> float:
        """Return the fastest call."""
        return min(self.calls_ms[engine])


class BusyMeter:
    """How many cores other processes used since it was made; null where the system doesn't say.

    pids: running processes that are no others.
    """

    def __init__(self, pids: Collection[int] = ()) -> None:
        self._pids = pids
        self._start = self._read()

    def _read(self) -> tuple[float, float, float] | None:
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
        except OSError:
            return None
        # user nice system idle iowait irq softirq steal (man 5 proc_stat); the guest's are counted in user's already.
        ticks = [int(field) for field in fields[:8]]
        busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        own = os.times()
        seconds = own.user + own.system + own.children_user + own.children_system
        return busy, seconds + sum(map(_used_s, self._pids)), time.monotonic()

    def cores(self) -> float | None:
        """Return the mean number of cores in use by others."""
        now = self._read()
        if now is None or self._start is None:
            return None
        busy, own, seconds = (after - before for after, before in zip(now, self._start, strict=True))
        return max(busy - own, 0.0) / max(seconds, 1e-9)


def _used_s(pid: int) -> float:
    """Return the seconds of all cores that a running process has used, 0 where it has ended."""
    try:
        # The name between brackets may hold anything (man 5 proc_pid_stat).
        used = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def interleave(engines: Mapping[str, Callable[[], object]], plan: Plan) -> Timing:
    """Time engines round by round, each round in another order, and keep the rounds that nothing else disturbed."""
    order = list(engines)
    shuffle = random.Random(plan.seed)  # noqa: S311  no secret
    for run in engines.values():
        run()
    counted: list[dict[str, list[float]]] = []
    disturbed: list[dict[str, list[float]]] = []
    while len(counted) < plan.rounds and len(counted) + len(disturbed) < plan.tries:
        shuffle.shuffle(order)
        meter = BusyMeter()
        timed = {name: _timed(engines[name], plan.calls) for name in order}
        others = meter.cores()
        (counted if others is None or others < QUIET_CORES else disturbed).append(timed)
    quiet = len(counted) >= plan.rounds
    kept = counted if quiet else counted + disturbed
    calls = {name: [ms for timed in kept for ms in timed[name]] for name in engines}
    return Timing(calls, len(kept), len(counted) + len(disturbed), quiet)


def _timed(run: Callable[[], object], calls: int) -> list[float]:
    time.sleep(PAUSE_S)
    run()  # its own threads must wake up again
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times
