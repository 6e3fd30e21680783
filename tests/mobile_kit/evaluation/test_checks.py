import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.artifacts.verification import VerifyReport
from mobile_kit.evaluation.verify import verify
from mobile_kit.models.spec import Array
from mobile_kit.preprocessing.synthetic_images import scene
from tests.conftest import Answer
from tests.damage import assert_refused, change_manifest, refresh_hashes
from tests.exports import Export
from tests.small_families import HIERA

Command = Callable[..., Answer]

FLOAT32 = ("coreml-fp32", "executorch-xnnpack-fp32", "tflite-fp32")


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
    "mean": (lambda data: data["preprocess"].update(mean=[5, 5, 5]), "mean [5.0, 5.0, 5.0]"),
    "channels": (lambda data: data["preprocess"].update(mean=[0, 0]), "mean [0.0, 0.0]"),
    "scale": (lambda data: data["preprocess"].update(scale=7), "scale 7"),
    "geometry": (lambda data: data["preprocess"]["resize"].update(shortest_edge=140), "resize"),
    "where the arithmetic is": (lambda data: data["preprocess"].update(in_graph=False), "in_graph False"),
    "colour": (_set("inputs", color="BGR"), "color 'BGR'"),
    "range": (_set("inputs", range=[0, 1]), "range [0.0, 1.0]"),
    "layout": (_set("inputs", layout="NCHW"), "layout 'NCHW'"),
    "image size": (lambda data: data["model"].update(image_size=[1, 1]), "image_size [1, 1]"),
    "classes": (lambda data: data["model"].update(num_labels=3), "num_labels 3"),
    "head": (lambda data: data["model"].update(head="segmentation"), "head 'segmentation'"),
    "meaning": (_set("outputs", meaning="features"), "meaning 'features'"),
    "size of an output": (_set("outputs", shape=[1, 21]), "shape [1, 21]"),
    "layout of an output": (_set("outputs", layout="NC"), "layout 'NC'"),
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


def _version_3(folder: Path) -> None:
    change_manifest(folder, lambda data: data.update(schema_version=3))


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
    "unknown schema version": (_version_3, ("schema version 3 is unknown", "Known: 1, 2", "Update the kit")),
    "manifest that is no JSON": (_no_json, ("manifest.json can't be read",)),
    "manifest that lacks a key": (_no_key, ("manifest.json at top level: Object missing required field `graph`",)),
    "missing golden file": (_no_golden, ("golden/outputs/logits.bin is missing",)),
    "missing model": (_no_model, ("model.tflite is missing",)),
    "missing yardstick": (_no_half_yardstick, ("lacks the float16 yardstick",)),
    "torn yardsticks": (_torn_yardsticks, ("golden/oracle.json at top level: Object missing required field",)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused(damage: str, copied: Callable[[str], Path], command: Command) -> None:
    folder = copied("tflite-fp16")
    harm, expected = DAMAGES[damage]
    harm(folder)
    assert_refused(command("verify", folder), str(folder), *expected)


@pytest.mark.parametrize("name", FLOAT32)
def test_labels_that_arent_the_file_s_are_noticed(name: str, copied: Callable[[str], Path], command: Command) -> None:
    folder = copied(name)
    labels = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels.txt").write_text("\n".join([*labels[:3], "moon", *labels[4:], ""]))
    refresh_hashes(folder)
    answer = command("verify", folder)
    assert answer.code == 1
    assert f"labels (class 3: file '{labels[3]}', labels.txt 'moon')" in answer.out.splitlines()[0]


def checks_of(report: VerifyReport) -> dict[str, str]:
    return {check.name: check.status for check in report.checks}


def test_a_blind_file_fails_even_where_it_is_right(changed: Callable[..., None], digits: Export) -> None:
    manifest = read_manifest(digits["tflite-fp32"])
    golden = {record.name: manifest.golden(record) for record in manifest.record.outputs}
    changed(lambda inputs, outputs: golden)
    report = verify(digits["tflite-fp32"])
    assert all(out.passed for out in report.outputs)
    assert checks_of(report)["sight"] == "failed"
    assert report.status == "failed"
    assert "another photo moves the outputs by at least 0 standard" in (report.failure or "")


def half_softmax(logits: Array) -> Array:
    """As a kernel computes it that has float16 for its sums too."""
    powers = np.exp((logits - logits.max(-1, keepdims=True)).astype(np.float16))
    total = np.float16(0)
    for power in powers[0]:
        total += power
    return (powers * np.float16(1 / total)).astype(np.float32)


def test_a_softmax_in_half_precision_fails_though_the_oracle_is_as_near(
    changed: Callable[..., None], digits: Export
) -> None:
    good = verify(digits["tflite-fp16"])
    changed(lambda inputs, outputs: {**outputs, "probabilities": half_softmax(outputs["logits"])})
    report = verify(digits["tflite-fp16"])
    assert (checks_of(good)["probabilities"], checks_of(report)["probabilities"]) == ("passed", "failed")
    assert all(out.passed for out in report.outputs)
    assert report.status == "failed"
    assert "dB from the softmax of the file's logits" in (report.failure or "")


@pytest.mark.usefixtures("paper_targets")
def test_an_attention_over_a_single_token_may_stand_still(tmp_path: Path, command: Command) -> None:
    model = HIERA.model("base", (32, 32), {"image_size": [32, 32], "depths": [1, 1, 1, 2]})
    folder = HIERA.save(model, tmp_path / "hiera")
    size = ("--image-size", "32x32")
    answer = command("export", folder, "--out", tmp_path, "--target", "paper", *size, "--outputs", "attentions")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_isnt_finite_fails(value: float, changed: Callable[..., None], digits: Export, command: Command) -> None:
    changed(lambda inputs, outputs: {**outputs, "logits": np.full_like(outputs["logits"], value)})
    answer = command("verify", digits["tflite-fp16"], "--json")
    assert answer.code == 1
    (report,) = json.loads(answer.out)
    assert report["status"] == "failed"
