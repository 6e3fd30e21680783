"""Export with verification to all targets, against the converters alone on the same graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.profiling.machine_load import QUIET_CORES, BusyMeter
from tests.benchmarks.process import Conversion, Spent, Workshop
from tests.benchmarks.stock import CLASSIFIER, saved
from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

# Target to the suffix of its file.
TARGETS = {"coreml": ".mlpackage", "executorch": ".pte", "tflite": ".tflite"}
ROUNDS, TRIES = 2, 4
# Part of the converters' time.
BOUND = 1.0


@dataclass(frozen=True)
class _Round:
    """Each converter once, and the export once. others: cores that other processes used, None where unknown."""

    alone: dict[str, Conversion]
    export: Spent
    others: float | None

    @property
    def quiet(self) -> bool:
        """Whether the round had the machine for itself."""
        return self.others is None or self.others < QUIET_CORES


def measure(shop: Workshop) -> Section:
    """Time both in turns, in fresh processes, and keep the faster of each: the first round warms the disk's cache."""
    folder = shop.scratch / "exported"
    saved(CLASSIFIER, folder)
    modules = {target: shop.handed(target, folder) for target in TARGETS}
    rounds: list[_Round] = []
    while sum(done.quiet for done in rounds) < ROUNDS and len(rounds) < TRIES:
        rounds.append(_round(shop, folder, modules, len(rounds)))
    counted = [done for done in rounds if done.quiet]
    kept = counted or rounds
    rows = [_alone(target, [done.alone[target] for done in kept]) for target in TARGETS]
    return Section(
        name="export",
        title="Export time of MobileViTV2-1.0, fp32, all three targets",
        rows=[*rows, *_summed(rows, [done.export for done in kept], bool(counted))],
        notes=_notes(rounds, len(counted)),
        details={
            "export_s": [done.export.seconds for done in rounds],
            "alone_s": {t: [done.alone[t].spent.seconds for done in rounds] for t in TARGETS},
            "others_cores": [done.others for done in rounds],
        },
    )


def _round(shop: Workshop, folder: Path, modules: dict[str, Path], number: int) -> _Round:
    meter = BusyMeter()
    alone = {
        target: shop.convert(f"alone-{target}-{number}", target, module, TARGETS[target])
        for target, module in modules.items()
    }
    name = f"export-{number}"
    export = shop.kit(name, "export", str(folder), "--out", str(shop.scratch / name))
    return _Round(alone, export, meter.cores())


def _alone(target: str, conversions: Sequence[Conversion]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("what", "seconds", "without imports s", "CPU s"))
    row["what"] = f"converter alone: {target}"
    for conversion in conversions:
        if conversion.error is not None:
            return {**row, "note": conversion.error}
    return row | {
        "seconds": min(c.spent.seconds for c in conversions),
        "without imports s": min(c.convert_s for c in conversions if c.convert_s is not None),
        "CPU s": min(c.spent.cpu_s for c in conversions),
    }


def _summed(rows: list[dict[str, Any]], exports: Sequence[Spent], quiet: bool) -> list[dict[str, Any]]:
    whole, inner, cpu = (_sum(rows, column) for column in ("seconds", "without imports s", "CPU s"))
    export_s, export_cpu = min(spent.seconds for spent in exports), min(spent.cpu_s for spent in exports)
    ratio = None if whole is None else export_s / whole
    return [
        {"what": "converters alone, one after another", "seconds": whole, "without imports s": inner, "CPU s": cpu},
        {"what": "mobile-kit export, with verification", "seconds": export_s, "CPU s": export_cpu},
        {"what": "ratio", "ratio": ratio, **judged(ratio if quiet else None, at_most=BOUND)},
        {"what": "ratio to the converters without imports", "ratio": None if inner is None else export_s / inner},
        {"what": "ratio of CPU time", "ratio": None if cpu is None else export_cpu / cpu},
    ]


def _sum(rows: list[dict[str, Any]], column: str) -> float | None:
    values = [row[column] for row in rows]
    return None if None in values else sum(values)


def _notes(rounds: list[_Round], quiet: int) -> list[str]:
    kept = f"Best of {quiet} rounds that had the machine for themselves, of {len(rounds)}."
    busy = f"Nothing is decided: other processes used the machine in all {len(rounds)} rounds. Best of them."
    return [
        "Each converter runs in a fresh process on the graph that the kit hands it (checkpoint already loaded); its "
        "time has Python's start and the toolchain's imports in it, as the export's has.",
        kept if quiet else busy,
    ]
