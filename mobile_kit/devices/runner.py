"""Time a model file on the machine where this runs: `python runner.py PLAN`, with nothing but the standard library.

The kit puts it on a device, beside the target's engine, and reads what it prints, a JSON object a line. PLAN is a JSON
file with the keys
    engine, model        paths; the engine is a Python file with a class `Model`
    inputs               name to the path of its raw little-endian values, of `samples` samples behind one another
    samples              how many; the first is what is timed
    outputs              the folder that gets the outputs, raw, a file a name: of the first sample all, of the others
                         those in `judged`, behind one another
    threads, cores       null for the runtime's own choice; cores: numbers of those to stay on
    warmup_runs, warmup_s, runs, min_s, max_s, blocks, loads
    wait                 whether each block waits for a line on standard input, as others are timed in turns
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from typing import Any


def main(path: str) -> None:
    """Load, warm up, time, and say what was found."""
    with open(path, encoding="utf-8") as stream:
        plan = json.load(stream)
    if plan["cores"]:
        os.sched_setaffinity(0, plan["cores"])
    engine = _engine(plan["engine"])
    before = _peak_bytes()
    start = time.perf_counter_ns()
    model = engine.Model(plan["model"], plan["threads"])
    _say(runtime=engine.name(), cold_us=_us(start), init_bytes=_grown(before))
    whole = {name: _read(file) for name, file in plan["inputs"].items()}
    inputs = _sample(whole, 0, plan)
    _say(first_us=_call(model, inputs))
    _answer(model, whole, plan)
    _say(warmup_runs=_warm_up(model, inputs, plan))
    _measure(model, inputs, plan)
    _say(peak_bytes=_peak_bytes(), overall_bytes=_grown(before))
    _say(warm_us=[_load(engine, plan) for _ in range(plan["loads"])])
    _say(done=True)


def _sample(whole: dict[str, bytes], number: int, plan: dict[str, Any]) -> dict[str, bytes]:
    sizes = {name: len(content) // plan["samples"] for name, content in whole.items()}
    return {name: content[number * sizes[name] : (number + 1) * sizes[name]] for name, content in whole.items()}


def _answer(model: Any, whole: dict[str, bytes], plan: dict[str, Any]) -> None:
    for number in range(plan["samples"]):
        _call(model, _sample(whole, number, plan))
        for name, content in model.outputs().items():
            if number == 0 or name in plan["judged"]:
                with open(os.path.join(plan["outputs"], name + ".bin"), "ab") as stream:
                    stream.write(content)


def _measure(model: Any, inputs: dict[str, bytes], plan: dict[str, Any]) -> None:
    began, blocks = time.monotonic(), 0
    size = -(-plan["runs"] // plan["blocks"])
    while True:
        if plan["wait"]:
            if not sys.stdin.readline():
                return
            _call(model, inputs)  # its own threads must wake up again
        _say(us=[_call(model, inputs) for _ in range(size)])
        blocks, seconds = blocks + 1, time.monotonic() - began
        # Enough calls and enough time, but no longer than the most.
        if not plan["wait"] and ((blocks >= plan["blocks"] and seconds >= plan["min_s"]) or seconds > plan["max_s"]):
            return


def _warm_up(model: Any, inputs: dict[str, bytes], plan: dict[str, Any]) -> int:
    began, calls = time.monotonic(), 0
    while calls < plan["warmup_runs"] or time.monotonic() - began < plan["warmup_s"]:
        _call(model, inputs)
        calls += 1
        if time.monotonic() - began > plan["max_s"]:
            break
    return calls


def _call(model: Any, inputs: dict[str, bytes]) -> float:
    model.enter(inputs)
    start = time.perf_counter_ns()
    model.run()
    return _us(start)


def _load(engine: Any, plan: dict[str, Any]) -> float:
    start = time.perf_counter_ns()
    engine.Model(plan["model"], plan["threads"])
    return _us(start)


def _us(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1000


def _engine(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("engine", path)
    if spec is None or spec.loader is None:
        sys.exit(path + " is no Python file")
    engine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(engine)
    return engine


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:
        return None  # Windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _grown(before: int | None) -> int | None:
    after = _peak_bytes()
    return None if before is None or after is None else after - before


def _say(**found: Any) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
