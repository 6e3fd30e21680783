"""The kit's pictures: what parts cost in int8, and what recipes trade."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.search import PartCost

__all__ = ["Point", "plot_costs", "plot_tradeoff"]

# Okabe and Ito's palette, whose colours everyone can tell apart.
BLUE, ORANGE, GRAY = "#0072B2", "#E69F00", "#999999"
INCHES_A_BAR, WIDTH = 0.26, 8.0
NOT_A_DATE = {"Software": None}
# More than that is no difference to anyone; float32 has some 110 dB, which would press all others together.
MOST_DB = 80.0


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


def plot_costs(costs: Sequence[PartCost], everything_db: float, title: str, path: Path) -> None:
    """Draw a bar a part, as long as the decibels that are kept with it alone in int8, into a PNG.

    everything_db: what is kept with all in int8 that a static recipe computes so.
    """
    measured = [cost for cost in costs if cost.kept is not None]
    figure, (axes,) = _figure(WIDTH, 1.4 + INCHES_A_BAR * len(measured))
    finite = [cost.kept.sqnr_db for cost in measured if cost.kept and cost.kept.sqnr_db < float("inf")]
    longest = max([everything_db, *finite]) * 1.05
    for place, cost in enumerate(measured):
        assert cost.kept is not None
        length = max(min(cost.kept.sqnr_db, longest), 0)  # more noise than signal has no bar
        axes.barh(place, length, color=BLUE if cost.static else ORANGE, height=0.7)
        agreement = "" if cost.kept.agreement is None else f", {cost.kept.agreement:.1%}"
        axes.text(length, place, f" {cost.kept.sqnr_db:.1f} dB{agreement}", va="center", fontsize=7)
    axes.axvline(everything_db, color=GRAY, linestyle="--", linewidth=1)
    axes.text(everything_db, -1.0, " all of static_wi8_ai8", fontsize=7, color="#555555", va="center")
    axes.set_yticks(range(len(measured)), [cost.part for cost in measured], fontsize=8)
    axes.set_ylim(len(measured) - 0.4, -1.5)
    axes.set_xlim(0, longest * 1.22)
    axes.set_xlabel("SQNR of the outputs with this part alone in int8, dB (agreement with float behind it)")
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
        for point in shown:
            across = point.latency if timed else point.megabytes
            up = min(point.sqnr_db or 0.0, MOST_DB)
            axes.scatter(across, up, s=40, color=BLUE if point.recipe.startswith("fp") else ORANGE, zorder=3)
            points_lost = "" if point.difference is None else f", {100 * point.difference:+.2f} points"
            label = f"{point.recipe}\n{point.megabytes:.2f} MB{points_lost}"
            axes.annotate(label, (across, up), xytext=(6, -3), textcoords="offset points", fontsize=6.5)
        axes.margins(y=0.15)
        axes.set_xlim(0, 1.4 * axes.get_xlim()[1])  # room for what is written behind a point
        axes.set_xlabel("latency, as a part of fp32's" if timed else "size, MB (latency is for a device to tell)")
        axes.set_title(target, fontsize=9, loc="left")
        axes.grid(color="#eeeeee")
    panels[0].set_ylabel(f"SQNR of the outputs, dB (at most {MOST_DB:.0f} shown)")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    _save(figure, path)


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
