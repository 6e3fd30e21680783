"""Time artifacts on a device: all of one run in turns, and in that run hold what they compute against the oracle."""

import hashlib
import json
import math
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from mobile_kit import __version__
from mobile_kit.devices import Device, Running, open_device
from mobile_kit.devices.state import DeviceState
from mobile_kit.errors import ArtifactError, DeviceError, UnsupportedError
from mobile_kit.golden import Sample, read_answers, read_golden
from mobile_kit.latency import latency
from mobile_kit.manifest import Manifest, read_manifest
from mobile_kit.progress import Progress
from mobile_kit.results import (
    Config,
    DeviceInfo,
    Load,
    Memory,
    ModelInfo,
    OutputDistance,
    Placement,
    Result,
    RunInfo,
    Thermal,
    Validity,
    write_results,
)
from mobile_kit.target import Array, find_target
from mobile_kit.timing import QUIET_CORES, BusyMeter
from mobile_kit.verify import parity

__all__ = ["ProfileOptions", "profile", "profile_name"]

RUNNER = Path(__file__).with_name("devices") / "runner.py"
# Of the rounds that are tried, so many may be disturbed.
TRIES = 4


@dataclass(frozen=True)
class ProfileOptions:
    """How to time. Calls go on until there are `runs` of them and `min_s` seconds, and end after `max_s`.

    device: see `devices.open_device`. blocks: rounds, in each of which every file has its turn. cores: numbers of those
    to stay on. loads: warm ones.
    """

    device: str = "host"
    threads: int | None = 2
    cores: tuple[int, ...] | None = None
    warmup_runs: int = 5
    warmup_s: float = 0.5
    runs: int = 50
    min_s: float = 1.0
    max_s: float = 150.0
    blocks: int = 16
    loads: int = 3


def profile(folders: Sequence[Path], options: ProfileOptions, progress: Progress) -> list[Result]:
    """Time artifacts on a device, in turns, and leave `profile-DEVICE.json` in each.

    A run that breaks keeps what it has, as a result that isn't valid.
    Raises: ArtifactError; UnsupportedError for a file that nothing there can run; DeviceError where the device can't be
        reached.
    """
    manifests = [read_manifest(folder) for folder in folders]
    for manifest in manifests:
        _check(manifest)
    with open_device(options.device) as device, ExitStack() as stack:
        info = device.describe()
        runs = [_Run(number, manifest, device, options) for number, manifest in enumerate(manifests)]
        for run in runs:
            stack.callback(run.stop)
        _measure(runs, device, options, progress)
        identity = uuid4().hex
        results = [run.result(identity, info) for run in runs]
    for manifest, result in zip(manifests, results, strict=True):
        write_results([result], manifest.folder / profile_name(options.device))
    return results


def profile_name(device: str) -> str:
    """Return what the file of a device's results is called."""
    safe = "".join(char if char.isalnum() or char in "._-" else "-" for char in device)
    return f"profile-{safe}.json"


def _check(manifest: Manifest) -> None:
    target = find_target(manifest.data["target"])
    reason = target.needs_device(manifest.data["backend"])
    if target.engine is None:
        reason = "only a Mac or a phone runs it, and an interpreter's speed says nothing of theirs"
    if reason is not None:
        raise UnsupportedError(f"artifact {manifest.folder.name}: can't be timed here, as {reason}. Time it there.")


def _measure(runs: Sequence["_Run"], device: Device, options: ProfileOptions, progress: Progress) -> None:
    """Start all, let them have their turns in random order, and end them."""
    for run in runs:
        progress.stage("profile", f"{run.name}: loading, warming up")
        run.attempt(run.start)
    order = [run for run in runs if run.error is None]
    shuffle = random.Random(0)  # noqa: S311  no secret
    pids = [pid for run in order if (pid := getattr(run.running, "pid", None)) is not None]
    quiet = tries = 0
    seconds = 0.0
    while order and tries < TRIES * options.blocks and not (quiet >= options.blocks and seconds >= options.min_s):
        shuffle.shuffle(order)
        meter = BusyMeter(pids)
        for run in order:
            run.attempt(run.turn)
        others = meter.cores() if device.kind == "host" else None
        tries += 1
        undisturbed = others is None or others < QUIET_CORES
        quiet += undisturbed
        for run in order:
            run.count(undisturbed)
        order = [run for run in order if run.error is None]
        seconds = min((sum(map(sum, run.blocks)) / 1e6 for run in order), default=math.inf)
        progress.stage("profile", f"round {tries}, {quiet} undisturbed")
        if seconds > options.max_s:
            break
    for run in runs:
        if run.error is None:
            run.attempt(run.finish)
    progress.stage("profile", f"{quiet} of {tries} rounds count", done=True)


@dataclass
class _Run:
    """One file on the device: its program there, and what that has said so far."""

    number: int
    manifest: Manifest
    device: Device
    options: ProfileOptions
    said: dict[str, Any] = field(default_factory=dict)
    blocks: list[list[float]] = field(default_factory=list)
    quiet: list[bool] = field(default_factory=list)
    outputs: dict[str, bytes] = field(default_factory=dict)
    error: str | None = None
    running: Running | None = None
    before: DeviceState = field(default_factory=DeviceState)
    after: DeviceState = field(default_factory=DeviceState)

    def __post_init__(self) -> None:
        self.name = self.manifest.folder.resolve().name
        golden, self._answers = read_golden(self.manifest), read_answers(self.manifest)
        self._samples = [golden, *self._answers.samples(self.manifest, golden)]

    def attempt(self, step: Any) -> None:
        """Take a step; where the device fails at it, keep why."""
        try:
            step()
        except DeviceError as exc:
            self.error = str(exc)
            self.stop()

    def start(self) -> None:
        """Put the files there, start the program, and listen until it waits for its turn."""
        self.before = self.device.state()
        target = find_target(self.manifest.data["target"])
        assert target.engine is not None
        if self.device.python is None:
            raise DeviceError(f"device {self.device.name}: has no Python. Install one, or give --runner.")
        prefix = f"{self.number}-"
        with tempfile.TemporaryDirectory() as scratch:
            inputs = {}
            for index, record in enumerate(self.manifest.inputs):
                path = Path(scratch, "values")
                path.write_bytes(b"".join(_raw(sample.inputs[record.name]) for sample in self._samples))
                inputs[record.name] = self.device.put(path, f"{prefix}input-{index}.bin")
            plan = {
                "engine": self.device.put(target.engine, f"{prefix}engine.py"),
                "model": self.device.put(self.manifest.model_path, f"{prefix}{target.model_file}"),
                "inputs": inputs,
                "samples": len(self._samples),
                "judged": sorted(self._samples[-1].reference),
                "outputs": f"{self.device.folder()}/{prefix}",
                "wait": True,
                **{name: value for name, value in asdict(self.options).items() if name != "device"},
            }
            Path(scratch, "plan").write_text(json.dumps(plan), encoding="utf-8")
            place = self.device.put(Path(scratch, "plan"), f"{prefix}plan.json")
            runner = self.device.put(RUNNER, f"{prefix}runner.py")
        self.running = self.device.start([*self.device.python, "-I", runner, place])
        self._said_lines = self.running.lines()
        self._listen("warmup_runs")

    def turn(self) -> None:
        """Let it time one block."""
        assert self.running is not None
        self.running.go()
        self._listen("us")
        self.blocks.append(self.said.pop("us"))

    def count(self, undisturbed: bool) -> None:
        """Keep whether the last block was undisturbed."""
        if len(self.blocks) > len(self.quiet):
            self.quiet.append(undisturbed)

    def finish(self) -> None:
        """End it in order, and fetch what it computed."""
        assert self.running is not None
        self.running.finish()
        self._listen("done")
        with tempfile.TemporaryDirectory() as scratch:
            for index, spec in enumerate(self.manifest.outputs):
                path = Path(scratch, str(index))
                self.device.get(f"{self.number}-{spec.name}.bin", path)
                self.outputs[spec.name] = path.read_bytes()
        self.after = self.device.state()

    def stop(self) -> None:
        """End it."""
        if self.running is not None:
            self.running.stop()

    def _listen(self, until: str) -> None:
        for line in self._said_lines:
            try:
                self.said |= json.loads(line)
            except (ValueError, TypeError):
                continue  # a runtime's own words
            if until in self.said:
                return
        raise DeviceError(f"device {self.device.name}: the program ended too early. Run it again.")

    def result(self, identity: str, device: DeviceInfo) -> Result:
        """Return what is known."""
        enough = sum(self.quiet) >= self.options.blocks
        # Where too few rounds were undisturbed all count, and the result isn't valid.
        blocks = [block for block, quiet in zip(self.blocks, self.quiet, strict=False) if quiet or not enough]
        figures = latency(blocks, self.said.get("first_us"))
        distances = tuple(self._distances()) if self.outputs else ()
        said = self.said
        data = self.manifest.data
        thermal = Thermal(
            self.before.hottest_c, self.after.hottest_c, self.before.status, self.after.status, self.after.throttled
        )
        result = Result(
            run=RunInfo(identity, "runner", "mobile-kit", __version__, datetime.now(UTC).isoformat(timespec="seconds")),
            model=_model_info(self.manifest),
            device=device,
            config=Config(
                delegate=said.get("runtime"),
                threads=self.options.threads,
                cores=self.options.cores,
                warmup_runs=said.get("warmup_runs"),
                warmup_s=self.options.warmup_s,
                runs=self.options.runs,
                min_s=self.options.min_s,
                max_s=self.options.max_s,
                input="golden",
            ),
            thermal=thermal,
            latency=figures,
            load=Load(said.get("cold_us"), tuple(said.get("warm_us", ()))),
            memory=Memory(said.get("peak_bytes"), said.get("init_bytes"), said.get("overall_bytes")),
            placement=Placement(total=sum(data["graph"]["ops"].values()), partitions=data["graph"]["partitions"]),
            parity=distances,
            env=dict(data["tools"]),
        )
        return _judged(result, self.error, enough, self.options)

    def _distances(self) -> Iterator[OutputDistance]:
        results = list(_results(self.manifest, self._samples, self.outputs))
        for out in parity(self.manifest, self._answers, self._samples, results):
            finite = [None if v is None or not math.isfinite(v) else v for v in (out.max_error, out.sqnr_db)]
            yield OutputDistance(out.name, finite[0], finite[1], out.top1, out.pixel_agreement, out.bound, out.passed)


def _results(manifest: Manifest, samples: Sequence[Sample], outputs: Mapping[str, bytes]) -> Iterator[dict[str, Array]]:
    """Yield the outputs of each sample; those of large outputs are the first's alone."""
    values = {}
    for spec in manifest.outputs:
        array = np.frombuffer(outputs[spec.name], np.dtype(spec.dtype).newbyteorder("<"))
        size = math.prod(spec.shape)
        if len(array) % size or not len(array):
            raise ArtifactError(f"output {spec.name!r}: came back with {len(array)} values, not {size}. Run it again.")
        values[spec.name] = array.astype(spec.dtype).reshape(-1, *spec.shape)
    for number, sample in enumerate(samples):
        yield {name: values[name][number] for name in sample.reference}


def _judged(result: Result, error: str | None, quiet: bool, options: ProfileOptions) -> Result:
    """Add to a result whether it can be trusted."""
    count = result.latency.count or 0
    seconds = sum(map(sum, result.latency.samples)) / 1e6
    held = all(out.passed for out in result.parity) if result.parity else None
    flags = {
        "completed": error is None,
        "enough_runs": count >= options.runs,
        "long_enough": seconds >= options.min_s or seconds >= options.max_s,
        "parity_held": held,
        "not_throttled": None if result.thermal.throttled is None else not result.thermal.throttled,
        "one_delegate": None if result.placement.partitions is None else result.placement.partitions <= 1,
        "undisturbed": quiet,
    }
    words = {
        "completed": error or "",
        "enough_runs": f"{count} calls, and {options.runs} were asked for",
        "long_enough": f"{seconds:.2f} s, and {options.min_s} s were asked for",
        "parity_held": "what it computed there isn't what the checkpoint computes",
        "not_throttled": "the device held its clock back",
        "undisturbed": f"other processes used more than {QUIET_CORES:.0%} of a core in too many rounds",
    }
    reasons = tuple(words[name] for name, value in flags.items() if value is False and name in words)
    return replace(result, validity=Validity(**flags, reasons=reasons))


def _model_info(manifest: Manifest) -> ModelInfo:
    data = manifest.data
    hashes = [record["sha256"] for name, record in sorted(data["files"].items()) if name.startswith(data["model_file"])]
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return ModelInfo(
        name=manifest.folder.resolve().name,
        family=data["model"]["family"],
        head=data["model"]["head"],
        source=data["model"]["source"],
        target=data["target"],
        backend=data["backend"],
        recipe=data["recipe"]["name"],
        sha256=digest,
        size_bytes=manifest.model_bytes,
    )


def _raw(values: Array) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
