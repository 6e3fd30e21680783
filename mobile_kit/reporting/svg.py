"""Drawing without a library: scales, and SVG whose colours and line widths are the page's style sheet's."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

__all__ = ["HEIGHT", "Scale", "Shape", "covering", "strip", "tag"]

# A strip is drawn in thousandths of its width, whatever that is on the screen, and so many pixels high.
WIDTH, HEIGHT = 1000.0, 22.0
# From this ratio of largest to smallest on, the smallest would be pressed against zero.
MOST_LINEAR = 8.0
MOST_TICKS = 5


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """Return an element; texts and values are escaped. class_ is class, and stroke_width stroke-width."""
    said = (f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"' for key, value in attributes.items())
    inner = "".join(escape(child) for child in children)
    return Markup(f"<{name}{''.join(said)}>{inner}</{name}>")  # noqa: S704  all of it is escaped above


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Scale:
    """Where values lie between two ends, 0 to 1."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the place of a value; what is outside lies at the end."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Return a few round values between the ends."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1.0, 2.0, 5.0) if last - first <= 3 else (1.0,)
            powers = range(first, last + 1, 1 + (last - first) // (2 * MOST_TICKS))
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            # Heckbert, Nice numbers for graph labels, Graphics Gems, 1990.
            rough = (self.high - self.low) / MOST_TICKS
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(n * power for n in (1.0, 2.0, 5.0, 10.0) if n * power >= rough)
            first = math.ceil(self.low / step)
            found = [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [value for value in found if self.low <= value <= self.high * (1 + 1e-9)]


def covering(values: Iterable[float]) -> Scale:
    """Return a scale for values above 0: from 0, and of logarithms where they are far apart."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = min(known, default=1.0), max(known, default=1.0)
    if high / low <= MOST_LINEAR:
        return Scale(0.0, high * 1.04)
    return Scale(low / 1.15, high * 1.15, log=True)


@dataclass(frozen=True)
class Shape:
    """A mark of a strip: `path` in its thousandths, and the style sheet's `kind` of it."""

    kind: str
    path: str


def strip(scale: Scale | None, shapes: Sequence[Shape], title: str) -> Markup:
    """Draw marks over the scale's lines, if there are any. title: what a reader who doesn't see it is told."""
    lines = "".join(f"M{WIDTH * scale.at(tick):.0f} 0V{HEIGHT:.0f}" for tick in scale.ticks()) if scale else ""
    drawn = (tag("path", class_=shape.kind, d=shape.path) for shape in (Shape("grid", lines), *shapes) if shape.path)
    box = f"0 0 {WIDTH:.0f} {HEIGHT:.0f}"
    return tag("svg", *drawn, class_="strip", viewBox=box, preserveAspectRatio="none", role="img", aria_label=title)
