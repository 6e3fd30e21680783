"""Size and latency against what a recipe keeps, as a plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_kit.quantization.cost_plot import BLUE, ORANGE, WIDTH, _figure, _save

__all__ = ["MOST_DB", "NEAR_ACROSS", "NEAR_DB", "Point", "plot_tradeoff"]

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
