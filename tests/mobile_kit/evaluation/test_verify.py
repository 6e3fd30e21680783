import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.artifacts.verification import VerifyReport
from mobile_kit.errors import ArtifactError
from mobile_kit.evaluation.verify import verify
from mobile_kit.models.spec import Array
from sample_apps.checkpoints.digits import held_out_views
from tests.conftest import Answer
from tests.damage import assert_refused, change_manifest, change_one_weight, refresh_hashes
from tests.exports import DIGITS, Export
from tests.small_checkpoints import change_weights

Command = Callable[..., Answer]

FLOAT32 = ("coreml-fp32", "executorch-xnnpack-fp32", "tflite-fp32")
VERIFIED = (*FLOAT32, "coreml-fp16", "executorch-xnnpack-fp16", "tflite-fp16")
# How far red and blue swapped move the logits, in their standard deviations: another class. Measured 0.93.
CANARY = 0.5

each_target = pytest.mark.parametrize("name", FLOAT32)


def test_good_artifacts_pass(digits: Export, command: Command) -> None:
    answer = command("verify", *(digits[name] for name in VERIFIED), "--json")
    assert (answer.code, answer.err) == (0, "")
    reports = json.loads(answer.out)
    assert [report["artifact"] for report in reports] == list(VERIFIED)
    for report in reports:
        images = 64 if report["artifact"].endswith("fp16") else 1  # 63 scenes for 20 classes
        assert (report["status"], report["failure"], report["images"]) == ("passed", None, images)
        assert report["runtime"]
        assert {check["status"] for check in report["checks"]} == {"passed"}
        assert {"preprocessing", "interface", "labels", "sight"} <= {check["name"] for check in report["checks"]}
        assert [out["name"] for out in report["outputs"]] == ["probabilities", "logits"]
        for out in report["outputs"]:
            assert out["passed"]
            assert (out["top1"], out["cosine"] > 0.999, out["pixel_agreement"]) == (1.0, True, None)
            assert out["bound"].startswith("max error <=" if report["artifact"].endswith("fp32") else "SQNR >=")
        assert report["canary"]["logits"] > CANARY
        written = json.loads((digits[report["artifact"]] / "verify.json").read_text())
        assert written == report


def test_people_get_lines(digits: Export, command: Command) -> None:
    answer = command("verify", digits["tflite-fp32"])
    first, *rest = answer.out.splitlines()
    assert first == f"{digits['tflite-fp32']}: passed"
    assert rest[0].startswith("  ran on LiteRT ")
    assert "  interface: passed, names, shapes and dtypes are those of the file" in rest
    assert any(line.startswith("  red and blue swapped: logits moves by ") for line in rest)


@each_target
def test_one_changed_weight_changes_the_hash(name: str, copied: Callable[[str], Path], command: Command) -> None:
    folder = copied(name)
    change_one_weight(folder)
    assert_refused(command("verify", folder), "has changed since the export", "Export the model again")


@each_target
def test_one_changed_weight_fails_parity(name: str, copied: Callable[[str], Path], command: Command) -> None:
    folder = copied(name)
    change_one_weight(folder)
    refresh_hashes(folder)
    answer = command("verify", folder, "--json")
    assert answer.code == 1
    (report,) = json.loads(answer.out)
    assert report["status"] == "failed"
    assert {out["name"]: out["passed"] for out in report["outputs"]}["logits"] is False
    assert "logits (max error" in report["failure"]
    assert json.loads((folder / "verify.json").read_text())["status"] == "failed"


def test_an_artifact_that_is_only_read_is_verified_all_the_same(
    copied: Callable[[str], Path], command: Command
) -> None:
    folder = copied("tflite-fp32")
    (folder / "verify.json").unlink()
    (folder / "verify.json").mkdir()
    answer = command("verify", folder)
    assert (answer.code, answer.out.splitlines()[0]) == (0, f"{folder}: passed")
    assert "verify.json can't be written" in answer.err


def test_a_folder_that_is_no_artifact_is_refused(tmp_path: Path, command: Command) -> None:
    assert_refused(command("verify", tmp_path), str(tmp_path), "no manifest.json", "mobile-kit export")


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """A folder with unseen digits, and a file that is none."""
    folder = tmp_path / "views"
    (folder / "deeper").mkdir(parents=True)
    for index, (image, _) in enumerate(held_out_views(6, seed=8, size_px=200)):
        Image.fromarray(image).save(folder / ("deeper" if index % 2 else "") / f"{index}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize("name", VERIFIED)
def test_a_folder_of_images_is_compared_too(
    name: str, views: Path, copied: Callable[[str], Path], command: Command
) -> None:
    answer = command("verify", copied(name), "--images", views, "--checkpoint", DIGITS, "--json")
    assert (answer.code, answer.err) == (0, "")
    (report,) = json.loads(answer.out)
    assert (report["status"], report["images"]) == ("passed", 7)
    for out in report["outputs"]:
        assert out["top1"] == 1.0
        assert out["top5"] > 0.9


def test_another_checkpoint_than_the_exported_one_is_noticed(
    views: Path, copied: Callable[[str], Path], tmp_path: Path, command: Command
) -> None:
    other = Path(shutil.copytree(DIGITS, tmp_path / "other"))
    with safe_open(other / "model.safetensors", "pt") as tensors:
        weight = tensors.get_tensor("classifier.weight")
    change_weights(other, classifier__weight=weight * 1.01)
    folder = copied("tflite-fp32")
    for images in ((), ("--images", views)):
        answer = command("verify", folder, "--checkpoint", other, *images)
        assert answer.code == 1
        assert "not the checkpoint that was exported" in answer.out.splitlines()[0]
        assert command("verify", folder, "--checkpoint", DIGITS).code == 0


def test_without_its_checkpoint_an_artifact_is_verified_but_for_images(
    views: Path, copied: Callable[[str], Path], command: Command
) -> None:
    folder = copied("tflite-fp32")
    assert command("verify", folder).code == 0
    answer = command("verify", folder, "--images", views)
    assert (answer.code, answer.out) == (1, "")
    assert "was exported from the folder 'mobilevitv2-digits'" in answer.err
    assert "--checkpoint" in answer.err


def test_each_artifact_is_looked_at_whatever_the_others_are(
    copied: Callable[[str], Path], tmp_path: Path, command: Command
) -> None:
    answer = command("verify", tmp_path / "nowhere", copied("tflite-fp32"))
    assert answer.code == 1
    assert answer.out.splitlines()[0].endswith("tflite-fp32: passed")
    assert "nowhere" in answer.err


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG torn"])
def test_bad_images_are_refused(content: bytes | None, tmp_path: Path, digits: Export, command: Command) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    if content is not None:
        (folder / "torn.png").write_bytes(content)
    answer = command("verify", digits["tflite-fp32"], "--images", folder, "--checkpoint", DIGITS)
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert ("holds no image" if content is None else "torn.png: can't be decoded") in line


def test_what_only_runs_on_a_device_is_not_called_passed(delegates: Export, command: Command) -> None:
    answer = command("verify", delegates["executorch-coreml-fp16"], "--json")
    (report,) = json.loads(answer.out)
    assert (answer.code, report["status"], report["runtime"], report["outputs"]) == (1, "not run", None, [])
    assert report["failure"] == "ExecuTorch's coreml delegate runs on a device only"


@pytest.mark.parametrize("name", ["segmentation", "mask", "segmenter"])
def test_maps_are_compared_by_pixels(name: str, request: pytest.FixtureRequest) -> None:
    report = verify(request.getfixturevalue(name)["tflite-fp32"])
    (out,) = report.outputs
    assert report.status == "passed"
    assert (out.top1, out.top5) == (None, None)
    assert out.pixel_agreement is not None
    assert out.pixel_agreement >= 0.999
    assert out.mean_iou is not None
    assert out.mean_iou > 0.99
    assert (out.sqnr_db is None) == (name == "mask")
    assert out.bound.startswith("pixel agreement >=" if name == "mask" else "max error <=")


def test_a_gray_file_has_no_colours_to_swap(odd: Export) -> None:
    assert verify(odd["tflite-fp32"]).canary == {}


@pytest.mark.parametrize(("excess", "passes"), [(0.5, True), (2.0, False)])
def test_the_bound_is_where_it_is_said_to_be(
    excess: float, passes: bool, changed: Callable[..., None], digits: Export
) -> None:
    manifest = read_manifest(digits["tflite-fp32"])
    sigma = manifest.golden(manifest.record.outputs[1]).std()

    def shift(inputs: Mapping[str, Array], outputs: dict[str, Array]) -> dict[str, Array]:
        return {**outputs, "logits": outputs["logits"] + np.float32(excess * 1e-4 * sigma)}

    changed(shift)
    report = verify(digits["tflite-fp32"])
    out = next(out for out in report.outputs if out.name == "logits")
    assert out.bound == "max error <= 0.0001 sigma"
    assert out.max_error == pytest.approx(excess * 1e-4, rel=0.1)
    assert (out.passed, report.status == "passed") == (passes, passes)


def test_a_manifest_s_target_must_be_known(copied: Callable[[str], Path], command: Command) -> None:
    folder = copied("tflite-fp32")
    change_manifest(folder, lambda data: data.update(target="toaster"))
    answer = command("verify", folder)
    assert (answer.code, answer.out) == (1, "")
    assert "target 'toaster': unknown. Known: coreml, executorch, tflite." in answer.err


def test_a_report_without_parity_is_not_run() -> None:
    report = VerifyReport("artifact", None, 0, ())
    assert report.status == "not run"
    assert report.to_json()["outputs"] == []


def test_an_artifact_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        verify(tmp_path / "nowhere")
