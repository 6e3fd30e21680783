"""One file on one device: put there with what runs it, timed in turns, its answers fetched."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit import __version__
from mobile_kit.devices import Device, Running
from mobile_kit.errors import DeviceError
from mobile_kit.golden import read_answers, read_golden
from mobile_kit.images import read_image
from mobile_kit.judge import LEAST_RUNS, LEAST_S, MOST_S, distances, judged, model_info
from mobile_kit.latency import latency
from mobile_kit.manifest import Manifest
from mobile_kit.results import Config, DeviceInfo, Load, Memory, Op, Pipeline, Placement, Result, RunInfo, Thermal
from mobile_kit.target import Array, find_target

__all__ = ["ProfileOptions", "Trial"]

RUNNER = Path(__file__).with_name("devices") / "runner.py"
# Times that the app's own step is taken.
GEOMETRIES = 5


@dataclass(frozen=True)
class ProfileOptions:
    """How to time. Calls go on until there are `runs` of them and `min_s` seconds, and end after `max_s`.

    device: see `devices.open_device`. blocks: rounds, in each of which every file has its turn. cores: numbers of those
    to stay on. loads: warm ones. traced: runs of which single operations are timed. cooldown_s: how long to wait at
    most, after a round, until the device is as cool as it was; 0 not to.
    """

    device: str = "host"
    threads: int | None = 2
    cores: tuple[int, ...] | None = None
    warmup_runs: int = 1
    warmup_s: float = 0.5
    runs: int = LEAST_RUNS
    min_s: float = LEAST_S
    max_s: float = MOST_S
    blocks: int = 16
    loads: int = 3
    traced: int = 20
    cooldown_s: float = 0.0


class Trial:
    """One file on a device: its program there, and what that has said so far.

    error: what ended it early, null where nothing has.
    """

    def __init__(self, number: int, manifest: Manifest, device: Device, options: ProfileOptions) -> None:
        self.name = manifest.folder.resolve().name
        self.error: str | None = None
        self._manifest, self._device, self._options = manifest, device, options
        self._prefix = f"{number}-"
        golden, self._answers = read_golden(manifest), read_answers(manifest)
        self._samples = [golden, *self._answers.samples(manifest, golden)]
        self._said: dict[str, Any] = {}
        self._blocks: list[tuple[list[float], bool]] = []
        self._outputs: dict[str, bytes] = {}
        self._ops: tuple[Op, ...] = ()
        self._running: Running | None = None
        self._lines: Iterator[str] = iter(())

    @property
    def pid(self) -> int | None:
        """The number of its process on this machine, null where it has none."""
        return None if self._running is None else self._running.pid

    @property
    def seconds(self) -> float:
        """How long the blocks that count took."""
        return sum(sum(block) for block, counts in self._blocks if counts) / 1e6

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step; where the device fails at it, keep why, and end."""
        try:
            step()
        except DeviceError as exc:
            self.error = self.error or str(exc)
            self.stop()

    def start(self) -> None:
        """Put the files there, start the program, and listen until it waits for its turn."""
        target = find_target(self._manifest.data["target"])
        assert target.engine is not None
        if self._device.python is None:
            raise DeviceError(f"device {self._device.name}: has no Python. Give the platform's own with --runner.")
        with tempfile.TemporaryDirectory() as scratch:
            plan = {
                **asdict(self._options),
                "engine": self._put(target.engine, "engine.py"),
                "model": self._put(self._manifest.model_path, target.model_file),
                "inputs": dict(self._inputs(Path(scratch, "values"))),
                "samples": len(self._samples),
                "judged": sorted(self._samples[-1].reference),
                "outputs": f"{self._device.folder}/{self._prefix}",
            }
            Path(scratch, "plan").write_text(json.dumps(plan), encoding="utf-8")
            command = [self._put(RUNNER, "runner.py"), self._put(Path(scratch, "plan"), "plan.json")]
        self._running = self._device.start([*self._device.python, *command])
        self._lines = self._running.lines()
        self._listen("warmup_runs")

    def _put(self, path: Path, name: str) -> str:
        return self._device.put(path, self._prefix + name)

    def _inputs(self, path: Path) -> Iterator[tuple[str, str]]:
        for number, spec in enumerate(self._manifest.inputs):
            path.write_bytes(b"".join(_raw(sample.inputs[spec.name]) for sample in self._samples))
            yield spec.name, self._put(path, f"input-{number}.bin")

    def turn(self) -> None:
        """Let it time one block."""
        assert self._running is not None
        self._running.go()
        self._listen("us")
        self._blocks.append((self._said.pop("us"), True))

    def discount(self) -> None:
        """Don't count the last block, as others disturbed it."""
        block, _ = self._blocks.pop()
        self._blocks.append((block, False))

    def finish(self) -> None:
        """End it in order, and fetch what it computed."""
        assert self._running is not None
        self._running.finish()
        self._listen("done")
        with tempfile.TemporaryDirectory() as scratch:
            for number, spec in enumerate(self._manifest.outputs):
                path = Path(scratch, str(number))
                self._device.get(f"{self._prefix}{spec.name}.bin", path)
                self._outputs[spec.name] = path.read_bytes()

    def trace(self) -> str | None:
        """Time its single operations, where its target can; return why they can't be, where it could."""
        tracer, threads = find_target(self._manifest.data["target"]).tracer, self._options.threads
        if tracer is None or self._device.python is None or not self._options.traced:
            return None
        program = self._put(tracer.program, "tracer.py")
        model = f"{self._device.folder}/{self._prefix}{self._manifest.data['model_file']}"
        command = [*self._device.python, program, model, str(threads or 1), str(self._options.traced)]
        try:
            said = json.loads([*self._device.start(command).lines(), ""][-2])
            self._ops = () if "why_not" in said else tracer.read(said)
        except (DeviceError, IndexError, KeyError, TypeError, ValueError) as exc:
            return str(exc)
        reason = said.get("why_not")
        return None if reason is None else str(reason)

    def stop(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.stop()

    def _listen(self, until: str) -> None:
        for line in self._lines:
            try:
                self._said |= json.loads(line)
            except (ValueError, TypeError):
                continue  # a runtime's own words
            if until in self._said:
                return
        raise DeviceError(f"device {self._device.name}: the program ended too early. Run it again.")

    def result(self, identity: str, device: DeviceInfo, thermal: Thermal) -> Result:
        """Return what is known. identity: of the run, the same for all files that were timed in turns."""
        said, options = self._said, self._options
        counting = [block for block, counts in self._blocks if counts]
        enough = len(counting) >= options.blocks
        # Where too few rounds were undisturbed all count, and the result isn't valid.
        figures = latency(counting if enough else [block for block, _ in self._blocks], said.get("first_us"))
        result = Result(
            run=RunInfo(identity, "runner", "mobile-kit", __version__, datetime.now(UTC).isoformat(timespec="seconds")),
            model=model_info(self._manifest),
            device=device,
            config=Config(
                delegate=said.get("runtime"),
                threads=options.threads,
                cores=options.cores,
                warmup_runs=said.get("warmup_runs"),
                warmup_s=options.warmup_s,
                runs=options.runs,
                min_s=options.min_s,
                max_s=options.max_s,
                cooldown_s=options.cooldown_s or None,
                input="golden",
            ),
            thermal=thermal,
            latency=figures,
            load=Load(said.get("cold_us"), tuple(said.get("warm_us", ()))),
            memory=Memory(said.get("peak_bytes"), said.get("init_bytes"), said.get("overall_bytes")),
            pipeline=self._pipeline(figures.p50),
            ops=self._ops,
            placement=Placement(total=self._total(), partitions=said.get("partitions")),
            parity=self._distances(),
            env=dict(self._manifest.data["tools"]),
        )
        undisturbed = enough if self._device.kind == "host" and self._blocks else None
        return judged(result, self.error, undisturbed, self._manifest.data["graph"]["partitions"])

    def _distances(self) -> tuple[Any, ...]:
        found: list[Any] = []

        def measure() -> None:
            found.extend(distances(self._manifest, self._answers, self._samples, self._outputs))

        if self._outputs:
            self.attempt(measure)
        return tuple(found)

    def _total(self) -> int:
        return sum(self._manifest.data["graph"]["ops"].values())

    def _pipeline(self, inference_us: float | None) -> Pipeline:
        """Return an app's three steps. The first, resizing and cropping, is the kit's own: on this machine only."""
        enter_us, before_us = self._said.get("enter_us"), None
        if self._device.kind == "host" and enter_us is not None:
            before_us = enter_us + self._geometry_us()
        return Pipeline(before_us, inference_us, self._said.get("leave_us"))

    def _geometry_us(self) -> float:
        preprocess = self._manifest.preprocess
        photo = read_image(self._manifest.folder / "golden/photo.png", preprocess.channels)
        times = []
        for _ in range(GEOMETRIES):
            start = time.perf_counter_ns()
            preprocess.entering(preprocess.geometry(photo), self._manifest.in_graph)
            times.append((time.perf_counter_ns() - start) / 1000)
        return statistics.median(times)


def _raw(values: Array) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
