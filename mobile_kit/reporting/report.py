"""What each recipe of a model costs and keeps on each target and device, beside one another, in files to read."""

import html
from dataclasses import dataclass
from pathlib import Path

from mobile_kit.artifacts.scores import figure_text, points_text
from mobile_kit.errors import ArtifactError, plain
from mobile_kit.records import dumped
from mobile_kit.reporting.html_page import page
from mobile_kit.reporting.report_record import report_record
from mobile_kit.reporting.summary import ArtifactResult, Row, Summary, summarize
from mobile_kit.whole_file import write_whole

__all__ = ["HEADER", "ReportOptions", "cells", "report", "to_markdown"]

HEADER = (
    "target",
    "recipe",
    "verified",
    "MB",
    "of fp32",
    "device",
    "ms",
    "of fp32",
    "SQNR dB",
    "accuracy",
    "images",
    "difference",
    "note",
)
# What Markdown would take for its own.
MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*[]|"})


@dataclass(frozen=True)
class ReportOptions:
    """What to read, and where to write. html, markdown: None for report.html and report.md in the first folder."""

    folders: tuple[Path, ...]
    html: Path | None = None
    markdown: Path | None = None


def report(options: ReportOptions) -> tuple[Summary, list[Path]]:
    """Read all artifacts below some folders, and write what was found.

    Returns: what was found, and the files: JSON, Markdown and HTML.
    Raises: ArtifactError where there is no artifact, one can't be read, or a file can't be written.
    """
    found = summarize(options.folders)
    folder = options.folders[0]
    texts = {
        folder / "report.json": dumped(report_record(found)),
        options.markdown or folder / "report.md": to_markdown(found),
        options.html or folder / "report.html": page(found),
    }
    for path, text in texts.items():
        _write(path, text)
    return found, [*texts]


def to_markdown(found: Summary) -> str:
    """Return a table a model."""
    lines = []
    for model in dict.fromkeys(row.model for row in found.rows):
        lines += [f"### {_marked(model)}", "", "| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
        own = [(row, each) for row, each in found.lines() if row.model == model]
        lines += ["| " + " | ".join(map(_marked, cells(row, each))) + " |" for row, each in own]
        lines.append("")
    return "\n".join(lines)


def _marked(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return html.escape(text, quote=False).translate(MARKS)


def cells(row: Row, each: ArtifactResult | None) -> tuple[str, ...]:
    """Return what a table shows of an artifact and one of its results; it is all on one line."""
    points, median, ratio = "", None, None
    if row.metric is not None and row.difference is not None and row.interval is not None:
        difference, low, high = (points_text(row.metric, each) for each in (row.difference, *row.interval))
        points = f"{difference} ({low} to {high})"
    if each is not None:
        median = each.result.latency.p50
        ratio = _ratio(each)
    shown = (
        row.target,
        row.recipe,
        row.status,
        f"{row.bytes / 1e6:.2f}",
        _number(row.size_ratio, ".3f"),
        "" if each is None else each.device,
        _number(None if median is None else median / 1e3, ".2f"),
        _number(ratio, ".3f"),
        _number(row.sqnr_db, ".1f"),
        _accuracy(row),
        _number(row.images, "d"),
        points,
        _note(row, each),
    )
    return tuple(map(plain, shown))


def _accuracy(row: Row) -> str:
    """Return the first score, with its name where it isn't the part of the images, or pixels, that are right."""
    if row.metric is None or row.value is None:
        return ""
    return figure_text(row.metric, row.value) + ("" if row.metric in {"top1", "mean_iou"} else f" {row.metric}")


def _ratio(each: ArtifactResult) -> float | None:
    if each.base == each.row:
        return 1.0
    return None if each.ratio is None else each.ratio.ratio


def _note(row: Row, each: ArtifactResult | None) -> str:
    if each is None:
        return f"not timed: {row.untimed}" if row.untimed else "not timed"
    reasons = each.result.validity.reasons
    notes = ["emulated"] if each.result.device.emulated else []
    if not each.result.validity.valid:
        notes.append("not valid" + (f": {', '.join(reasons)}" if reasons else ""))
    return "; ".join(notes)


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as exc:
        raise ArtifactError(f"report {path}: can't be written ({exc.strerror}). Choose a folder of yours.") from exc


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
