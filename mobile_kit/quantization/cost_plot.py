"""What each part of a model costs in int8, as a picture."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mobile_kit.quantization.part_costs import Fidelity, PartCost
from mobile_kit.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

__all__ = ["plot_costs"]

# Okabe and Ito's palette, whose colours everyone can tell apart.
BLUE, ORANGE, GRAY = "#0072B2", "#E69F00", "#999999"
INCHES_A_BAR, WIDTH = 0.26, 8.0
NOT_A_DATE = {"Software": None}


def plot_costs(costs: Sequence[PartCost], everything: Fidelity, title: str, path: Path) -> None:
    """Draw a bar a part, as long as what is kept with it alone in int8, into a PNG.

    That is decibels, or of class maps, which have none, the percentage of pixels that stay. everything: what is kept
    with all in int8 that a static recipe computes so.
    """
    import matplotlib

    # A name such as a$b^c is no mathematics.
    with matplotlib.rc_context({"text.parse_math": False}):
        _save(_drawn(costs, everything, title), path)


def _drawn(costs: Sequence[PartCost], everything: Fidelity, title: str) -> "Figure":
    measured = [(cost, cost.kept) for cost in costs if cost.kept is not None]
    figure, axes = _figure(WIDTH, 1.4 + INCHES_A_BAR * len(measured))
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
    return figure


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    # The object's own interface: pyplot would look for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=140, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _patch(color: str, label: str) -> "Patch":
    from matplotlib.patches import Patch

    return Patch(color=color, label=label)


def _save(figure: "Figure", path: Path) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata=NOT_A_DATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, drawn.getvalue())
