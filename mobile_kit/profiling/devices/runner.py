"""Time a model file on the machine where this runs: `python runner.py PLAN`, with nothing but the standard library.

The kit puts it on a device, beside the target's engine, and reads what it prints, a JSON object a line. It must run
with any Python from 3.8 on. PLAN is a JSON file with the keys
    engine, model        paths; the engine is a Python file with a class `Model`. `OPAQUE` in it says that the memory of
                         this process, and the time that values take to and from it, mean nothing: the model's `run` and
                         `load_us` then have the microseconds that its runtime measured, and `close` takes it down
    inputs               name to the path of its raw little-endian values, of `samples` samples behind one another
    samples              how many; the first is what is timed
    outputs              what the paths of the outputs begin with, raw, a file a name: of the first sample all, of the
                         others those in `judged`, behind one another
    threads, cores       None for the runtime's own choice; cores: numbers of those to stay on
    warmup_runs, warmup_s, runs, min_s, max_s, blocks, loads
Each block waits for a line on standard input, as files are timed in turns; its end ends them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import time
from typing import Any

# An intra-op pool goes on spinning after a run and disturbs whoever comes next.
PAUSE_S = 0.05
# How often to say at least that it is there, between calls.
WORD_S = 10.0


def main(path: str) -> None:
    """Load, warm up, time, and say what was found."""
    with open(path, encoding="utf-8") as stream:
        plan = json.load(stream)
    if plan["cores"]:
        os.sched_setaffinity(0, plan["cores"])
    engine = _engine(plan["engine"])
    before = _bytes("VmRSS")
    model, cold_us = _loaded(engine, plan)
    opaque = getattr(engine, "OPAQUE", False)
    _say(runtime=engine.name(), threads=getattr(model, "threads", plan["threads"]))
    _say(cold_us=cold_us, compile_us=getattr(model, "compile_us", None), partitions=model.partitions())
    _say(init_bytes=None if opaque else _grown(before, _bytes("VmRSS")))
    inputs = _sample(0, plan)
    _say(first_us=_call(model, inputs)[0])
    leave_us = _answer(model, plan)
    calls, calls_a_block = _warm_up(model, inputs, plan)
    _say(leave_us=None if opaque else leave_us, warmup_runs=calls)
    enter_us = _measure(model, inputs, calls_a_block)
    if not opaque:
        peak = _peak_bytes()
        _say(peak_bytes=peak, overall_bytes=_grown(before, peak), enter_us=enter_us)
    _say(warm_us=[_load(engine, plan) for _ in range(plan["loads"])])
    _close(model)
    _say(done=True)


def _loaded(engine: Any, plan: dict[str, Any]) -> tuple[Any, float]:
    """Return a model, and the microseconds of loading it."""
    start = time.perf_counter_ns()
    model = engine.Model(plan["model"], plan["threads"])
    taken = _us(start)
    told = getattr(model, "load_us", None)
    return model, taken if told is None else told


def _close(model: Any) -> None:
    if hasattr(model, "close"):
        model.close()


def _sample(number: int, plan: dict[str, Any]) -> dict[str, bytes]:
    """Read one sample's inputs: all of them would be memory that the model doesn't take."""
    found = {}
    for name, path in plan["inputs"].items():
        size = os.path.getsize(path) // plan["samples"]
        with open(path, "rb") as stream:
            stream.seek(number * size)
            found[name] = stream.read(size)
    return found


def _answer(model: Any, plan: dict[str, Any]) -> float:
    """Write the outputs of every sample; return the median microseconds that taking them out took."""
    taken = []
    for number in range(plan["samples"]):
        _call(model, _sample(number, plan))
        start = time.perf_counter_ns()
        outputs = model.outputs()
        taken.append(_us(start))
        for name, content in outputs.items():
            if number == 0 or name in plan["judged"]:
                with open(plan["outputs"] + name + ".bin", "ab") as stream:
                    stream.write(content)
        _say()
    return _median(taken)


def _warm_up(model: Any, inputs: dict[str, bytes], plan: dict[str, Any]) -> tuple[int, int]:
    """Call until it is warm; return how often, and how many calls are a block."""
    times: list[float] = []
    began = time.monotonic()
    while len(times) < plan["warmup_runs"] or time.monotonic() - began < plan["warmup_s"]:
        times.append(_call(model, inputs)[0])
        if time.monotonic() - began > plan["max_s"]:
            break
    if not times:
        times.append(_call(model, inputs)[0])
    whole_us = (time.monotonic() - began) * 1e6 / len(times)
    return len(times), _calls_a_block(plan, sum(times) / len(times), whole_us)


def _calls_a_block(plan: dict[str, Any], mean_us: float, whole_us: float) -> int:
    """Return how many calls make enough of them and enough time in all blocks, but no longer than the most.

    whole_us: of a call with all that is done around it.
    """
    enough = max(plan["runs"], plan["min_s"] * 1e6 / mean_us)
    return max(1, int(-(-min(enough, plan["max_s"] * 1e6 / whole_us) // plan["blocks"])))


def _measure(model: Any, inputs: dict[str, bytes], calls: int) -> float | None:
    """Time a block a line of standard input; return the median microseconds of handing over the inputs."""
    entered = []
    while sys.stdin.readline():
        time.sleep(PAUSE_S)
        _call(model, inputs)  # its own threads must wake up again
        block = _block(model, inputs, calls)
        entered += [enter for _, enter in block]
        _say(us=[run for run, _ in block])
    return _median(entered) if entered else None


def _block(model: Any, inputs: dict[str, bytes], calls: int) -> list[tuple[float, float]]:
    found, said = [], time.monotonic()
    for _ in range(calls):
        found.append(_call(model, inputs))
        if time.monotonic() - said > WORD_S:
            _say()
            said = time.monotonic()
    return found


def _call(model: Any, inputs: dict[str, bytes]) -> tuple[float, float]:
    """Return the microseconds of computing, and of handing over the inputs before."""
    start = time.perf_counter_ns()
    model.enter(inputs)
    entered = time.perf_counter_ns()
    told = model.run()
    taken = _us(entered)
    return taken if told is None else told, (entered - start) / 1000


def _load(engine: Any, plan: dict[str, Any]) -> float:
    model, taken = _loaded(engine, plan)
    _close(model)
    del model  # taking it down is no part of loading it
    _say()
    return taken


def _us(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1000


def _median(values: list[float]) -> float:
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def _engine(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("engine", path)
    if spec is None or spec.loader is None:
        sys.exit(path + " is no Python file")
    engine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(engine)
    return engine


def _bytes(name: str) -> int | None:
    """Return a figure of this process's memory by its name in Linux's list, None where there is none."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
            found = re.search(name + r":\s*(\d+) kB", stream.read())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def _peak_bytes() -> int | None:
    """Return the most memory that this process held; None where the system doesn't say."""
    if sys.platform != "darwin":
        # getrusage would give the parent's on Linux, if that was larger when it started this.
        return _bytes("VmHWM")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _grown(before: int | None, after: int | None) -> int | None:
    """Return what was added, None where it can't be told."""
    return None if before is None or after is None or after <= before else after - before


def _say(**found: Any) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
