"""Time several engines in one process, in turns, so that their ratios mean something."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mobile_kit.profiling.machine_load import QUIET_CORES, BusyMeter

# An intra-op pool goes on spinning after a run and disturbs whoever comes next (ONNX Runtime's did by a factor of 2).
PAUSE_S = 0.05


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
