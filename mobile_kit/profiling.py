"""Latency of artifacts on this machine, all of one run: only those can be compared."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from mobile_kit.errors import UnsupportedError, unwritable
from mobile_kit.golden import read_golden
from mobile_kit.manifest import Manifest, open_runtime, read_manifest
from mobile_kit.progress import Progress
from mobile_kit.timing import QUIET_CORES, Plan, Timing, interleave

__all__ = ["PROFILE", "Profile", "profile"]

PROFILE = "profile-host.json"
# Of the rounds that are tried, so many may be disturbed.
TRIES = 4


@dataclass(frozen=True)
class Profile:
    """What was measured of one artifact.

    run: the same for all that were measured together. calls_ms: every call that counts. reasons: why the figures aren't
    valid, empty where they are.
    """

    artifact: str
    device: str
    runtime: str
    run: str
    rounds: int
    median_ms: float
    min_ms: float
    calls_ms: tuple[float, ...]
    reasons: tuple[str, ...]


def profile(folders: Sequence[Path], rounds: int, progress: Progress) -> list[Profile]:
    """Time artifacts against one another on their golden photos, and leave `profile-host.json` in each.

    rounds: in each of which every artifact runs a few times, in random order; those count that no other process
    disturbed.
    Raises: ArtifactError; UnsupportedError for a file whose own runtime this machine lacks.
    """
    manifests = [read_manifest(folder) for folder in folders]
    names = [manifest.folder.resolve() for manifest in manifests]
    runtimes = {name: open_runtime(manifest) for name, manifest in zip(names, manifests, strict=True)}
    for name, runtime in runtimes.items():
        if not runtime.native:
            raise UnsupportedError(
                f"artifact {name.name}: {runtime.name} runs it here, whose speed says nothing of the platform's. "
                "Profile it where that is."
            )
    calls: dict[str, Callable[[], object]] = {}
    for name, manifest in zip(names, manifests, strict=True):
        calls[str(name)] = _call(manifest, runtimes[name].run)
    progress.stage("profile", f"{len(calls)} files, {rounds} rounds")
    timing = interleave(calls, Plan(rounds=rounds, tries=TRIES * rounds))
    progress.stage("profile", f"{timing.rounds} of {timing.tries} rounds count", done=True)
    run = uuid4().hex
    found = [_profile(name, runtimes[name].name, run, timing) for name in names]
    for name, result in zip(names, found, strict=True):
        _write(name, result)
    return found


def _call(manifest: Manifest, run: Callable[..., object]) -> Callable[[], object]:
    inputs = read_golden(manifest).inputs
    return lambda: run(inputs)


def _profile(folder: Path, runtime: str, run: str, timing: Timing) -> Profile:
    calls = timing.calls_ms[str(folder)]
    busy = f"other processes used more than {QUIET_CORES:.0%} of a core in too many rounds"
    return Profile(
        artifact=folder.name,
        device="host",
        runtime=runtime,
        run=run,
        rounds=timing.rounds,
        median_ms=statistics.median(calls),
        min_ms=min(calls),
        calls_ms=tuple(round(ms, 4) for ms in calls),
        reasons=() if timing.quiet else (busy,),
    )


def _write(folder: Path, result: Profile) -> None:
    try:
        (folder / PROFILE).write_text(json.dumps(asdict(result), sort_keys=True) + "\n", encoding="utf-8")
    except OSError as exc:
        raise unwritable(folder / PROFILE, exc) from exc
