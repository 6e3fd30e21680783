"""What report.json holds, key by key; its JSON Schema comes from here."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from mobile_kit.measurements.comparison import Verdict
from mobile_kit.measurements.result import Result
from mobile_kit.records import schema_of
from mobile_kit.reporting.summary import Row, Summary

__all__ = ["ComparisonRecord", "ReportRecord", "ResultRecord", "report_record", "schema"]


@dataclass(frozen=True)
class ResultRecord:
    """What was measured of an artifact. artifact: its folder. file: the results file in it."""

    artifact: str
    file: str
    result: Result


@dataclass(frozen=True)
class ComparisonRecord:
    """An artifact's latency to fp32's in the same run; see `Comparison`. artifact, base: their folders."""

    artifact: str
    base: str
    device: str
    run: str
    ratio: float
    interval: tuple[float, float]
    paired: bool
    verdict: Verdict


@dataclass(frozen=True)
class ReportRecord:
    """The whole of report.json."""

    schema_version: Literal[1]
    artifacts: tuple[Row, ...]
    results: tuple[ResultRecord, ...]
    comparisons: tuple[ComparisonRecord, ...]


def report_record(found: Summary) -> ReportRecord:
    """Return the record of what was found."""
    return ReportRecord(
        schema_version=1,
        artifacts=tuple(map(_finite, found.rows)),
        results=tuple(ResultRecord(each.row.folder, each.file, each.result) for each in found.measured),
        comparisons=tuple(_comparisons(found)),
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of report.json, with that of its results in it."""
    return schema_of(ReportRecord, "mobile_kit report of artifacts and what was measured of them")


def _finite(row: Row) -> Row:
    """JSON has no word for infinite decibels: null."""
    return replace(row, sqnr_db=None) if row.sqnr_db == math.inf else row


def _comparisons(found: Summary) -> Iterator[ComparisonRecord]:
    for each in found.measured:
        if each.base is not None and each.ratio is not None and each.row != each.base:
            yield ComparisonRecord(
                artifact=each.row.folder,
                base=each.base.folder,
                device=each.device,
                run=each.result.run.id,
                **vars(each.ratio),
            )
