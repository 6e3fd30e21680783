"""What each recipe of a model costs and keeps on each target: size, latency, noise and accuracy beside one another."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mobile_kit.errors import ArtifactError
from mobile_kit.evaluate import SCORES
from mobile_kit.manifest import MANIFEST, read_manifest
from mobile_kit.plots import Point, plot_tradeoff
from mobile_kit.profiling import PROFILE

__all__ = ["Row", "report"]

BASE = "fp32"


@dataclass(frozen=True)
class Row:
    """One artifact. What hasn't been measured is null.

    size_ratio, latency_ratio: to the fp32 artifact of the same model and target; latencies are compared within one run
    only. sqnr_db: the least of the outputs that were judged, null where nothing is lost either. difference: of the
    metric, to the checkpoint's, with its 95 % confidence interval. reasons: why the latency isn't valid.
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
    metric: str | None
    value: float | None
    difference: float | None
    interval: tuple[float, float] | None
    reasons: tuple[str, ...]
    run: str | None


def report(folder: Path) -> tuple[list[Row], list[Path]]:
    """Read all artifacts below a folder and write report.json, report.md and a plot a model beside them.

    Returns: the rows, and the files. Raises: ArtifactError where there is no artifact, or one can't be read.
    """
    found = sorted(path.parent for path in folder.rglob(MANIFEST) if not _hidden(path.relative_to(folder)))
    if not found:
        raise ArtifactError(f"folder {folder}: holds no artifact. Give one that an export wrote to.")
    rows = _compared([_row(artifact) for artifact in found])
    text = json.dumps([asdict(row) for row in rows], indent=1, sort_keys=True) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "report.md").write_text(to_markdown(rows), encoding="utf-8")
    plots = []
    for model in dict.fromkeys(row.model for row in rows):
        path = folder / f"report-{model}.png"
        plot_tradeoff([_point(row) for row in rows if row.model == model], model, path)
        plots.append(path)
    return rows, [folder / "report.json", folder / "report.md", *plots]


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table a model."""
    lines = []
    for model in dict.fromkeys(row.model for row in rows):
        lines += [f"### {model}", "", "| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
        lines += ["| " + " | ".join(cells(row)) + " |" for row in rows if row.model == model]
        lines += [f"- {row.target}, {row.recipe}: not valid, {', '.join(row.reasons)}" for row in rows if row.reasons]
        lines.append("")
    return "\n".join(lines)


HEADER = ("target", "recipe", "verified", "MB", "of fp32", "ms", "of fp32", "SQNR dB", "accuracy", "difference")


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
        _number(row.median_ms, ".2f"),
        _number(row.latency_ratio, ".3f"),
        _number(row.sqnr_db, ".1f"),
        _number(row.value, ".2%"),
        points,
    )


def _row(folder: Path) -> Row:
    manifest = read_manifest(folder)
    verified, profile, scores = (_json(folder / name) for name in ("verify.json", PROFILE, SCORES))
    score = scores[0] if scores else {}
    backend = manifest.data["backend"]
    name = manifest.data["model_file"]
    files = manifest.data["files"].items()
    judged = [out["sqnr_db"] for out in (verified or {}).get("outputs", []) if out["bound"] != "not judged"]
    return Row(
        model=folder.parent.name,
        target=f"{manifest.data['target']}-{backend}" if backend else manifest.data["target"],
        recipe=manifest.data["recipe"]["name"],
        status=(verified or {}).get("status", "not run"),
        bytes=sum(record["bytes"] for path, record in files if path == name or path.startswith(f"{name}/")),
        size_ratio=None,
        median_ms=profile and profile["median_ms"],
        latency_ratio=None,
        sqnr_db=min((value for value in judged if value is not None), default=None),
        metric=score.get("metric"),
        value=score.get("value"),
        difference=score.get("difference"),
        interval=tuple(score["interval"]) if score else None,
        reasons=tuple(profile["reasons"]) if profile else (),
        run=profile and profile["run"],
    )


def _compared(rows: list[Row]) -> list[Row]:
    """Fill in what is measured against the fp32 artifact of the same model and target."""
    bases = {(row.model, row.target): row for row in rows if row.recipe == BASE}
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


def _json(path: Path) -> Any:
    """Return a file's content, null where there is none. Raises: ArtifactError where it can't be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError) as exc:
        raise ArtifactError(f"file {path}: can't be read ({exc}). Make it again.") from exc


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
