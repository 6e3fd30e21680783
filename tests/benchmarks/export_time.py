"""Export with verification to all targets, against the converters alone on the same graphs."""

from pathlib import Path
from typing import Any

from tests.benchmarks.process import Conversion, Workshop
from tests.benchmarks.stock import CLASSIFIER, saved
from tests.benchmarks.table import Section, judged
from tests.benchmarks.timing import BusyMeter

__all__ = ["measure"]

# Target to the suffix of its file.
TARGETS = {"coreml": ".mlpackage", "executorch": ".pte", "tflite": ".tflite"}
ROUNDS = 2
# Part of the converters' time; issue 2, "What it must reach".
BOUND = 1.0


def measure(shop: Workshop) -> Section:
    """Time both in turns, in fresh processes, and keep the faster of each: the first one warms the disk's cache."""
    folder = Path(saved(CLASSIFIER, shop.scratch / "exported").source)
    modules = {target: shop.handed(target, folder) for target in TARGETS}
    exports: list[float] = []
    alone: dict[str, list[Conversion]] = {target: [] for target in TARGETS}
    busy = []
    for i in range(ROUNDS):
        meter = BusyMeter()
        for target, module in modules.items():
            alone[target].append(shop.convert(f"alone-{target}-{i}", target, module, TARGETS[target]))
        exports.append(shop.kit(f"export-{i}", "export", str(folder), "--out", str(shop.scratch / f"export-{i}")))
        busy.append(meter.cores())
    rows = [_alone(target, conversions) for target, conversions in alone.items()]
    return Section(
        name="export",
        title="Export time of MobileViTV2-1.0, fp32, all three targets",
        rows=[*rows, *_summed(rows, min(exports))],
        notes=_notes(busy),
        details={"export_s": exports, "alone_s": {t: [c.seconds for c in found] for t, found in alone.items()}},
    )


def _alone(target: str, conversions: list[Conversion]) -> dict[str, Any]:
    errors = [c.error for c in conversions if c.error is not None]
    return {
        "what": f"converter alone: {target}",
        "process s": None if errors else min(c.seconds for c in conversions),
        "without imports s": None if errors else min(c.convert_s for c in conversions if c.convert_s is not None),
        "note": errors[0] if errors else None,
    }


def _summed(rows: list[dict[str, Any]], export_s: float) -> list[dict[str, Any]]:
    whole, inner = (_sum(rows, column) for column in ("process s", "without imports s"))
    ratio = None if whole is None else export_s / whole
    return [
        {"what": "converters alone, one after another", "process s": whole, "without imports s": inner},
        {"what": "mobile-kit export, with verification", "process s": export_s},
        {"what": "ratio of the two", "ratio": ratio, **judged(ratio, at_most=BOUND)},
        {"what": "ratio to the converters without imports", "ratio": None if inner is None else export_s / inner},
    ]


def _sum(rows: list[dict[str, Any]], column: str) -> float | None:
    values = [row[column] for row in rows]
    return None if None in values else sum(values)


def _notes(busy: list[float | None]) -> list[str]:
    known = [cores for cores in busy if cores is not None]
    others = (
        f"Other processes used up to {max(known):.2f} cores meanwhile." if known else "Other load isn't known here."
    )
    return [
        "Each converter runs in a fresh process on the graph that the kit hands it (checkpoint already loaded); its "
        "time has Python's start and the toolchain's imports in it, as the export's has.",
        f"Best of {ROUNDS}. {others}",
    ]
