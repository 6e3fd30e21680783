"""Where the time goes: the operations of a result by block of the model, by part of a block, and by type."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from mobile_kit.measurements.result import Op
from mobile_kit.reporting.charts import Group, Panel, Strip
from mobile_kit.reporting.summary import ArtifactResult, grouped, why_not_comparable
from mobile_kit.reporting.svg import HEIGHT, WIDTH, Scale, Shape, strip

__all__ = ["MOST_HOTSPOTS", "hotspots", "place_of", "shares", "told"]

# Results whose operations are drawn, and rows of a group; the last row has the rest.
MOST_HOTSPOTS, MOST_SHOWN = 6, 10
# Modules are numbered as stages and, in those, as blocks: `stages.2.blocks.1`. Numbers further in are a block's own.
NUMBERS = 2
# Others than those of the first targets.
PART_COLORS = ("c3", "c5", "c4", "c0", "c2")
NO_MODULE, REST, OTHER = "(no module)", "(the rest)", "other"


def place_of(module: str | None) -> tuple[str, str]:
    """Return the block that a module is in, and which part of it, such as `stages.2.blocks.1` and `attention`."""
    if not module:
        return NO_MODULE, OTHER
    names = module.split(".")
    numbered = [place for place, name in enumerate(names) if name.isdigit()][:NUMBERS]
    end = numbered[-1] + 1 if numbered else 1
    return ".".join(names[:end]), names[end] if end < len(names) else OTHER


def hotspots(measured: Sequence[ArtifactResult]) -> tuple[list[Panel], int]:
    """Draw the operations of results that have them: a panel a model and target, trusted results first.

    Returns: the panels, and how many there would be beside those.
    The first of each model come before the second of any, as there is room for a few.
    """
    own = [each for each in measured if shares(each.result.ops)]
    own.sort(key=lambda each: why_not_comparable(each.result) is not None)
    firsts = [group[0] for group in grouped(own, lambda each: (each.row.model, each.row.target)).values()]
    turns = [turn for group in grouped(firsts, lambda each: each.row.model).values() for turn in enumerate(group)]
    drawn = sorted(turns, key=lambda turn: turn[0])[:MOST_HOTSPOTS]
    return [_panel(each) for _, each in drawn], len(turns) - len(drawn)


def told(each: ArtifactResult) -> str:
    """Say in which way a result's operations were timed, as an estimate is none."""
    estimated = {op.kind for op in each.result.ops} == {"estimated"}
    said = ["estimates, not measured" if estimated else "measured"]
    said += ["partly estimates"] if not estimated and any(op.kind == "estimated" for op in each.result.ops) else []
    said += ["on an emulated device"] if each.result.device.emulated else []
    said += [] if each.result.validity.valid else ["the result isn't valid"]
    return ", ".join(said)


def _panel(each: ArtifactResult) -> Panel:
    found = shares(each.result.ops)
    parts = _summed((place_of(op.module)[1], share) for op, share in found)
    colors = dict(zip((part for part in parts if part != OTHER), PART_COLORS, strict=False))
    groups, note = [_group("by type", found, lambda op: (op.type or op.name, ""), {})], ""
    legend: tuple[tuple[str, str], ...] = ()
    if any(op.module for op, _ in found):
        groups.insert(0, _group("by block", found, lambda op: place_of(op.module), colors))
        places = _summed((place_of(op.module), share) for op, share in found if op.module)
        note = "; ".join(_sentence(*place, share) for place, share in list(places.items())[:3])
        legend = (*((color, part) for part, color in colors.items()), ("rest", OTHER))
    title = f"{each.row.model}, {each.row.target} {each.row.recipe} on {each.device}"
    axis = f"percent of all operations ({told(each)})"
    return Panel(title, axis, note=note, legend=legend, groups=tuple(groups))


K = TypeVar("K")


def _summed(parts: Iterable[tuple[K, float]]) -> dict[K, float]:
    """Return the parts of a name together, the largest first."""
    found: dict[K, float] = {}
    for name, share in parts:
        found[name] = found.get(name, 0.0) + share
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _sentence(block: str, part: str, share: float) -> str:
    return f"{block if part == OTHER else f'{part} of {block}'}: {share:.0%}"


def shares(ops: Sequence[Op]) -> list[tuple[Op, float]]:
    """Return which part of the time each operation takes; those that nothing is known of are left out."""
    timed = any(op.mean_us is not None for op in ops)
    times = [(op, op.mean_us if timed else op.percent) for op in ops]
    known = [(op, time) for op, time in times if time is not None and time > 0]
    total = sum(time for _, time in known)
    return [(op, time / total) for op, time in known] if math.isfinite(total) else []


def _group(
    title: str,
    found: Sequence[tuple[Op, float]],
    key: Callable[[Op], tuple[str, str]],
    colors: Mapping[str, str],
) -> Group:
    totals = _summed((key(op)[0], share) for op, share in found)
    shown = list(totals)[:MOST_SHOWN]
    rows: dict[str, dict[str, float]] = {name: {} for name in shown}
    for op, share in found:
        name, part = key(op)
        segments, part = rows.setdefault(name if name in rows else REST, {}), part if part in colors else ""
        segments[part] = segments.get(part, 0.0) + share
    scale = Scale(0.0, max(sum(segments.values()) for segments in rows.values()) * 1.02)
    return Group(title, tuple(_row(name, segments, scale, colors) for name, segments in rows.items()))


def _row(name: str, segments: Mapping[str, float], scale: Scale, colors: Mapping[str, str]) -> Strip:
    shapes, start = [], 0.0
    for part, share in ((part, segments[part]) for part in (*colors, "") if part in segments):
        left, right = WIDTH * scale.at(start), WIDTH * scale.at(start + share)
        shapes.append(Shape(f"bar {colors.get(part, 'rest')}", f"M{left:.1f} {HEIGHT / 2}H{right:.1f}"))
        start += share
    value = f"{100 * start:.1f}"
    return Strip(name, strip(None, shapes, f"{name}: {value} %"), value)
