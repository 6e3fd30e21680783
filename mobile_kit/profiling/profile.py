"""Time artifacts on a device: all of one run in turns, and in that run hold what they compute against the oracle."""

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.artifacts.manifest import Manifest, read_manifest, target_of, untimed
from mobile_kit.errors import DeviceError, UnsupportedError
from mobile_kit.measurements.result import Result, Thermal, write_results
from mobile_kit.profiling.binary_session import BinarySession, check_binary
from mobile_kit.profiling.devices import open_device
from mobile_kit.profiling.devices.device import Device, DeviceState
from mobile_kit.profiling.machine_load import QUIET_CORES, BusyMeter
from mobile_kit.profiling.options import DeviceOptions, ProfileOptions
from mobile_kit.profiling.runner_session import RunnerSession
from mobile_kit.profiling.session import BenchmarkSession
from mobile_kit.progress import Progress

__all__ = ["profile"]

# Of the rounds that are tried, one in so many must be undisturbed.
TRIES = 4
# As cool as it was, within a degree; and how often to look.
COOL_C, LOOK_S = 1.0, 5.0


def profile(folders: Sequence[Path], options: ProfileOptions, progress: Progress) -> list[Result]:
    """Time artifacts on a device, in turns, and leave `profile-DEVICE.json` in each.

    A run that breaks keeps what it has, as a result that isn't valid.
    Raises: ArtifactError; UnsupportedError for a file that nothing there can run; DeviceError where the device can't be
        reached.
    """
    manifests = [read_manifest(folder) for folder in folders]
    opened = open_device(options.device, options.team)
    _check(manifests, options, opened)
    with opened as device, ExitStack() as stack:
        asked = options.on(device)
        if asked.cores is not None and not device.pins:
            raise UnsupportedError(f"--cores: a program can't be kept on some on {device.name}. Leave it out.")
        info = device.describe()
        if asked.runner is not None:
            check_binary(asked.runner, info.abi)
        if asked.install:
            progress.stage("profile", "installing the runtime there")
            device.install(sorted({package for manifest in manifests for package in target_of(manifest).packages}))
        way = RunnerSession if asked.runner is None else BinarySession
        trials: list[BenchmarkSession] = [
            way(number, manifest, device, asked) for number, manifest in enumerate(manifests)
        ]
        for trial in trials:
            stack.callback(trial.stop)
        thermal = _measure(trials, device, asked, progress)
        identity = uuid4().hex
        results = [trial.result(identity, info, thermal) for trial in trials]
        for manifest, result in zip(manifests, results, strict=True):
            write_results([result], manifest.folder / profile_name(device.name))
    return results


def _check(manifests: Sequence[Manifest], options: ProfileOptions, device: Device) -> None:
    """Raise UnsupportedError where the device can't time an artifact, or not all of them in a run."""
    if device.one_at_a_time and len(manifests) > 1:
        raise UnsupportedError(f"device {options.device!r}: times one artifact a run. Give one.")
    for place, manifest in enumerate(manifests):
        _check_runs(manifest, options, device)
        if manifest.folder.resolve() in [other.folder.resolve() for other in manifests[:place]]:
            raise UnsupportedError(f"artifact {manifest.folder}: is given twice. Give it once, or a copy.")


def _check_runs(manifest: Manifest, options: ProfileOptions, device: Device) -> None:
    if options.runner is not None:
        if not device.starts_programs:
            raise UnsupportedError(f"runner {options.runner.name}: {device.name} starts none. Leave it out.")
        if target_of(manifest).binary is None:
            target = manifest.record.target
            raise UnsupportedError(f"runner {options.runner.name}: none is known for target {target!r}. Leave it out.")
        return
    reason = untimed(manifest, device.kind, device.untimed)
    if reason is not None:
        raise UnsupportedError(f"artifact {manifest.folder.name}: can't be timed here, as {reason}. Time it there.")


def _measure(trials: Sequence[BenchmarkSession], device: Device, options: DeviceOptions, progress: Progress) -> Thermal:
    """Start all, let them have their turns in random order, and end them; return how warm the device was."""
    before = device.state()
    if options.cooldown_s and before.hottest_c is None:
        raise UnsupportedError(f"--cool-down: {device.name} doesn't say how warm it is. Leave it out.")
    for trial in trials:
        progress.stage("profile", f"{trial.name}: loading, warming up")
        trial.attempt(trial.start)
    rounds = _turns(trials, before, device, options, progress)
    after = _state(device)
    for trial in trials:
        if trial.error is None:
            trial.attempt(trial.finish)
    for trial in (trial for trial in trials if trial.error is None):
        reason = trial.trace()
        if reason is not None:
            progress.note(f"{trial.name}: single operations aren't timed, as {reason}")
    progress.stage("profile", rounds, done=True)
    throttled = [state.throttled for state in (before, after) if state.throttled is not None]
    return Thermal(
        before.hottest_c, after.hottest_c, before.status, after.status, any(throttled) if throttled else None
    )


def _turns(
    trials: Sequence[BenchmarkSession], before: DeviceState, device: Device, options: DeviceOptions, progress: Progress
) -> str:
    shuffle = random.Random(0)  # noqa: S311  no secret
    counting = tries = 0
    start, cooled_s = time.monotonic(), 0.0
    while order := [trial for trial in trials if isinstance(trial, RunnerSession) and trial.error is None]:
        enough = counting >= options.blocks and min(trial.seconds for trial in order) >= options.min_s
        took_s = time.monotonic() - start - cooled_s
        if enough or tries >= TRIES * options.blocks or took_s > options.max_s * len(order):
            break
        if tries:
            cooled_s += _cool_down(device, before, options.cooldown_s)
        shuffle.shuffle(order)
        meter = BusyMeter([trial.pid for trial in order if trial.pid is not None])
        for trial in order:
            trial.attempt(trial.turn)
        others = meter.cores() if device.shares_our_cpu else None
        undisturbed = None if others is None else others < QUIET_CORES
        for trial in (trial for trial in order if trial.error is None):
            trial.judge(undisturbed)
        tries += 1
        counting += undisturbed is not False
        progress.stage("profile", f"round {tries}, {counting} count")
    return f"{counting} of {tries} rounds count"


def _cool_down(device: Device, before: DeviceState, most_s: float) -> float:
    """Wait until the device is as cool as it was, where it says how warm it is; return the seconds that took."""
    start = time.monotonic()
    while before.hottest_c is not None and time.monotonic() - start < most_s:
        now = _state(device).hottest_c
        if now is None or now <= before.hottest_c + COOL_C:
            break
        time.sleep(min(LOOK_S, most_s))
    return time.monotonic() - start


def _state(device: Device) -> DeviceState:
    """Return how warm it is, nothing where it can't be reached any more."""
    try:
        return device.state()
    except DeviceError:
        return DeviceState()
