"""What is read of artifacts and their results, on files that need no toolchain."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.measurements.result import DeviceInfo, Validity, write_results
from mobile_kit.reporting.report_record import report_record
from mobile_kit.reporting.summary import device_label, summarize, why_not_comparable
from tests.surveys import BOARD, HOST, PHONE, profiled, quantized

pytestmark = pytest.mark.usefixtures("paper_targets")
# A phone of the same model.
OTHER_PHONE = replace(PHONE, name="adb:R9ZZ")
SLUG = "mobilevitv2-digits"


def ratios(folder: Path) -> list[float | None]:
    return [None if each.ratio is None else each.ratio.ratio for each in summarize([folder]).measured]


def test_latencies_of_one_run_are_compared(paper_artifact: Path) -> None:
    other = quantized(paper_artifact)
    profiled(paper_artifact, 12.0)
    profiled(other, 4.0)
    assert ratios(paper_artifact.parents[1]) == [1, pytest.approx(1 / 3)]
    # Another run's figures can't be compared.
    profiled(other, 4.0, run="two")
    assert ratios(paper_artifact.parents[1]) == [1, None]


@pytest.mark.parametrize("which", ["base", "other"])
def test_what_is_emulated_or_not_valid_is_compared_with_nothing(which: str, paper_artifact: Path) -> None:
    other = quantized(paper_artifact)
    for device, undisturbed in ((BOARD, True), (PHONE, False)):
        profiled(paper_artifact, 12.0, device=device, undisturbed=undisturbed or which == "other")
        profiled(other, 4.0, device=device, undisturbed=undisturbed or which == "base")
    found = summarize([paper_artifact.parents[1]])
    assert len(found.measured) == 4
    assert all(each.ratio is None for each in found.measured if each.row.recipe != "fp32")
    assert report_record(found).comparisons == ()


def test_each_device_is_compared_with_itself(paper_artifact: Path) -> None:
    other = quantized(paper_artifact)
    for device, ms in ((HOST, 10.0), (PHONE, 20.0), (OTHER_PHONE, 40.0)):
        profiled(paper_artifact, ms, device=device)
        profiled(other, ms / 2, device=device)
    found = report_record(summarize([paper_artifact.parents[1]]))
    assert {each.device: each.ratio for each in found.comparisons} == {
        "host": 0.5,
        "Pixel 8 (adb:R5CT)": 0.5,
        "Pixel 8 (adb:R9ZZ)": 0.5,
    }


def test_figures_without_single_calls_have_no_ratio(paper_artifact: Path) -> None:
    profiled(paper_artifact, 12.0)
    profiled(quantized(paper_artifact), 4.0, single=False)
    assert ratios(paper_artifact.parents[1]) == [1, None]


def test_calls_that_took_no_time_have_no_ratio(paper_artifact: Path) -> None:
    found = profiled(paper_artifact, 12.0)
    silent = replace(found, latency=replace(found.latency, samples=((0.0,) * 5,) * 10))
    write_results([silent], quantized(paper_artifact) / profile_name("host"))
    assert ratios(paper_artifact.parents[1]) == [1, None]


@pytest.mark.parametrize(
    ("target", "backend", "reason"),
    [
        ("coreml", None, "only a Mac or a phone runs it"),
        ("executorch", "vulkan", "ExecuTorch's vulkan delegate runs on a device only"),
        ("a target of nobody", None, None),
    ],
)
def test_why_an_artifact_is_not_timed_is_said_where_it_is_known(
    target: str, backend: str | None, reason: str | None, paper_artifact: Path
) -> None:
    other = quantized(paper_artifact, target=target, backend=backend)
    found = summarize([paper_artifact.parents[1]])
    rows = {row.name: row.untimed for row in found.rows}
    assert rows == {paper_artifact.name: None, other.name: reason}


def test_artifacts_of_several_folders_are_one_model_s_where_they_are_of_one_folder(paper_artifact: Path) -> None:
    other = quantized(paper_artifact)
    profiled(paper_artifact, 12.0)
    profiled(other, 4.0)
    # Given one by one, twice, and within one another.
    for folders in ([paper_artifact, other], [other, paper_artifact, other], [paper_artifact.parent, paper_artifact]):
        found = summarize(folders)
        assert {(row.model, row.folder) for row in found.rows} == {
            (SLUG, paper_artifact.name),
            (SLUG, other.name),
        }
        assert len(report_record(found).comparisons) == 1


def test_one_artifact_is_named_after_its_folders(paper_artifact: Path) -> None:
    (row,) = summarize([paper_artifact]).rows
    assert (row.model, row.folder) == (SLUG, paper_artifact.name)


def test_a_device_s_words_stay_on_their_line() -> None:
    assert device_label(DeviceInfo("adb:1", "adb", model="a\x1b[2J\nb")) == "a [2J b (adb:1)"


def test_doubt_is_told_in_words(paper_artifact: Path) -> None:
    found = profiled(paper_artifact, 12.0)
    assert why_not_comparable(found) is None
    assert (
        why_not_comparable(replace(found, device=BOARD))
        == "its device is emulated, whose time says nothing of a device's"
    )
    assert why_not_comparable(replace(found, validity=Validity(completed=False))) == "it isn't valid: a check says no"


def test_a_package_s_own_manifest_is_none_of_ours(paper_artifact: Path) -> None:
    inner = paper_artifact / "model.mlpackage" / "manifest.json"
    inner.parent.mkdir()
    inner.write_text(json.dumps({}))
    assert len(summarize([paper_artifact.parents[1]]).rows) == 1
