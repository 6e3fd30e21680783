"""The kit's pictures: what parts cost in int8, and what recipes trade."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.quantization.part_costs import Kept, PartCost

__all__ = ["Point", "plot_costs", "plot_tradeoff"]

# Okabe and Ito's palette, whose colours everyone can tell apart.
BLUE, ORANGE, GRAY = "#0072B2", "#E69F00", "#999999"
INCHES_A_BAR, WIDTH = 0.26, 8.0
NOT_A_DATE = {"Software": None}
# More than that is no difference to anyone; float32 has some 110 dB, which would press all others together.
MOST_DB = 80.0
# Points whose texts would touch: in parts of the widest, and decibels.
NEAR_ACROSS, NEAR_DB = 0.6, 4.0


@dataclass(frozen=True)
class Point:
    """A recipe of a model on a target. latency: a part of fp32's, null where it wasn't measured; decibels likewise.

    difference: in accuracy to the checkpoint's, -1 to 1.
    """

    target: str
    recipe: str
    megabytes: float
    latency: float | None
    sqnr_db: float | None
    difference: float | None


def plot_costs(costs: Sequence[PartCost], everything: Kept, title: str, path: Path) -> None:
    """Draw a bar a part, as long as what is kept with it alone in int8, into a PNG.

    That is decibels, or of class maps, which have none, the percentage of pixels that stay. everything: what is kept
    with all in int8 that a static recipe computes so.
    """
    measured = [(cost, cost.kept) for cost in costs if cost.kept is not None]
    figure, (axes,) = _figure(WIDTH, 1.4 + INCHES_A_BAR * len(measured))
    counted = any(math.isfinite(kept.sqnr_db) for kept in (everything, *(kept for _, kept in measured)))
    # More noise than signal has no bar.
    lengths = [max(kept.sqnr_db if counted else 100 * (kept.agreement or 0), 0) for _, kept in measured]
    line = max(everything.sqnr_db if counted else 100 * (everything.agreement or 0), 0)
    longest = max((length for length in (line, *lengths) if math.isfinite(length)), default=0) * 1.05 or 1.0
    for place, ((cost, kept), length) in enumerate(zip(measured, lengths, strict=True)):
        end = min(length, longest)
        axes.barh(place, end, color=BLUE if cost.static else ORANGE, height=0.7)
        agreement = [] if kept.agreement is None else [f"{kept.agreement:.1%}"]
        said = ", ".join(([f"{kept.sqnr_db:.1f} dB"] if counted else []) + agreement)
        axes.text(end, place, f" {said}", va="center", fontsize=7)
    axes.axvline(min(line, longest), color=GRAY, linestyle="--", linewidth=1)
    axes.text(min(line, longest), -1.0, " all of static_wi8_ai8", fontsize=7, color="#555555", va="center")
    axes.set_yticks(range(len(measured)), [cost.part for cost, _ in measured], fontsize=8)
    axes.set_ylim(len(measured) - 0.4, -1.5)
    axes.set_xlim(0, longest * 1.22)
    unit = "SQNR of the outputs, dB (agreement with float behind it)" if counted else "pixels whose class stays, %"
    axes.set_xlabel(f"kept with this part alone in int8: {unit}")
    axes.set_title(title, fontsize=10, loc="left")
    handles = [_patch(BLUE, "int8 in static_wi8_ai8"), _patch(ORANGE, "float in static_wi8_ai8")]
    axes.legend(handles=handles, fontsize=7, loc="lower right")
    _save(figure, path)


def plot_tradeoff(points: Sequence[Point], title: str, path: Path) -> None:
    """Draw a panel a target into a PNG: what recipes keep over what they take, which is time where it was measured."""
    targets = list(dict.fromkeys(point.target for point in points))
    figure, panels = _figure(WIDTH * max(len(targets), 2) / 2, 4.2, len(targets))
    for axes, target in zip(panels, targets, strict=True):
        own = [point for point in points if point.target == target and point.sqnr_db is not None]
        timed = any(point.latency is not None for point in own)
        shown = [point for point in own if point.latency is not None or not timed]
        placed = [((point.latency if timed else point.megabytes) or 0.0, point) for point in shown]
        widest = max((across for across, _ in placed), default=1.0)
        for across, point in placed:
            color = BLUE if point.recipe.startswith("fp") else ORANGE
            axes.scatter(across, _height(point), s=40, color=color, zorder=3)
        for across, up, label in _labels(placed, widest):
            axes.annotate(label, (across, up), xytext=(6, 0), textcoords="offset points", fontsize=6.5, va="center")
        axes.set_ylim(0, MOST_DB * 1.05)
        axes.set_xlim(0, 1.75 * widest)  # room for what is written behind a point
        axes.set_xlabel(
            "latency, as a part of fp32's" if timed else "size, MB (no latency was measured against fp32's)"
        )
        axes.set_title(target, fontsize=9, loc="left")
        axes.grid(color="#eeeeee")
    panels[0].set_ylabel(f"SQNR of the outputs, dB (at most {MOST_DB:.0f} shown)")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    _save(figure, path)


def _height(point: Point) -> float:
    return max(min(point.sqnr_db or 0.0, MOST_DB), 0.0)


def _labels(placed: Sequence[tuple[float, Point]], widest: float) -> list[tuple[float, float, str]]:
    """Return where to write what, with one text for points that would be written over one another."""
    groups: list[list[tuple[float, Point]]] = []
    for across, point in sorted(placed, key=lambda pair: _height(pair[1])):
        near = [
            group
            for group in groups
            if abs(group[-1][0] - across) < NEAR_ACROSS * widest and _height(point) - _height(group[-1][1]) < NEAR_DB
        ]
        if near:
            near[0].append((across, point))
        else:
            groups.append([(across, point)])
    found = []
    for group in groups:
        lines = [_line(point) for _, point in reversed(group)]
        middle = sum(_height(point) for _, point in group) / len(group)
        found.append((max(across for across, _ in group), middle, "\n".join(lines)))
    return found


def _line(point: Point) -> str:
    lost = "" if point.difference is None else f", {100 * point.difference:+.2f} points"
    return f"{point.recipe}, {point.megabytes:.2f} MB{lost}"


def _figure(width: float, height: float, panels: int = 1) -> tuple[Any, list[Any]]:
    # The object's own interface: pyplot would look for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=140, layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _patch(color: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=color, label=label)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata=NOT_A_DATE)
