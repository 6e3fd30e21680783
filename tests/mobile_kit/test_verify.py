import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from mobile_kit.errors import ArtifactError
from mobile_kit.manifest import read_manifest
from mobile_kit.scenes import scene
from mobile_kit.target import Array
from mobile_kit.verify import VerifyReport, failure, verify
from sample_apps.checkpoints.digits import held_out_views
from targets.tflite import TFLiteTarget
from targets.tflite.runtime import TFLiteRuntime
from tests.conftest import Answer
from tests.exports import DIGITS, Export
from tests.small_checkpoints import change_weights

Command = Callable[..., Answer]

FLOAT32 = ("coreml-fp32", "executorch-xnnpack-fp32", "tflite-fp32")
VERIFIED = (*FLOAT32, "coreml-fp16", "executorch-xnnpack-fp16", "tflite-fp16")
# How far red and blue swapped move the logits, in their standard deviations: another class. Measured 0.93.
CANARY = 0.5

each_target = pytest.mark.parametrize("name", FLOAT32)


@pytest.fixture
def copied(digits: Export, tmp_path: Path) -> Callable[[str], Path]:
    """Copy an artifact of the digits, to be damaged."""
    return lambda name: Path(shutil.copytree(digits[name], tmp_path / name))


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def refresh_hashes(folder: Path) -> None:
    """Let the manifest agree with what the files have become."""

    def change(data: dict[str, Any]) -> None:
        for name, record in data["files"].items():
            content = (folder / name).read_bytes()
            record.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    change_manifest(folder, change)


def change_one_weight(folder: Path) -> None:
    """Flip the sign of the largest weight of the first class, which lies in the file as it is in the checkpoint."""
    with safe_open(DIGITS / "model.safetensors", "np") as tensors:
        row = tensors.get_tensor("classifier.weight")[0].astype("<f4")
    changed = row.copy()
    changed[np.abs(row).argmax()] *= -1
    model = folder / read_manifest(folder).data["model_file"]
    files = [path for path in (model.rglob("*") if model.is_dir() else [model]) if path.is_file()]
    (holder,) = (path for path in files if row.tobytes() in path.read_bytes())
    holder.write_bytes(holder.read_bytes().replace(row.tobytes(), changed.tobytes()))


def assert_refused(answer: Answer, *expected: str) -> None:
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("mobile-kit: artifact ")
    for text in expected:
        assert text in line


def test_good_artifacts_pass(digits: Export, command: Command) -> None:
    answer = command("verify", *(digits[name] for name in VERIFIED), "--json")
    assert (answer.code, answer.err) == (0, "")
    reports = json.loads(answer.out)
    assert [report["artifact"] for report in reports] == list(VERIFIED)
    for report in reports:
        images = 13 if report["artifact"].endswith("fp16") else 1  # twelve scenes for 20 classes
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


def _set(role: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[role][0].update(values)


def _drop_output(data: dict[str, Any]) -> None:
    data["outputs"].pop()


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "shape of the input": _set("inputs", shape=[1, 3, 128, 128], layout="NCHW"),
    "shape of an output": _set("outputs", shape=[20, 1]),
    "dtype of the input": _set("inputs", dtype="int8"),
    "dtype of an output": _set("outputs", dtype="int32"),
    "name of the input": _set("inputs", name="picture"),
    "an output less": _drop_output,
}


# A .pte has no names of its own to be held against.
CASES = [(lie, name) for lie in LIES for name in FLOAT32 if (lie, name) != ("name of the input", FLOAT32[1])]


@pytest.mark.parametrize(("lie", "name"), CASES)
def test_a_manifest_that_lies_fails(lie: str, name: str, copied: Callable[[str], Path], command: Command) -> None:
    folder = copied(name)
    change_manifest(folder, LIES[lie])
    answer = command("verify", folder, "--json")
    assert answer.code == 1
    (report,) = json.loads(answer.out)
    assert report["status"] == "failed"
    assert {check["name"]: check["status"] for check in report["checks"]}["interface"] == "failed"
    assert "interface" in report["failure"]


# What an app reads in a manifest and the file itself doesn't say.
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "channel order": (lambda data: data["preprocess"].update(channel_order="RGB"), "channel_order 'RGB'"),
    "mean": (lambda data: data["preprocess"].update(mean=[5, 5, 5]), "mean [5, 5, 5]"),
    "channels": (lambda data: data["preprocess"].update(mean=[0, 0]), "mean [0, 0]"),
    "scale": (lambda data: data["preprocess"].update(scale=7), "scale 7"),
    "geometry": (lambda data: data["preprocess"]["resize"].update(shortest_edge=140), "resize"),
    "where the arithmetic is": (lambda data: data["preprocess"].update(in_graph=False), "in_graph False"),
    "colour": (_set("inputs", color="BGR"), "color 'BGR'"),
    "range": (_set("inputs", range=[0, 1]), "range [0, 1]"),
    "layout": (_set("inputs", layout="NCHW"), "layout 'NCHW'"),
    "image size": (lambda data: data["model"].update(image_size=[1, 1]), "image_size [1, 1]"),
    "classes": (lambda data: data["model"].update(num_labels=3), "num_labels 3"),
    "head": (lambda data: data["model"].update(head="segmentation"), "head 'segmentation'"),
    "meaning": (_set("outputs", meaning="features"), "meaning 'features'"),
    "size of an output": (_set("outputs", shape=[1, 21]), "21 classes"),
    "name of an output": (_set("outputs", name="scores"), "as exported"),
    "backend": (lambda data: data.update(backend="xnnpack"), "backend is 'xnnpack'"),
    "system": (lambda data: data.update(deployment_target="iOS99"), "deployment_target is 'iOS99'"),
    "bits": (lambda data: data["recipe"].update(weight_bits=16), "weight_bits 16"),
    "weights": (lambda data: data["model"].update(random_weights=True), "random_weights True"),
}


@pytest.mark.parametrize("lie", BROKEN)
def test_a_manifest_that_breaks_its_contract_fails(
    lie: str, copied: Callable[[str], Path], command: Command, tmp_path: Path
) -> None:
    folder = copied("tflite-fp32")
    change, expected = BROKEN[lie]
    change_manifest(folder, change)
    answer = command("verify", folder)
    assert answer.code == 1
    assert "contract: failed" in answer.out
    assert expected in answer.out
    photo = tmp_path / "photo.png"
    Image.fromarray(scene(3)).save(photo)
    assert_refused(command("predict", folder, photo), expected)


def _version_2(folder: Path) -> None:
    change_manifest(folder, lambda data: data.update(schema_version=2))


def _no_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def _no_key(folder: Path) -> None:
    change_manifest(folder, lambda data: data.pop("graph"))


def _no_golden(folder: Path) -> None:
    (folder / "golden" / "outputs" / "logits.bin").unlink()


def _no_model(folder: Path) -> None:
    (folder / "model.tflite").unlink()


def _no_half_yardstick(folder: Path) -> None:
    path = folder / "golden" / "oracle.json"
    content = json.loads(path.read_text())
    for record in content["yardsticks"].values():
        record["float16_sqnr_db"] = None
    path.write_text(json.dumps(content))
    refresh_hashes(folder)


def _torn_yardsticks(folder: Path) -> None:
    (folder / "golden" / "oracle.json").write_text("{}")
    refresh_hashes(folder)


DAMAGES: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "unknown schema version": (_version_2, ("schema version 2 is unknown", "Known: 1", "Update the kit")),
    "manifest that is no JSON": (_no_json, ("manifest.json isn't JSON",)),
    "manifest that lacks a key": (_no_key, ("'graph' is a required property",)),
    "missing golden file": (_no_golden, ("golden/outputs/logits.bin is missing",)),
    "missing model": (_no_model, ("model.tflite is missing",)),
    "missing yardstick": (_no_half_yardstick, ("lacks the float16 yardstick",)),
    "torn yardsticks": (_torn_yardsticks, ("golden/oracle.json can't be read",)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused(damage: str, copied: Callable[[str], Path], command: Command) -> None:
    folder = copied("tflite-fp16")
    harm, expected = DAMAGES[damage]
    harm(folder)
    assert_refused(command("verify", folder), str(folder), *expected)


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


@each_target
def test_labels_that_arent_the_file_s_are_noticed(name: str, copied: Callable[[str], Path], command: Command) -> None:
    folder = copied(name)
    labels = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels.txt").write_text("\n".join([*labels[:3], "moon", *labels[4:], ""]))
    refresh_hashes(folder)
    answer = command("verify", folder)
    assert answer.code == 1
    assert f"labels (class 3: file '{labels[3]}', labels.txt 'moon')" in answer.out.splitlines()[0]


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


class Changed(TFLiteRuntime):
    """LiteRT, with something done to what it computes."""

    change: Callable[[Mapping[str, Array], dict[str, Array]], dict[str, Array]]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return type(self).change(inputs, super().run(inputs))


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., dict[str, Array]]], None]:
    def install(change: Callable[..., dict[str, Array]]) -> None:
        monkeypatch.setattr(Changed, "change", staticmethod(change), raising=False)
        monkeypatch.setattr(TFLiteTarget, "load", lambda self, path, inputs, outputs: Changed(path))

    return install


def checks_of(report: VerifyReport) -> dict[str, str]:
    return {check.name: check.status for check in report.checks}


def test_a_blind_file_fails_even_where_it_is_right(changed: Callable[..., None], digits: Export) -> None:
    manifest = read_manifest(digits["tflite-fp32"])
    golden = {record["name"]: manifest.golden(record) for record in manifest.data["outputs"]}
    changed(lambda inputs, outputs: golden)
    report = verify(digits["tflite-fp32"])
    assert all(out.passed for out in report.outputs)
    assert checks_of(report)["sight"] == "failed"
    assert report.status == "failed"
    assert "another photo moves the outputs by at least 0 standard" in (failure(report) or "")


@pytest.mark.parametrize(("excess", "passes"), [(0.5, True), (2.0, False)])
def test_the_bound_is_where_it_is_said_to_be(
    excess: float, passes: bool, changed: Callable[..., None], digits: Export
) -> None:
    manifest = read_manifest(digits["tflite-fp32"])
    sigma = manifest.golden(manifest.data["outputs"][1]).std()

    def shift(inputs: Mapping[str, Array], outputs: dict[str, Array]) -> dict[str, Array]:
        return {**outputs, "logits": outputs["logits"] + np.float32(excess * 1e-4 * sigma)}

    changed(shift)
    report = verify(digits["tflite-fp32"])
    out = next(out for out in report.outputs if out.name == "logits")
    assert out.bound == "max error <= 0.0001 sigma"
    assert out.max_error == pytest.approx(excess * 1e-4, rel=0.1)
    assert (out.passed, report.status == "passed") == (passes, passes)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_isnt_finite_fails(value: float, changed: Callable[..., None], digits: Export, command: Command) -> None:
    changed(lambda inputs, outputs: {**outputs, "logits": np.full_like(outputs["logits"], value)})
    answer = command("verify", digits["tflite-fp16"], "--json")
    assert answer.code == 1
    (report,) = json.loads(answer.out)
    assert report["status"] == "failed"


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
