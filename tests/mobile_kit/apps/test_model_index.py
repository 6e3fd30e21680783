"""The index of an app's models: names that every platform takes, and bounds from what verification found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.apps.model_index import folder_names, model_index
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.artifacts.verification import Check, read_report, write_report
from mobile_kit.errors import ArtifactError, UnsupportedError


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["b/digits/tflite-fp32"], ["digits-tflite-fp32"]),
        (["b/vit_msn-1.0/coreml"], ["vit_msn-1.0-coreml"]),
        # Android's tools leave out folders that begin so.
        (["_w/tflite", "..x/.y"], ["w-tflite", "x-y"]),
        (["a/m/x", "b/m/x", "c/M/x"], ["m-x", "m-x-2", "M-x-3"]),
        (["模/x", "型/x", "模/型"], ["x", "x-2", "model"]),
        (["a b/it's", "flat"], ["a-b-it-s", "flat"]),
    ],
)
def test_folders_have_names_that_every_platform_takes(paths: Sequence[str], names: Sequence[str]) -> None:
    assert folder_names([Path("/", path) for path in paths]) == names


def test_the_same_folder_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(UnsupportedError, match="is given twice"):
        folder_names([tmp_path / "a", tmp_path / "link"])


NOT_RUN = Check("parity", "not run", "runs on a device only")
FAILED = Check("finite", "failed", "some values")


def entry(artifact: Path, first: Mapping[str, Any] = {}, **changes: Any) -> dict[str, Any]:
    """The index's entry after changes of what verification found, and of its first output."""
    report = read_report(read_manifest(artifact))
    assert report is not None
    outputs = (replace(report.outputs[0], **first), *report.outputs[1:])
    write_report(replace(report, **{"outputs": outputs, **changes}), artifact)
    (found,) = model_index({"digits": read_manifest(artifact)})["models"]
    return dict(found)


@pytest.mark.parametrize(
    ("measured", "asked"), [(math.inf, 30.0), (128.0, 30.0), (33.0, 23.0), (12.0, 10.0), (39.96, 30.0), (31.57, 21.6)]
)
def test_as_much_is_asked_as_was_measured_but_for_a_margin(measured: float, asked: float, paper_artifact: Path) -> None:
    found = entry(paper_artifact, {"sqnr_db": measured, "max_error": 0.0 if measured == math.inf else 1e-6})
    assert found["least_sqnr_db"] == {"probabilities": asked, "logits": 30.0}
    assert found["title"] == "mobilevitv2-digits, paper fp32"


@pytest.mark.parametrize(("agreement", "asked"), [(1.0, 14.0), (0.999, 14.0), (0.99, 10.0)])
def test_a_map_of_classes_is_judged_by_its_pixels(agreement: float, asked: float, paper_artifact: Path) -> None:
    manifest = read_manifest(paper_artifact)
    probabilities, logits = manifest.record.outputs
    outputs = (replace(probabilities, dtype="int32"), logits)
    manifest = replace(manifest, record=replace(manifest.record, outputs=outputs))
    report = read_report(manifest)
    assert report is not None
    first, second = report.outputs
    judged = replace(first, max_error=None, sqnr_db=None, pixel_agreement=agreement)
    write_report(replace(report, outputs=(judged, second)), paper_artifact)
    (found,) = model_index({"digits": manifest})["models"]
    assert found["least_sqnr_db"]["probabilities"] == asked
    # 14 dB: 98 % of the pixels.
    assert -10 * math.log10(2 * (1 - 0.98)) == pytest.approx(14, abs=0.03)


@pytest.mark.parametrize(
    ("moved", "measured", "asked"), [(1.4, 128.0, 30.0), (0.01, 128.0, 43.0), (0.01, 42.0, 39.0), (0.0, 128.0, 30.0)]
)
def test_more_is_asked_where_swapped_colours_hardly_show(
    moved: float, measured: float, asked: float, paper_artifact: Path
) -> None:
    found = entry(paper_artifact, {"sqnr_db": measured}, canary={"probabilities": moved, "logits": 1.0})
    assert found["least_sqnr_db"] == {"probabilities": asked, "logits": 30.0}


def test_a_map_of_scores_is_judged_by_its_noise(paper_artifact: Path) -> None:
    assert entry(paper_artifact, {"sqnr_db": 36.0, "pixel_agreement": 0.9})["least_sqnr_db"]["probabilities"] == 26.0


def test_what_verification_left_alone_the_app_does_too(paper_artifact: Path) -> None:
    assert set(entry(paper_artifact, {"bounds": ()})["least_sqnr_db"]) == {"logits"}


def test_a_file_for_devices_alone_is_judged_there(paper_artifact: Path) -> None:
    assert entry(paper_artifact, checks=(NOT_RUN,), outputs=())["least_sqnr_db"] == {
        "probabilities": 30.0,
        "logits": 30.0,
    }


@pytest.mark.parametrize(
    ("first", "changes", "said"),
    [
        ({}, {"checks": (FAILED,)}, r"failed its verification: finite \(some values\)\. Bundle another\."),
        ({"passed": False}, {}, r"failed its verification: probabilities \(max error .*; wanted .*\)\. Bundle another"),
        ({"name": "scores"}, {}, r"verify\.json is of a file with other outputs\. Run: mobile-kit verify"),
        ({}, {"outputs": ()}, r"verify\.json is of a file with other outputs"),
    ],
)
def test_what_isnt_verified_is_refused(
    first: dict[str, Any], changes: dict[str, Any], said: str, paper_artifact: Path
) -> None:
    with pytest.raises(ArtifactError, match=said):
        entry(paper_artifact, first, **changes)


def test_equal_titles_are_told_apart(paper_artifact: Path) -> None:
    manifest = read_manifest(paper_artifact)
    models = model_index({"one": manifest, "two": replace(manifest)})["models"]
    assert [each["title"] for each in models] == [f"mobilevitv2-digits, paper fp32 ({name})" for name in ("one", "two")]
