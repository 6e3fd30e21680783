"""One measurement against another: whether what was measured in B is faster than what was measured in A."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobile_kit.artifacts.layout import PROFILES
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.errors import ArtifactError
from mobile_kit.measurements.comparison import Comparison, compare
from mobile_kit.measurements.result import Result, read_results
from mobile_kit.reporting.summary import device_label, find_artifacts, why_not_comparable

__all__ = ["RunComparison", "versus"]


@dataclass(frozen=True)
class RunComparison:
    """A result of A beside one of B, milliseconds.

    name: the artifact's in A, and B's behind it where that is another. comparison: of B's latency to A's. refused: why
    there is none; None where there is one.
    """

    name: str
    devices: tuple[str, str]
    medians_ms: tuple[float | None, float | None]
    comparison: Comparison | None
    refused: str | None

    @property
    def device(self) -> str:
        """The device, or the two."""
        return self.devices[0] if len(set(self.devices)) == 1 else " against ".join(reversed(self.devices))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class RunResult:
    """A result and where it is from. place: of the artifact below what was given, empty for that itself."""

    source: Path
    place: str
    result: Result

    @property
    def device(self) -> str:
        return device_label(self.result.device)


Key = Callable[[RunResult], tuple[Any, ...]]


def versus(ours: Path, theirs: Path) -> tuple[list[RunComparison], list[str]]:
    """Hold each result of B against that of A: of the same artifact on the same device, or the only ones there are.

    ours, theirs: A and B, artifacts, folders of some, or files of results. Returns: what was compared or refused, and
    which results have no counterpart.
    Raises: ArtifactError where there are no results, or which of several are meant can't be told.
    """
    sides = _entries(ours), _entries(theirs)
    if all(len(side) == 1 for side in sides):
        return [_against(sides[0][0], sides[1][0])], []
    first, second = _keyed(sides)
    alone = [entry for key, entry in first.items() if key not in second]
    alone += [entry for key, entry in second.items() if key not in first]
    pairs = [_against(entry, second[key]) for key, entry in first.items() if key in second]
    if not pairs:
        raise ArtifactError(
            f"results of {ours} and {theirs}: none are of the same artifact and device. Give two files of one result."
        )
    return pairs, [f"{entry.source}: {entry.device} has no counterpart" for entry in alone]


def _entries(path: Path) -> list[RunResult]:
    """Read all results that a path stands for. Raises: ArtifactError where there are none."""
    if path.is_dir():
        files = [
            (file, folder.relative_to(path).as_posix())
            for folder in find_artifacts(path)
            for file in sorted(read_manifest(folder).folder.glob(PROFILES))
        ]
        found = [RunResult(file, place, result) for file, place in files for result in read_results(file)]
    else:
        results = read_results(path)
        several = len({result.model.name for result in results}) > 1
        found = [RunResult(path, result.model.name if several else ".", result) for result in results]
    if not found:
        raise ArtifactError(f"results of {path}: there are none. Run mobile-kit profile on it first.")
    return found


def _keyed(sides: Sequence[Sequence[RunResult]]) -> Iterator[dict[tuple[Any, ...], RunResult]]:
    """Yield the results of each side by what a counterpart has in common: as little as tells them apart."""
    keys: tuple[Key, ...] = (
        lambda entry: (entry.place, entry.device),
        lambda entry: (entry.place, entry.device, entry.result.config.delegate, entry.result.config.threads),
    )
    for key in keys:
        counts = [Counter(map(key, side)) for side in sides]
        if all(count == 1 for each in counts for count in each.values()):
            return iter([{key(entry): entry for entry in side} for side in sides])
    many = next(entry for side, each in zip(sides, counts, strict=True) for entry in side if each[key(entry)] > 1)
    raise ArtifactError(
        f"results {many.source}: there are several of one file on {many.device}. Give the file of one of them."
    )


def _against(ours: RunResult, theirs: RunResult) -> RunComparison:
    names = dict.fromkeys(entry.result.model.name for entry in (theirs, ours))
    refused, found = _refusal(ours) or _refusal(theirs), None
    same = ours.device == theirs.device
    if refused is None:
        paired = same and ours.result.run.id == theirs.result.run.id
        found = compare(theirs.result.latency, ours.result.latency, paired)
        if found is None:
            refused = (
                f"results of {ours.source} and {theirs.source}: too few calls to compare. Profile with more --runs."
            )
    medians = [entry.result.latency.p50 for entry in (ours, theirs)]
    return RunComparison(
        name=" against ".join(names),
        devices=(ours.device, theirs.device),
        medians_ms=tuple(None if value is None else value / 1e3 for value in medians),  # type: ignore[arg-type]
        comparison=found,
        refused=refused,
    )


def _refusal(entry: RunResult) -> str | None:
    reason = why_not_comparable(entry.result)
    if reason is not None:
        return (
            f"result {entry.source} of {entry.device}: can't be compared, as {reason}. Profile it on a device itself."
        )
    if not any(entry.result.latency.samples):
        return (
            f"result {entry.source} of {entry.device}: can't be compared, as its source gives no single calls. "
            "Give one with samples."
        )
    return None
