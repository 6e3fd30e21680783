"""The report as one HTML page that needs nothing else: no network, no script, light and dark, on a phone too."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from mobile_kit import __version__
from mobile_kit.measurements.result import Result
from mobile_kit.reporting.charts import MOST_PANELS, MOST_ROWS, Panel, colors, figure, ratios, spreads, trades
from mobile_kit.reporting.operation_charts import hotspots, shares, told
from mobile_kit.reporting.summary import ArtifactResult, Row, Summary, grouped

__all__ = ["page"]

TEMPLATE = "report.html.j2"
# Operations of a result that its details list.
MOST_OPS = 12
Units = Mapping[str, tuple[str, float | None, str]]
PARITY: Units = {
    "SQNR": ("SQNR", None, " dB"),
    "sqnr_db": ("SQNR", None, " dB"),
    "max_error": ("error", None, " sigma"),
}
# With more lines, the summary scrolls in its box: the plots are to be found.
MOST_LINES = 40


@dataclass(frozen=True)
class Line:
    """A result in the summary. cells: in the order of `COLUMNS`; none of a file that isn't timed.

    state: a class of the style sheet, or empty.
    """

    cells: tuple[str, ...]
    note: str
    state: str


@dataclass(frozen=True)
class File:
    """An artifact in the summary, with a line a result, or one that says why there is none."""

    row: Row
    size: str
    parity: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Section:
    """Plots under a title. left_out: how many there are beside those."""

    title: str
    text: str
    panels: tuple[Panel, ...]
    left_out: int


@dataclass(frozen=True)
class Devices:
    """A model's medians, a line a target and recipe, a column a device: figure and state, or None."""

    model: str
    devices: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str] | None, ...]], ...]


def page(survey: Summary) -> str:
    """Return the page. Words of devices and models are escaped, whatever they are."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mobile_kit.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measured = survey.measured
    results = grouped(measured, lambda each: each.row.folder)
    files = [_file(row, results.get(row.folder, [])) for row in survey.rows]
    return environment.get_template(TEMPLATE).render(
        title=_title(survey),
        date=_date(measured),
        version=__version__,
        counts=_counts(survey),
        columns=COLUMNS,
        models=grouped(files, lambda file: file.row.model),
        tall=sum(len(file.lines) for file in files) > MOST_LINES,
        targets=colors(survey.rows),
        sections=_sections(survey),
        devices=list(islice(_devices(measured), MOST_PANELS)),
        details=grouped([_detail(each) for each in measured], lambda detail: detail["model"]),
        most=MOST_PANELS,
        opened=len(measured) <= MOST_ROWS,
    )


# Name, unit, and whether it is a figure of the result.
COLUMNS = (
    ("device", "", False),
    ("p50", "ms", True),
    ("p90", "ms", True),
    ("std", "ms", True),
    ("steady", "", False),
    ("to fp32", "99 % interval", True),
    ("cold load", "ms", True),
    ("peak", "MB", True),
)


def _line(each: ArtifactResult) -> Line:
    result, latency = each.result, each.result.latency
    cells = {
        "device": each.device,
        "p50": _ms(latency.p50),
        "p90": _ms(latency.p90, latency.p50),
        "std": _ms(latency.std, latency.p50),
        "steady": latency.stability or "",
        "to fp32": _ratio(each),
        "cold load": _ms(result.load.cold_us),
        "peak": "" if result.memory.peak_bytes is None else f"{result.memory.peak_bytes / 1e6:,.0f}",
    }
    emulated = "emulated" if result.device.emulated else ""
    if result.validity.valid:
        return Line(tuple(cells.values()), emulated or "valid", emulated)
    note = f"not valid: {'; '.join(result.validity.reasons) or 'a check says no'}"
    return Line(tuple(cells.values()), f"{emulated}, {note}" if emulated else note, "invalid")


def _file(row: Row, lines: Sequence[ArtifactResult]) -> File:
    untimed = f"not timed: {row.untimed}" if row.untimed else "not timed"
    found = tuple(map(_line, lines)) or (Line((), untimed, ""),)
    return File(row, figure(row.bytes / 1e6), _decibels(row.sqnr_db), found)


def _ratio(each: ArtifactResult) -> str:
    if each.base == each.row:
        return "1"
    if each.ratio is None:
        return ""
    low, high = each.ratio.interval
    return f"{each.ratio.ratio:.3f} ({low:.3f}\u2013{high:.3f})"


def _title(survey: Summary) -> str:
    models = list(dict.fromkeys(row.model for row in survey.rows))
    return ", ".join(models) if len(models) <= 4 else f"{', '.join(models[:3])} and {len(models) - 3} more"


def _date(measured: Sequence[ArtifactResult]) -> str:
    """Say when it was measured; where nothing says that, when this is written."""
    days = sorted({each.result.run.started_at[:10] for each in measured if each.result.run.started_at})
    if not days:
        return f"Written {datetime.now(UTC).date().isoformat()}"
    return f"Measured {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")


def _counts(survey: Summary) -> str:
    timed = {each.row.folder for each in survey.measured}
    emulated = sum(bool(each.result.device.emulated) for each in survey.measured)
    invalid = sum(not each.result.validity.valid for each in survey.measured)
    devices = len({each.device for each in survey.measured})
    said = [_many(len(survey.rows), "file"), f"{_many(len(survey.measured), 'result')} on {_many(devices, 'device')}"]
    said += [f"{invalid} not valid"] if invalid else []
    said += [f"{emulated} emulated"] if emulated else []
    said += [f"{len(survey.rows) - len(timed)} not timed"] if len(timed) < len(survey.rows) else []
    return ", ".join(said)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _sections(survey: Summary) -> list[Section]:
    measured, chosen = survey.measured, colors(survey.rows)
    found = (
        (
            "How long a call takes",
            "A dot is a call, the tick the median, the line goes from the 5th to the 95th percentile. What is gray and "
            "struck out isn't valid.",
            spreads(measured, chosen),
        ),
        (
            "Against fp32",
            "Medians as a part of fp32's, of the same target and device and measured in turns with it. Left of 1 is "
            "faster.",
            ratios(measured, chosen),
        ),
        (
            "What a recipe keeps for what it takes",
            "Up is less noise, left is faster or smaller, and a circle is as large as its file. One without filling "
            "isn't valid; one without a name has no room for it, and tells it when pointed at.",
            trades(survey.rows, measured, chosen),
        ),
    )
    panels, left_out = hotspots(measured)
    operations = "Operations by the block of the model that they belong to, and by their type."
    sections = [
        *(
            Section(title, text, tuple(plots[:MOST_PANELS]), max(len(plots) - MOST_PANELS, 0))
            for title, text, plots in found
        ),
        Section("Where the time goes", operations, tuple(panels), left_out),
    ]
    return [section for section in sections if section.panels]


def _devices(measured: Sequence[ArtifactResult]) -> Iterator[Devices]:
    """Yield the medians of each model that was measured on several devices; none of them emulated."""
    real = [each for each in measured if not each.result.device.emulated and each.result.latency.p50 is not None]
    for model, own in grouped(real, lambda each: each.row.model).items():
        devices = tuple(sorted({each.device for each in own}))
        if len(devices) < 2:
            continue
        rows = []
        for label, results in grouped(own, lambda each: f"{each.row.target} {each.row.recipe}").items():
            firsts = {each.device: each for each in reversed(results)}
            rows.append((label, tuple(_median(firsts.get(device)) for device in devices)))
        yield Devices(model, devices, tuple(rows))


def _median(each: ArtifactResult | None) -> tuple[str, str] | None:
    if each is None:
        return None
    return _ms(each.result.latency.p50), "" if each.result.validity.valid else "invalid"


def _detail(each: ArtifactResult) -> dict[str, Any]:
    """Return what the page tells of a result beside its plots: groups of words, and its longest operations."""
    result = each.result
    ops = sorted(shares(result.ops), key=lambda pair: -pair[1])
    return {
        "model": each.row.model,
        "label": f"{each.row.target} {each.row.recipe} on {each.device}",
        "median": _ms(result.latency.p50),
        "valid": result.validity.valid,
        "emulated": bool(result.device.emulated),
        "groups": [(name, text) for name, text in _groups(each) if text],
        "told": told(each),
        "ops": [
            (op.module or op.name, op.type or "", _ms(op.mean_us), f"{100 * share:.1f}") for op, share in ops[:MOST_OPS]
        ],
        "ops_left_out": max(len(ops) - MOST_OPS, 0),
    }


def _groups(each: ArtifactResult) -> Iterator[tuple[str, str]]:
    """Yield what is known of a result, a group of figures a line; what isn't known isn't said."""
    result = each.result
    latency, device, memory = result.latency, result.device, result.memory
    yield "device", _words(asdict(device), {"ram_bytes": ("RAM", 1e6, " MB")})
    yield (
        "run",
        f"{result.run.tool} {result.run.tool_version or ''} ({result.run.harness}), {result.run.started_at or ''}",
    )
    yield "config", _words(asdict(result.config), {"cores": ("cores", None, "")})
    yield "thermal", _words(asdict(result.thermal), {})
    names = ("count", "first", "min", "p5", "p10", "p50", "p90", "p95", "p99", "max", "mean", "std", "trimmed_mean_80")
    times = {name: getattr(latency, name) for name in names}
    yield "latency", _words(times, {name: (name, 1e3, " ms") for name in names if name != "count"})
    yield "spread", _words({"cv": latency.cv, "p99/p50": latency.p99_p50, "stability": latency.stability}, {})
    yield "load", _words(asdict(result.load), {name: (name[:-3], 1e3, " ms") for name in asdict(result.load)})
    yield "memory", _words(asdict(memory), {name: (name[:-6], 1e6, " MB") for name in asdict(memory)})
    steps = asdict(result.pipeline)
    yield "pipeline", _words(steps, {name: (name[:-3], 1e3, " ms") for name in steps})
    yield "placement", _words(asdict(result.placement), {})
    yield "parity there", "; ".join(_words(asdict(out), PARITY) for out in result.parity)
    yield "parity here", _words({"SQNR": each.row.sqnr_db, "max_error": each.row.max_error}, PARITY)
    yield "validity", _validity(result)
    yield "environment", ", ".join(f"{name} {version}" for name, version in sorted(result.env.items()))
    yield "file", f"{each.row.folder}/{each.file}"


def _validity(result: Result) -> str:
    flags = {name: value for name, value in asdict(result.validity).items() if name != "reasons"}
    return _words(flags, {}) + ("; " + "; ".join(result.validity.reasons) if result.validity.reasons else "")


def _words(record: Mapping[str, Any], units: Units) -> str:
    """Return a record's values that are known, behind their names. units: another name, what one is, and its unit."""
    said = []
    for key, value in record.items():
        if value is None or value == ():
            continue
        name, one, unit = units.get(key, (key, None, ""))
        values = value if isinstance(value, tuple) else (value,)
        shown = " ".join(_shown(each if one is None else each / one) for each in values)
        said.append(f"{name.replace('_', ' ')} {shown}{unit}")
    return ", ".join(said)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == math.inf:
        return "exact"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _decibels(value: float | None) -> str:
    if value is None:
        return ""
    return "exact" if value == math.inf else f"{value:.1f}"


def _ms(microseconds: float | None, like: float | None = None) -> str:
    return "" if microseconds is None else figure(microseconds / 1e3, None if like is None else like / 1e3)
