"""What each recipe of a model costs and keeps on each target: size, latency, noise and accuracy beside one another."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mobile_kit.errors import ArtifactError
from mobile_kit.evaluate import SCORES
from mobile_kit.manifest import MANIFEST, read_manifest
from mobile_kit.plots import Point, plot_tradeoff
from mobile_kit.profiling import profile_name
from mobile_kit.results import Result, read_results

__all__ = ["Row", "report"]

BASE = "fp32"


@dataclass(frozen=True)
class Row:
    """One artifact. What hasn't been measured is null.

    model: the folder of its artifacts. size_ratio, latency_ratio: to the fp32 artifact of the same model and target;
    latencies are compared within one run only. sqnr_db: the least of the outputs that were judged, infinite where
    nothing is lost. difference: of the metric, to the checkpoint's, with its 95 % confidence interval. images: how many
    that was measured on. reasons: why the latency isn't valid.
    """

    model: str
    target: str
    recipe: str
    status: str
    bytes: int
    size_ratio: float | None
    median_ms: float | None
    latency_ratio: float | None
    sqnr_db: float | None
    images: int | None
    metric: str | None
    value: float | None
    difference: float | None
    interval: tuple[float, float] | None
    reasons: tuple[str, ...]
    run: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values, which have no word for infinite decibels: null."""
        return {**asdict(self), "sqnr_db": None if self.sqnr_db == math.inf else self.sqnr_db}


def report(folder: Path) -> tuple[list[Row], list[Path]]:
    """Read all artifacts below a folder and write report.json, report.md and a plot of each model with decibels there.

    Returns: the rows, and the files. Raises: ArtifactError where there is no artifact, or one can't be read.
    """
    found = sorted(path.parent for path in folder.rglob(MANIFEST) if _is_artifact_s(path.relative_to(folder)))
    if not found:
        raise ArtifactError(f"folder {folder}: holds no artifact. Give one that an export wrote to.")
    rows = _compared([_row(artifact, folder) for artifact in found])
    text = json.dumps([row.to_json() for row in rows], indent=1, sort_keys=True, allow_nan=False) + "\n"
    try:
        (folder / "report.json").write_text(text, encoding="utf-8")
        (folder / "report.md").write_text(to_markdown(rows), encoding="utf-8")
        drawn = dict.fromkeys(row.model for row in rows if row.sqnr_db is not None and row.status != "failed")
        plots = [_plot(rows, model, folder) for model in drawn]
    except OSError as exc:
        raise ArtifactError(
            f"folder {folder}: the report can't be written ({exc.strerror}). Copy the artifacts to a folder of yours."
        ) from exc
    return rows, [folder / "report.json", folder / "report.md", *plots]


def _plot(rows: Sequence[Row], model: str, folder: Path) -> Path:
    path = folder / f"report-{model.replace('/', '-')}.png"
    own = [row for row in rows if row.model == model and row.status != "failed" and row.sqnr_db is not None]
    plot_tradeoff([_point(row) for row in own], model, path)
    return path


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table a model."""
    lines = []
    for model in dict.fromkeys(row.model for row in rows):
        lines += [f"### {model}", "", "| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
        own = [row for row in rows if row.model == model]
        lines += ["| " + " | ".join(cells(row)) + " |" for row in own]
        lines += [f"- {row.target}, {row.recipe}: not valid, {', '.join(row.reasons)}" for row in own if row.reasons]
        lines.append("")
    return "\n".join(lines)


HEADER = (
    "target",
    "recipe",
    "verified",
    "MB",
    "of fp32",
    "ms",
    "of fp32",
    "SQNR dB",
    "accuracy",
    "images",
    "difference",
)


def cells(row: Row) -> tuple[str, ...]:
    """Return what a table shows of a row."""
    points = ""
    if row.difference is not None and row.interval is not None:
        low, high = row.interval
        points = f"{100 * row.difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
    return (
        row.target,
        row.recipe,
        row.status,
        f"{row.bytes / 1e6:.2f}",
        _number(row.size_ratio, ".3f"),
        _number(row.median_ms, ".2f") + (" not valid" if row.reasons else ""),
        _number(row.latency_ratio, ".3f"),
        _number(row.sqnr_db, ".1f"),
        _number(row.value, ".2%"),
        _number(row.images, "d"),
        points,
    )


def _row(folder: Path, root: Path) -> Row:
    manifest = read_manifest(folder)
    verified = _json(folder / "verify.json", {"status", "outputs"})
    profile = _profile(folder)
    score = _json(folder / SCORES, {"images", "metric", "value", "difference", "interval"})
    backend = manifest.data["backend"]
    outputs = verified["outputs"] if verified else []
    judged = [out["sqnr_db"] for out in outputs if out["bound"] != "not judged" and out["max_error"] is not None]
    return Row(
        # Two folders may have a model of one name.
        model=root.resolve().name if folder.parent == root else folder.parent.relative_to(root).as_posix(),
        target=f"{manifest.data['target']}-{backend}" if backend else manifest.data["target"],
        recipe=manifest.data["recipe"]["name"],
        status=verified["status"] if verified else "not run",
        bytes=manifest.model_bytes,
        size_ratio=None,
        median_ms=profile.latency.p50 / 1e3 if profile and profile.latency.p50 is not None else None,
        latency_ratio=None,
        sqnr_db=min((value for value in judged if value is not None), default=math.inf) if judged else None,
        images=score["images"] if score else None,
        metric=score["metric"] if score else None,
        value=score["value"] if score else None,
        difference=score["difference"] if score else None,
        interval=tuple(score["interval"]) if score else None,
        reasons=profile.validity.reasons if profile else (),
        run=profile.run.id if profile else None,
    )


def _compared(rows: list[Row]) -> list[Row]:
    """Fill in what is measured against the fp32 artifact of the same model and target."""
    bases = {(row.model, row.target): row for row in rows if row.recipe == BASE and row.status != "failed"}
    found = []
    for row in rows:
        base = bases.get((row.model, row.target))
        if base is not None:
            row = replace(row, size_ratio=row.bytes / base.bytes)
            if row.median_ms and base.median_ms and row.run == base.run:
                row = replace(row, latency_ratio=row.median_ms / base.median_ms)
        found.append(row)
    return found


def _point(row: Row) -> Point:
    valid = row.latency_ratio if not row.reasons else None
    return Point(row.target, row.recipe, row.bytes / 1e6, valid, row.sqnr_db, row.difference)


def _profile(folder: Path) -> Result | None:
    path = folder / profile_name("host")
    return read_results(path)[0] if path.is_file() else None


def _json(path: Path, keys: set[str]) -> dict[str, Any] | None:
    """Return what is measured in a file, the first of several, null where there is none.

    Raises: ArtifactError where the file can't be read, or lacks some of the keys.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError) as exc:
        raise ArtifactError(f"file {path}: can't be read ({exc}). Make it again.") from exc
    first = content[0] if isinstance(content, list) and content else content
    if first is not None and not (isinstance(first, dict) and keys <= first.keys()):
        raise ArtifactError(f"file {path}: has other values than were written. Make it again.")
    return first


def _is_artifact_s(path: Path) -> bool:
    # A package of Core ML's has a Manifest.json, which is the same name on a Mac's disk.
    return not any(part.startswith(".") or part.endswith(".mlpackage") for part in path.parts)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
