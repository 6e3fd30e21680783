import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mobile_kit.errors import ArtifactError
from mobile_kit.measurements.latency import latency
from mobile_kit.measurements.result import (
    Config,
    DeviceInfo,
    Load,
    Memory,
    ModelInfo,
    Op,
    OutputDistance,
    Result,
    RunInfo,
    Thermal,
    Validity,
    read_results,
    schema,
    write_results,
)
from tests.schemas import allowed

RESULT = Result(
    run=RunInfo("one", "runner", "mobile-kit", "0.1.0", "2026-01-02T03:04:05Z"),
    model=ModelInfo("tflite-fp32", "vit_msn", "classification", "model", "tflite", None, "fp32", "00", 12),
    device=DeviceInfo("host", "host", emulated=False, os="Linux", cores=2),
    config=Config("XNNPACK", 2, (4, 5), runs=50, input="golden"),
    thermal=Thermal(40.5, 41.0, throttled=False),
    latency=latency([[1.0, 2.0], [3.0]], first=9.0),
    load=Load(1000.0, (10.0, 11.0)),
    memory=Memory(peak_bytes=5, range_bytes=(1, 2)),
    ops=(Op("conv", "CONV_2D", mean_us=3.0, module="stages.0"),),
    parity=(OutputDistance("logits", 1e-6, None, 1.0, None, "max error <= 1e-4 sigma", True),),
    validity=Validity(enough_runs=False, reasons=("3 calls, and 50 were asked for",)),
    env={"numpy": "2"},
)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    bare = Result(RunInfo("two", "imported", "tool"), ModelInfo("name"), DeviceInfo("phone", "adb"))
    write_results([RESULT, bare], tmp_path / "profile.json")
    assert read_results(tmp_path / "profile.json") == [RESULT, bare]
    first, second = json.loads((tmp_path / "profile.json").read_text())
    assert (first["validity"]["valid"], second["validity"]["valid"]) == (False, True)
    # Unknown is None, never 0.
    assert second["latency"]["p50"] is None
    assert second["memory"]["peak_bytes"] is None


def test_the_schema_is_that_of_version_1() -> None:
    written = json.loads((Path(__file__).parent / "data" / "result.schema.json").read_text())
    assert allowed(schema()) == allowed(written)
    Draft202012Validator(schema()).validate(RESULT.to_json())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda record: record["latency"].update(p50="fast"), "0/latency/p50"),
        (lambda record: record.pop("device"), "at 0: Object missing required field `device`"),
        (lambda record: record["run"].update(harness="guess"), "0/run/harness"),
        (lambda record: record.update(schema_version=2), "0/schema_version"),
        (lambda record: record.pop("schema_version"), "at 0: Object missing required field `schema_version`"),
        (lambda record: record["validity"].update(valid=True), "at 0/validity/valid: is True, and False follows"),
        (lambda record: record["latency"].update(p5O=1.0), "at 0/latency: has a key 'p5O' that isn't known"),
    ],
)
def test_what_is_no_result_is_refused_with_its_place(change: Any, place: str, tmp_path: Path) -> None:
    record = RESULT.to_json()
    change(record)
    (tmp_path / "profile.json").write_text(json.dumps([record]))
    with pytest.raises(ArtifactError, match=place):
        read_results(tmp_path / "profile.json")


@pytest.mark.parametrize("content", ["", "[", "\0"])
def test_what_is_no_json_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"can't be read .* Profile the artifact again"):
        read_results(tmp_path / "profile.json")


def test_a_result_is_valid_where_no_flag_says_no() -> None:
    assert Validity().valid
    assert Validity(enough_runs=True, parity_held=None).valid
    assert not Validity(parity_held=False).valid
    assert not Validity(reasons=("the link broke",)).valid
