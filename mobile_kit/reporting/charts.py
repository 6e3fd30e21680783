"""The report's plots: how latencies are spread, ratios to fp32, what recipes trade, and where the time goes.

A row has its words beside a strip that is as wide as the screen lets it be, so that a phone can show it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from mobile_kit.artifacts.scores import points_text
from mobile_kit.measurements.latency import Latency
from mobile_kit.reporting.summary import ArtifactResult, Row, grouped, why_not_comparable
from mobile_kit.reporting.svg import HEIGHT, WIDTH, Scale, Shape, covering, strip, tag

__all__ = [
    "COLORS",
    "MOST_PANELS",
    "MOST_ROWS",
    "Group",
    "Panel",
    "Strip",
    "colors",
    "figure",
    "ratios",
    "spreads",
    "trades",
]

# What is still read, rather than scrolled past; the table has the rest.
MOST_ROWS, MOST_PANELS = 24, 12
# Calls of a result that are drawn one by one.
MOST_DOTS = 64
# The style sheet's colours, and what everything after them has.
COLORS = 6
# No more decibels are a difference to anyone.
MOST_DB = 80.0
BUBBLE_HEIGHT, LARGEST_PX, SMALLEST_PX = 260.0, 15.0, 3.0
MIDDLE = HEIGHT / 2
MS = "milliseconds a call"
MB = "megabytes, as no latency was measured"
# What a panel is wide on a small screen, and a letter and a line of its texts, in pixels: to see what would touch.
NARROW_PX, LETTER_PX, LINE_PX = 350.0, 6.2, 12.0


@dataclass(frozen=True)
class Strip:
    """A row: its words, its drawing, and its figure. state: empty, or `invalid`, which the figure is struck out for."""

    label: str
    drawing: Markup
    value: str
    state: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under a title."""

    title: str
    rows: tuple[Strip, ...]


@dataclass(frozen=True)
class Panel:
    """A plot. axis: what is written below it. legend: colours of the style sheet, and what they are.

    ticks: place in percent, and text. left_out: rows that it has no room for. drawing: instead of groups, one of its
    own.
    """

    title: str
    axis: str
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    ticks: tuple[tuple[float, str], ...] = ()
    groups: tuple[Group, ...] = ()
    left_out: int = 0
    drawing: Markup | None = None


@dataclass(frozen=True)
class Bubble:
    """A file of the trade-off chart. across: where it stands, in the axis' unit. took: that, in words.

    doubt: why its latency isn't to be held against others, behind a semicolon.
    """

    row: Row
    across: float
    took: str
    doubt: str = ""
    valid: bool = True


# Left, top, right and bottom.
Box = tuple[float, float, float, float]


def colors(rows: Iterable[Row]) -> dict[str, str]:
    """Return the style sheet's colour of each target."""
    names = sorted({row.target for row in rows})
    return {name: f"c{min(place, COLORS - 1)}" for place, name in enumerate(names)}


def spreads(measured: Sequence[ArtifactResult], chosen: Mapping[str, str]) -> list[Panel]:
    """Draw how the calls of each result are spread: a panel a model and device, on one scale for a model.

    Emulated devices have a scale of their own, as their times aren't to be held against others.
    """
    timed = [each for each in measured if each.result.latency.p50 is not None]
    timed.sort(key=lambda each: bool(each.result.device.emulated))
    panels = []
    models = grouped(timed, lambda each: (each.row.model, bool(each.result.device.emulated)))
    for (model, emulated), results in models.items():
        scale = covering([end for each in results for end in _ends(each.result.latency)])
        for device, own in grouped(results, lambda each: each.device).items():
            shown = sorted(own, key=lambda each: each.result.latency.p50 or 0.0)[:MOST_ROWS]
            rows = [(each.row.target, _spread_row(each, scale, chosen[each.row.target])) for each in shown]
            note = "emulated: not the speed of any device" if emulated else ""
            panels.append(_panel(f"{model} on {device}", MS, scale, _by_target(rows), len(own) - len(shown), note))
    return panels


def _by_target(rows: Sequence[tuple[str, Strip]]) -> tuple[Group, ...]:
    found = sorted(grouped(rows, lambda row: row[0]).items())
    return tuple(Group(target, tuple(strip for _, strip in own)) for target, own in found)


def _panel(title: str, axis: str, scale: Scale, groups: tuple[Group, ...], left_out: int, note: str = "") -> Panel:
    axis = f"{axis}, logarithmic" if scale.log else axis
    return Panel(title, axis, note=note, ticks=_ticks(scale), groups=groups, left_out=left_out)


def _ends(latency: Latency) -> tuple[float, float]:
    """Return the milliseconds between which a row is drawn."""
    known = [value for value in (latency.p5, latency.p50, latency.p95) if value is not None]
    return min(known) / 1e3, max(known) / 1e3


def _spread_row(each: ArtifactResult, scale: Scale, color: str) -> Strip:
    latency, valid = each.result.latency, each.result.validity.valid
    median, (low, high) = (latency.p50 or 0.0) / 1e3, _ends(latency)
    kind = color if valid else "invalid"
    shapes = [
        Shape(f"dots {kind}", _dots(latency, scale)),
        Shape(f"range {kind}", f"M{_x(scale, low)} {MIDDLE}H{_x(scale, high)}"),
        Shape(f"median {kind}", f"M{_x(scale, median)} 4V{HEIGHT - 4:.0f}"),
    ]
    label = each.row.recipe
    said = f"{each.row.target} {label}: p50 {median:.3g} ms, p5 to p95 {low:.3g} to {high:.3g} ms"
    if valid:
        return Strip(label, strip(scale, shapes, said), figure(median))
    return Strip(label, strip(scale, shapes, f"{said}, not valid"), figure(median), "invalid")


def _dots(latency: Latency, scale: Scale) -> str:
    """Return a dot a call, above and below one another by turns so that they can be told apart."""
    calls = np.concatenate([np.array(block, float) for block in latency.samples]) if latency.samples else np.zeros(0)
    if len(calls) > MOST_DOTS:
        calls = np.quantile(calls, (np.arange(MOST_DOTS) + 0.5) / MOST_DOTS)
    heights = (-3, 2, -1, 4, 0, -4, 1, 3)
    places = enumerate(calls / 1e3)
    return "".join(f"M{_x(scale, value)} {MIDDLE + heights[i % len(heights)]:.0f}h0" for i, value in places)


def ratios(measured: Sequence[ArtifactResult], chosen: Mapping[str, str]) -> list[Panel]:
    """Draw latencies as a part of fp32's with their intervals, a panel a model and device, all on one scale."""
    found = [each for each in measured if each.ratio is not None and each.base != each.row]
    ends = [end for each in found if each.ratio is not None for end in each.ratio.interval]
    if not ends:
        return []
    scale = Scale(min(0.5, *ends) / 1.1, max(2.0, *ends) * 1.1, log=True)
    panels = []
    for (model, device), own in grouped(found, lambda each: (each.row.model, each.device)).items():
        shown = own[:MOST_ROWS]
        rows = [(each.row.target, _ratio_row(each, scale, chosen[each.row.target])) for each in shown]
        axis = "latency, as a part of fp32's; the line is the 99 % interval"
        panels.append(_panel(f"{model} on {device}", axis, scale, _by_target(rows), len(own) - len(shown)))
    return panels


def _ratio_row(each: ArtifactResult, scale: Scale, color: str) -> Strip:
    assert each.ratio is not None
    ratio, (low, high) = each.ratio.ratio, each.ratio.interval
    shapes = [
        Shape("one", f"M{_x(scale, 1.0)} 0V{HEIGHT:.0f}"),
        Shape(f"range {color}", f"M{_x(scale, low)} {MIDDLE}H{_x(scale, high)}"),
        Shape(f"dot {color}", f"M{_x(scale, ratio)} {MIDDLE}h0"),
    ]
    label = each.row.recipe
    said = f"{ratio:.3f} ({low:.3f}\u2013{high:.3f}) {each.ratio.verdict}"
    return Strip(label, strip(scale, shapes, f"{each.row.target} {label}: {said}"), said)


def trades(rows: Sequence[Row], measured: Sequence[ArtifactResult], chosen: Mapping[str, str]) -> list[Panel]:
    """Draw what recipes keep over what they take, with a circle as large as the file, a panel a model and device.

    Files of a target that wasn't timed have a panel of their sizes. What is emulated isn't drawn; a result that isn't
    valid has no filling.
    """
    judged = {row.folder: row for row in rows if row.sqnr_db is not None and row.status != "failed"}
    seen = [each for each in measured if each.result.latency.p50 is not None and not each.result.device.emulated]
    timed = grouped([each for each in seen if each.row.folder in judged], lambda each: each.row.model)
    panels: list[Panel] = []
    for model, own in grouped(judged.values(), lambda row: row.model).items():
        here = timed.get(model, [])
        devices = grouped(here, lambda each: each.device).items()
        # One scale for a model's devices, and one for its circles.
        panels += _trade_panels({f"{model} on {name}": [*map(_timed, found)] for name, found in devices}, MS, chosen)
        targets = {each.row.target for each in here}
        sized = [_sized(row) for row in own if row.target not in targets]
        panels += _trade_panels({model: sized} if len(sized) > 1 else {}, MB, chosen)  # one trades nothing
    return panels


def _trade_panels(found: Mapping[str, list[Bubble]], axis: str, chosen: Mapping[str, str]) -> Iterator[Panel]:
    scale = covering([bubble.across for bubbles in found.values() for bubble in bubbles])
    largest = max((bubble.row.bytes for bubbles in found.values() for bubble in bubbles), default=1)
    for title, bubbles in found.items():
        shown = sorted(bubbles, key=lambda bubble: -bubble.row.bytes)[:MOST_ROWS]
        panel = _panel(title, axis, scale, (), len(bubbles) - len(shown))
        yield replace(panel, drawing=_bubbles(shown, scale, largest, chosen))


def _timed(each: ArtifactResult) -> Bubble:
    median, doubt = (each.result.latency.p50 or 0.0) / 1e3, why_not_comparable(each.result)
    took = f"{figure(median)} ms"
    return Bubble(each.row, median, took, "" if doubt is None else f"; {doubt}", each.result.validity.valid)


def _sized(row: Row) -> Bubble:
    return Bubble(row, row.bytes / 1e6, "not timed")


def _bubbles(bubbles: Sequence[Bubble], scale: Scale, largest: int, chosen: Mapping[str, str]) -> Markup:
    noise = Scale(0.0, MOST_DB)
    bottom, top = BUBBLE_HEIGHT - LARGEST_PX, LARGEST_PX + 4
    marks = []
    for tick in noise.ticks():
        up = bottom - noise.at(tick) * (bottom - top)
        marks.append(tag("line", class_="grid", x1="0", x2="100%", y1=up, y2=up))
        marks.append(
            tag("text", f"{tick:.0f}" + (" dB or more" if tick == MOST_DB else ""), class_="scale", x=2, y=up - 3)
        )
    places = [f"{100 * scale.at(tick):.2f}%" for tick in scale.ticks()]
    marks += [tag("line", class_="grid", x1=place, x2=place, y1=0, y2=BUBBLE_HEIGHT) for place in places]
    circles = [_circle(bubble, scale, noise, (bottom, top), largest) for bubble in bubbles]
    taken = [(x - r, y - r, x + r, y + r) for x, y, r in circles]
    for bubble, (x, y, radius) in zip(bubbles, circles, strict=True):
        kind = chosen[bubble.row.target] if bubble.valid else "invalid"
        place = f"{100 * x / NARROW_PX:.2f}%"
        marks.append(tag("circle", tag("title", _told(bubble)), class_=kind, cx=place, cy=y, r=radius))
        marks += _written(bubble.row.recipe, kind, (x, y, radius), taken)
    return tag("svg", *marks, class_="bubbles", width="100%", height=BUBBLE_HEIGHT, role="img")


def _circle(
    bubble: Bubble, scale: Scale, noise: Scale, ends: tuple[float, float], largest: int
) -> tuple[float, float, float]:
    """Return the middle and the radius of a circle, in the pixels of a narrow panel."""
    bottom, top = ends
    across = NARROW_PX * scale.at(bubble.across)
    up = bottom - noise.at(bubble.row.sqnr_db or 0.0) * (bottom - top)
    return across, up, max(LARGEST_PX * math.sqrt(bubble.row.bytes / largest), SMALLEST_PX)


def _written(text: str, kind: str, circle: tuple[float, float, float], taken: list[Box]) -> list[Markup]:
    """Write a text beside its circle where it touches nothing; where there is no such place, the table has it."""
    x, y, radius = circle
    wide = LETTER_PX * len(text)
    for down in (0.0, LINE_PX, -LINE_PX):
        for anchor, by, left in (("start", radius + 4, x + radius + 4), ("end", -radius - 4, x - radius - 4 - wide)):
            box = (left, y + down - LINE_PX / 2, left + wide, y + down + LINE_PX / 2)
            if left >= 0 and left + wide <= NARROW_PX and not any(_touch(box, other) for other in taken):
                taken.append(box)
                place = f"{100 * x / NARROW_PX:.2f}%"
                return [tag("text", text, class_=kind, x=place, dx=by, y=y + down + LINE_PX / 3, text_anchor=anchor)]
    return []


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _told(bubble: Bubble) -> str:
    row, noise = bubble.row, bubble.row.sqnr_db or 0.0
    lost = "no noise" if noise == math.inf else f"{noise:.1f} dB"
    points = "" if row.difference is None else f", {points_text(row.metric or '', row.difference, ' points')}"
    return f"{row.target} {row.recipe}: {bubble.took}, {lost}, {row.bytes / 1e6:.2f} MB{points}{bubble.doubt}"


def figure(value: float, like: float | None = None) -> str:
    """Return a figure with as many digits as are told apart, or as another beside it has."""
    size = value if like is None else like
    return f"{value:.3g}" if size < 0.1 else f"{value:.2f}" if size < 100 else f"{value:,.0f}"


def _ticks(scale: Scale) -> tuple[tuple[float, str], ...]:
    return tuple((100 * scale.at(tick), f"{tick:g}") for tick in scale.ticks())


def _x(scale: Scale, value: float) -> str:
    return f"{WIDTH * scale.at(value):.1f}"
