"""All artifacts below some folders, what was measured of each, and how far its recipe is from fp32's latency."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from mobile_kit.artifacts.layout import MANIFEST, PROFILES
from mobile_kit.artifacts.manifest import Manifest, read_manifest, untimed
from mobile_kit.artifacts.scores import read_scores
from mobile_kit.artifacts.verification import Status, read_report
from mobile_kit.errors import ArtifactError, UnsupportedError, plain
from mobile_kit.measurements.comparison import Comparison, compare
from mobile_kit.measurements.result import DeviceInfo, Result, read_results

__all__ = [
    "BASE",
    "ArtifactResult",
    "Row",
    "Summary",
    "device_label",
    "find_artifacts",
    "grouped",
    "summarize",
    "why_not_comparable",
]

BASE = "fp32"
T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True)
class Row:
    """One artifact. What hasn't been measured is None.

    folder: below the one that was asked for. model: the folder of its artifacts. size_ratio: to the fp32 artifact of
    the same model and target. sqnr_db: the least of the outputs that were judged, infinite where nothing is lost.
    max_error: the largest of them, in standard deviations. difference: of the metric, to the checkpoint's, with its
    95 % confidence interval. images: how many that was measured on. untimed: why there is no latency, if it is known.
    """

    folder: str
    model: str
    target: str
    recipe: str
    status: Status
    bytes: int
    size_ratio: float | None
    sqnr_db: float | None
    max_error: float | None
    images: int | None
    metric: str | None
    value: float | None
    difference: float | None
    interval: tuple[float, float] | None
    untimed: str | None

    @property
    def name(self) -> str:
        """What the artifact is called."""
        return self.folder.rpartition("/")[2]


@dataclass(frozen=True)
class ArtifactResult:
    """A result of an artifact. base: fp32's in the same run, and ratio: to its latency; None where there is none."""

    row: Row
    file: str
    result: Result
    base: Row | None = None
    ratio: Comparison | None = None

    @property
    def device(self) -> str:
        """What the device is called."""
        return device_label(self.result.device)


@dataclass(frozen=True)
class Summary:
    """What was found, by model, target and recipe."""

    rows: tuple[Row, ...]
    measured: tuple[ArtifactResult, ...]

    def lines(self) -> Iterator[tuple[Row, ArtifactResult | None]]:
        """Yield each artifact with each of its results, and once with None where it has none."""
        results = grouped(self.measured, lambda each: each.row.folder)
        for row in self.rows:
            yield from ((row, each) for each in results.get(row.folder, ()))
            if row.folder not in results:
                yield row, None


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return items by what they share, in the order in which that comes."""
    found: dict[K, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def device_label(device: DeviceInfo) -> str:
    """Return what a device is called: by its model, and by its name, as there may be two of one model."""
    return plain(device.name if device.model is None else f"{device.model} ({device.name})")


def why_not_comparable(result: Result) -> str | None:
    """Return why a result's latency is compared with none, None where it can be."""
    if result.device.emulated:
        return "its device is emulated, whose time says nothing of a device's"
    if not result.validity.valid:
        return f"it isn't valid: {', '.join(result.validity.reasons) or 'a check says no'}"
    return None


def summarize(folders: Sequence[Path]) -> Summary:
    """Read all artifacts below some folders.

    Raises: ArtifactError where a folder holds no artifact, or one can't be read.
    """
    found = {path.resolve(): path for folder in folders for path in find_artifacts(folder)}
    # A model is a folder of artifacts, so what its name is taken from is above that.
    roots = [path.resolve().parent if (path / MANIFEST).is_file() else path.resolve() for path in folders]
    root = Path(os.path.commonpath(roots))
    rows, measured = [], []
    for resolved, path in sorted(found.items()):
        manifest = read_manifest(path)
        results = [(file.name, each) for file in sorted(path.glob(PROFILES)) for each in read_results(file)]
        row = _row(manifest, resolved, root, timed=bool(results))
        rows.append(row)
        measured += [ArtifactResult(row, name, each) for name, each in results]
    sized = {row.folder: row for row in _sized(rows)}
    return Summary(tuple(sized.values()), tuple(_compared([replace(m, row=sized[m.row.folder]) for m in measured])))


def find_artifacts(folder: Path) -> list[Path]:
    """Return the artifacts below a folder, or it itself where it is one. Raises: ArtifactError where there is none."""
    found = sorted(path.parent for path in folder.rglob(MANIFEST) if _is_artifact_s(path.relative_to(folder)))
    if not found:
        raise ArtifactError(f"folder {folder}: holds no artifact. Give one that an export wrote to.")
    return found


def _is_artifact_s(path: Path) -> bool:
    # A package of Core ML's has a Manifest.json, which is the same name on a Mac's disk.
    return not any(part.startswith(".") or part.endswith(".mlpackage") for part in path.parts)


def _row(manifest: Manifest, resolved: Path, root: Path, timed: bool) -> Row:
    verified = read_report(manifest)
    score = next(iter(read_scores(manifest.folder)), None)
    target, backend = manifest.record.target, manifest.record.backend
    return Row(
        folder=resolved.relative_to(root).as_posix(),
        # Two folders may have a model of one name.
        model=root.name if resolved.parent == root else resolved.parent.relative_to(root).as_posix(),
        target=f"{target}-{backend}" if backend else target,
        recipe=manifest.record.recipe.name,
        status=verified.status if verified else "not run",
        bytes=manifest.model_bytes,
        size_ratio=None,
        sqnr_db=verified.sqnr_db if verified else None,
        max_error=verified.max_error if verified else None,
        images=score.images if score else None,
        metric=score.metric if score else None,
        value=score.value if score else None,
        difference=score.difference if score else None,
        interval=score.interval if score else None,
        untimed=None if timed else _untimed(manifest),
    )


def _untimed(manifest: Manifest) -> str | None:
    try:
        return untimed(manifest)
    except UnsupportedError:
        return None  # a target that isn't installed here


def _sized(rows: Sequence[Row]) -> Iterator[Row]:
    bases = {(row.model, row.target): row for row in rows if row.recipe == BASE and row.status != "failed"}
    for row in rows:
        base = bases.get((row.model, row.target))
        yield replace(row, size_ratio=row.bytes / base.bytes) if base is not None and base.bytes else row


def _compared(measured: Sequence[ArtifactResult]) -> Iterator[ArtifactResult]:
    """Yield each result with its ratio to fp32's of the same model, target, device and run.

    What is measured another day is measured on another machine: only those of a run, in turns, are held together here.
    """
    bases = {
        _circumstances(each): each
        for each in reversed(measured)
        if each.row.recipe == BASE and each.row.status != "failed" and why_not_comparable(each.result) is None
    }
    for each in measured:
        base = bases.get(_circumstances(each))
        if base is None or why_not_comparable(each.result) is not None:
            yield each
        else:
            ratio = compare(each.result.latency, base.result.latency, paired=True)
            yield replace(each, base=base.row, ratio=ratio)


def _circumstances(each: ArtifactResult) -> tuple[Any, ...]:
    result = each.result
    return each.row.model, each.row.target, result.run.id, each.device, result.config.delegate, result.config.threads
