"""verify.json: what is written is read, and what contradicts itself is refused."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.verification import Bound, Check, OutputParity, VerifyReport, read_report, write_report
from mobile_kit.errors import ArtifactError

Change = Callable[[dict[str, Any]], None]
SEEN = Check("sight", "passed", "another photo moves the outputs")
OUTPUT = OutputParity(
    "logits", 1e-6, 110.0, None, 1.0, 1.0, 1.0, None, None, None, (Bound("max_error", 1e-4),), passed=True
)
REPORT = VerifyReport("tflite-fp32", "LiteRT", 1, (SEEN,), (OUTPUT,), {"logits": 1.2})


def read(folder: Path, version: int = 2) -> VerifyReport | None:
    """Read verify.json of an artifact of which only the folder and the version count."""
    return read_report(Manifest(folder, None, version))  # type: ignore[arg-type]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    write_report(REPORT, tmp_path)
    assert read(tmp_path) == REPORT
    assert (REPORT.status, REPORT.failure, REPORT.sqnr_db, REPORT.max_error) == ("passed", None, 110.0, 1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_error": 0.0, "sqnr_db": math.inf},
        {"max_error": math.inf, "sqnr_db": -math.inf, "passed": False},
        {"max_error": 0.5, "sqnr_db": math.nan, "passed": False},
    ],
)
def test_figures_that_are_not_finite_are_null_and_read_again(changes: dict[str, Any], tmp_path: Path) -> None:
    report = replace(REPORT, outputs=(replace(OUTPUT, **changes),))
    write_report(report, tmp_path)
    assert json.loads((tmp_path / "verify.json").read_text())["outputs"][0]["sqnr_db"] is None
    found = read(tmp_path)
    assert found is not None
    assert found.status == report.status
    assert found.outputs[0].sqnr_db == (math.inf if changes["passed" if "passed" in changes else "sqnr_db"] else None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(status="failed"), "at status: is 'failed', and 'passed' follows from the rest"),
        (lambda r: r.update(sqnr_db=1.0), "at sqnr_db: is 1.0, and 110.0 follows from the rest"),
        (lambda r: r.update(status="perfect"), "at status: Invalid enum value 'perfect'"),
        (lambda r: r["outputs"][0].pop("bounds"), "at outputs/0: Object missing required field `bounds`"),
        (lambda r: r.pop("canary"), "at top level: Object missing required field `canary`"),
        (lambda r: r["canary"].update(logits=-1), "at canary/...: Expected `float` >= 0.0"),
        (lambda r: r["outputs"][0].update(sqnr_db="high"), "at outputs/0/sqnr_db: Expected `float | null`, got `str`"),
    ],
)
def test_what_contradicts_itself_is_refused(change: Change, said: str, tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    record = json.loads((tmp_path / "verify.json").read_text())
    change(record)
    (tmp_path / "verify.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError) as caught:
        read(tmp_path)
    assert str(caught.value) == f"artifact {tmp_path}: verify.json {said}. Run: mobile-kit verify {tmp_path}"


def test_words_may_be_those_of_another_version(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    record = json.loads((tmp_path / "verify.json").read_text())
    record["outputs"][0]["bound"] = "at most a ten thousandth"
    (tmp_path / "verify.json").write_text(json.dumps(record))
    assert read(tmp_path) == REPORT


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "verify.json"
    {"folder": place.mkdir, "pipe": lambda: os.mkfifo(place), "link to nothing": lambda: place.symlink_to("no")}[kind]()
    with pytest.raises(ArtifactError, match=r"verify\.json can't be read \(.*\)\. Run: mobile-kit verify"):
        read(tmp_path)


def test_the_first_version_is_read_and_no_other_lacks_a_key(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path)
    record = json.loads((tmp_path / "verify.json").read_text())
    del record["outputs"][0]["label_agreement"], record["outputs"][0]["photo_sqnr_db"]
    (tmp_path / "verify.json").write_text(json.dumps(record))
    assert read(tmp_path, version=1) == REPORT
    with pytest.raises(
        ArtifactError, match=r"at outputs/0: Object missing required field `(label_agreement|photo_sqnr_db)`"
    ):
        read(tmp_path)
