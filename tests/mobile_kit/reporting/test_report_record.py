"""report.json and its schema are one record."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from mobile_kit.records import to_values
from mobile_kit.reporting.report_record import report_record, schema
from mobile_kit.reporting.summary import summarize
from tests.schemas import allowed
from tests.surveys import BOARD, HOST, PHONE, profiled, quantized, surveyed


def test_the_schema_is_that_of_version_1() -> None:
    data = Path(__file__).parents[1]
    written = json.loads((data / "reporting/data/report.schema.json").read_text())
    result = json.loads((data / "measurements/data/result.schema.json").read_text())
    written["properties"]["results"]["items"]["properties"]["result"] = {"$ref": "#/$defs/result"}
    assert allowed(schema()) == allowed({**written, "$defs": {"result": result, **result.get("$defs", {})}})


@pytest.mark.usefixtures("paper_targets")
def test_a_report_is_what_its_schema_says(paper_artifact: Path) -> None:
    other = quantized(paper_artifact)
    for folder, ms in ((paper_artifact, 12.0), (other, 4.0)):
        profiled(folder, ms)
        profiled(folder, ms, device=BOARD)
    content = to_values(report_record(summarize([paper_artifact.parents[1]])))
    validator = Draft202012Validator(schema())
    validator.validate(content)
    assert content["comparisons"]
    # A result in it is held against the schema of results, too.
    content["results"][0]["result"]["latency"]["p50"] = "fast"
    (error,) = validator.iter_errors(content)
    assert list(error.absolute_path) == ["results", 0, "result", "latency", "p50"]


def test_a_made_up_survey_is_what_the_schema_says() -> None:
    Draft202012Validator(schema()).validate(to_values(report_record(surveyed(["one", "two"], [HOST, PHONE, BOARD]))))


def test_the_decibels_of_no_noise_are_null() -> None:
    found = surveyed(["one"], [HOST])
    lossless = replace(found, rows=tuple(replace(row, sqnr_db=math.inf) for row in found.rows))
    assert {row.sqnr_db for row in report_record(lossless).artifacts} == {None}
