"""A file that the kit's own runner times, wherever there are a Python and the runtime, in turns with others."""

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mobile_kit import __version__
from mobile_kit.artifacts.layout import PHOTO
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.errors import DeviceError, one_line
from mobile_kit.measurements.latency import latency
from mobile_kit.measurements.result import (
    Config,
    Load,
    Memory,
    ModelInfo,
    Op,
    Pipeline,
    Result,
    RunInfo,
    units,
    unknown_device,
)
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.profiling.devices.device import Device
from mobile_kit.profiling.options import DeviceOptions
from mobile_kit.profiling.session import BenchmarkSession, pinned
from mobile_kit.reading import parse_json

__all__ = ["RunnerSession"]

RUNNER = Path(__file__).with_name("devices") / "runner.py"
# Times that the app's own step is taken.
GEOMETRIES = 5


class RunnerSession(BenchmarkSession):
    """See `BenchmarkSession`. Between start and finish it takes turns."""

    def __init__(self, number: int, manifest: Manifest, device: Device, options: DeviceOptions) -> None:
        super().__init__(number, manifest, device, options)
        self._samples += self._answers.samples(manifest, self._samples[0])
        self._said: dict[str, Any] = {}
        self._blocks: list[tuple[list[float], bool | None]] = []
        self._ops: tuple[Op, ...] = ()
        self._lines: Iterator[str] = iter(())

    @property
    def seconds(self) -> float:
        """How long the blocks that count took."""
        return sum(map(sum, self._counting())) / 1e6

    def _counting(self) -> list[list[float]]:
        return [block for block, undisturbed in self._blocks if undisturbed is not False]

    def start(self) -> None:
        """Put the files there, start the program, and listen until it waits for its turn."""
        assert self._target.engine is not None
        if self._device.python is None:
            raise DeviceError(f"device {self._device.name}: has no Python. Give the platform's own program: --runner.")
        ours = {"device", "team", "runner"}
        plan = {
            **{name: value for name, value in asdict(self._options).items() if name not in ours},
            "cores": self.cores,
            "engine": self._put(self._target.engine, "engine.py"),
            "model": self._put(self.manifest.model_path, self._target.model_file),
            "inputs": dict(self._put_inputs()),
            "samples": len(self._samples),
            "judged": sorted(self._samples[-1].reference),
            "outputs": f"{self._device.folder}/{self._prefix}",
        }
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "plan")
            path.write_text(json.dumps(plan), encoding="utf-8")
            command = [self._put(RUNNER, "runner.py"), self._put(path, "plan.json")]
        self._running = self._device.start([*self._device.python, *command])
        self._lines = self._running.lines()
        self._listen("warmup_runs")

    def turn(self) -> None:
        """Let it time one block."""
        assert self._running is not None
        self._running.go()
        self._listen("us")
        self._blocks.append((self._said.pop("us"), None))

    def judge(self, undisturbed: bool | None) -> None:
        """Keep whether others left the machine alone during the last block, None where it can't be told."""
        block, _ = self._blocks.pop()
        self._blocks.append((block, undisturbed))

    def finish(self) -> None:
        """End it in order, and fetch what it computed."""
        assert self._running is not None
        self._running.finish()
        self._listen("done")
        self._outputs = {spec.name: self._get(f"{spec.name}.bin") for spec in self.manifest.outputs}

    def trace(self) -> str | None:
        """Time its single operations, where its target can; return why they can't be, where it could."""
        tracer, threads = self._target.tracer, self._options.threads
        if tracer is None or self._device.python is None or not self._options.traced:
            return None
        try:
            program = self._put(tracer.program, "tracer.py")
            model = f"{self._device.folder}/{self._prefix}{self._target.model_file}"
            command = [program, model, str(threads or 0), str(self._options.traced)]
            lines = list(self._device.start(pinned([*self._device.python, *command], self.cores)).lines())
            said = parse_json(lines[-1]) if lines else None
            if not isinstance(said, dict):
                return "it printed no JSON object"
            if "why_not" in said:
                return str(said["why_not"])
            self._ops = tracer.read(said)
        except DeviceError as exc:
            return str(exc)
        except (LookupError, TypeError, ValueError) as exc:
            return f"what it printed isn't known ({one_line(exc)})"
        return None

    def _listen(self, until: str) -> None:
        for line in self._lines:
            self._said |= _read(line)
            if until in self._said:
                return
        raise DeviceError(f"device {self._device.name}: the program ended too early. Run it again.")

    def found(self) -> tuple[Result, bool | None]:
        """Return what it said so far, and whether others left it enough rounds."""
        said = self._said
        disturbed = any(undisturbed is False for _, undisturbed in self._blocks)
        told = bool(self._blocks) and all(undisturbed is not None for _, undisturbed in self._blocks)
        short = disturbed and len(self._counting()) < self._options.blocks
        # Where others left too few rounds alone, all count, and the result isn't valid.
        figures = latency([block for block, _ in self._blocks] if short else self._counting(), said.get("first_us"))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        result = Result(
            run=RunInfo("", "runner", "mobile-kit", __version__, now),
            model=ModelInfo(self.name),
            device=unknown_device(),
            config=Config(
                delegate=said.get("runtime"),
                threads=said.get("threads"),
                warmup_runs=said.get("warmup_runs"),
            ),
            latency=figures,
            load=Load(said.get("cold_us"), tuple(said.get("warm_us", ())), said.get("compile_us")),
            memory=Memory(said.get("peak_bytes"), said.get("init_bytes"), said.get("overall_bytes")),
            pipeline=self._pipeline(figures.p50),
            ops=self._ops,
            placement=replace(units(self._ops), partitions=said.get("partitions")),
        )
        return result, not short if told else None

    def _pipeline(self, inference_us: float | None) -> Pipeline:
        """Return an app's three steps. The first, resizing and cropping, is the kit's own: on this machine only."""
        enter_us, before_us = self._said.get("enter_us"), None
        if self._device.shares_our_cpu and enter_us is not None:
            before_us = enter_us + self._geometry_us()
        return Pipeline(before_us, inference_us, self._said.get("leave_us"))

    def _geometry_us(self) -> float:
        preprocess = self.manifest.preprocess
        photo = read_image(self.manifest.folder / PHOTO, preprocess.channels)
        times = []
        for _ in range(GEOMETRIES):
            start = time.perf_counter_ns()
            preprocess.entering(preprocess.geometry(photo), self.manifest.in_graph)
            times.append((time.perf_counter_ns() - start) / 1000)
        return statistics.median(times)


def _read(line: str) -> dict[str, Any]:
    """Return what a line of the runner's says, nothing for a runtime's own words.

    Raises: DeviceError for a value that is none, as a device may say anything.
    """
    try:
        said = parse_json(line)
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    for name, value in said.items():
        if name not in SAID or not SAID[name](value):
            raise DeviceError(f"the program there says {name} = {str(value)[:40]!r}, which can't be. Run it again.")
    return said


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_time_or_null(value: Any) -> bool:
    return value is None or _is_time(value)


def _is_amount(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _are_times(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_time, value))


# What `devices/runner.py` says.
SAID: dict[str, Callable[[Any], bool]] = {
    "runtime": lambda value: isinstance(value, str),
    "partitions": _is_amount,
    "cold_us": _is_time,
    "compile_us": _is_time_or_null,
    "first_us": _is_time,
    "leave_us": _is_time_or_null,
    "enter_us": _is_time_or_null,
    "threads": _is_amount,
    "us": lambda value: bool(value) and _are_times(value),
    "warm_us": _are_times,
    "warmup_runs": _is_amount,
    "init_bytes": _is_amount,
    "peak_bytes": _is_amount,
    "overall_bytes": _is_amount,
    "done": lambda value: value is True,
}
