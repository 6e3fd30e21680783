import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_kit.artifacts.manifest import Manifest, build_manifest, read_manifest, write_manifest
from mobile_kit.artifacts.manifest_record import GraphRecord, JudgedRecord, ManifestRecord, ModelRecord
from mobile_kit.errors import ArtifactError
from mobile_kit.models.spec import TensorSpec
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.quantization.recipes import recipe
from mobile_kit.records import to_values
from mobile_kit.target_api.interface import Fallback, Lowered
from tests.small_checkpoints import PROCESSOR

IMAGE = TensorSpec("image", (1, 64, 64, 3), "uint8", "NHWC", "image", "RGB", (0, 255))
LOGITS = TensorSpec("logits", (1, 5), "float32", "NK", "logits")
LABELS = ("apple", "birch, silver", "cédre", "daisy", "elder")
PREPROCESS = Preprocess.from_processor({**PROCESSOR, "do_normalize": True, "image_mean": 0.5, "image_std": 0.25}, 3)
MODEL = ModelRecord("mobilevitv2", "classification", "someone/model", None, None, (64, 64), 12345, 5, "softmax", False)
LOWERED = Lowered(
    recipe=recipe("fp32"),
    inputs=(IMAGE,),
    outputs=(LOGITS,),
    ops={"linear": 2, "conv": 7},
    partitions=1,
    fallback_ops=(Fallback("mean", 3, "no kernel"),),
    tools={"torch": "2.13.0"},
)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An artifact as the pipeline leaves it, with a package for a model file."""
    folder = tmp_path / "artifact"
    for name in ("model.mlpackage/Data", "golden/inputs", "golden/outputs"):
        (folder / name).mkdir(parents=True)
    (folder / "model.mlpackage/Data/weight.bin").write_bytes(b"weights")
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    np.arange(64 * 64 * 3, dtype=np.uint8).tofile(folder / "golden/inputs/image.bin")
    np.arange(5, dtype="<f4").tofile(folder / "golden/outputs/logits.bin")
    write_manifest(folder, manifest_of(folder))
    return folder


def manifest_of(folder: Path, lowered: Lowered = LOWERED) -> ManifestRecord:
    return build_manifest(
        model=MODEL,
        target="coreml",
        backend=None,
        model_file="model.mlpackage",
        preprocess=PREPROCESS,
        lowered=lowered,
        folder=folder,
        judged=JudgedRecord("drawn scenes", None, None, stored=True),
    )


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    edit(data)
    (folder / "manifest.json").write_text(json.dumps(data), encoding="utf-8")


def refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_manifest(folder)
    message = str(caught.value)
    assert message.startswith(f"artifact {folder}: ")
    assert "\n" not in message
    assert len(message) < 1000
    return message


def values_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = to_values(manifest_of(folder))
    return values


def write(folder: Path, values: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")


def test_what_is_written_is_what_is_read(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert manifest.record == manifest_of(artifact)
    assert manifest.inputs == (IMAGE,)
    assert manifest.outputs == (LOGITS,)
    assert manifest.preprocess == PREPROCESS
    assert manifest.model_path == artifact / "model.mlpackage"
    assert manifest.labels == LABELS
    assert manifest.in_graph
    assert np.array_equal(manifest.golden(manifest.record.outputs[0]), [[0, 1, 2, 3, 4]])
    assert manifest.golden(manifest.record.inputs[0]).shape == IMAGE.shape


def test_the_manifest_lists_every_file_but_itself_and_what_comes_after(artifact: Path) -> None:
    (artifact / "verify.json").write_text("{}", encoding="utf-8")
    (artifact / "profile-host.json").write_text("{}", encoding="utf-8")
    assert list(read_manifest(artifact).record.files) == [
        "golden/inputs/image.bin",
        "golden/outputs/logits.bin",
        "labels.txt",
        "model.mlpackage/Data/weight.bin",
    ]


def test_pixel_values_are_read_back_as_such(artifact: Path) -> None:
    values = TensorSpec("pixel_values", (1, 3, 64, 64), "float32", "NCHW", "pixel_values")
    lowered = Lowered(recipe("fp16"), (values,), (LOGITS,), {"conv": 1})
    (artifact / "golden/inputs/pixel_values.bin").write_bytes(bytes(4 * 3 * 64 * 64))
    write_manifest(artifact, manifest_of(artifact, lowered))
    manifest = read_manifest(artifact)
    assert manifest.inputs == (values,)
    assert not manifest.in_graph
    assert manifest.record.graph == GraphRecord({"conv": 1}, None, ())


def test_keys_are_sorted_and_the_same_build_gives_the_same_bytes(artifact: Path) -> None:
    text = (artifact / "manifest.json").read_text(encoding="utf-8")
    write_manifest(artifact, manifest_of(artifact))
    assert (artifact / "manifest.json").read_text(encoding="utf-8") == text
    data = json.loads(text)
    assert list(data) == sorted(data)
    assert list(data["graph"]["ops"]) == ["conv", "linear"]


def test_what_is_not_a_number_is_not_written(artifact: Path) -> None:
    record = manifest_of(artifact)
    strange = replace(record, preprocess=replace(record.preprocess, scale=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(artifact, strange)


def test_without_labels_there_are_none(artifact: Path) -> None:
    (artifact / "labels.txt").unlink()
    write_manifest(artifact, manifest_of(artifact))
    assert read_manifest(artifact).labels is None


def places(data: dict[str, Any]) -> list[tuple[str | int, ...]]:
    """The path of every key of the manifest's objects, those with free names left out."""
    found: list[tuple[str | int, ...]] = []

    def visit(node: Any, path: tuple[str | int, ...]) -> None:
        if isinstance(node, list):
            for index, child in enumerate(node):
                visit(child, (*path, index))
        if isinstance(node, dict) and path not in {("files",), ("tools",), ("graph", "ops"), ("preprocess", "resize")}:
            for key, child in node.items():
                found.append((*path, key))
                visit(child, (*path, key))

    visit(data, ())
    return found


def parent(data: dict[str, Any], path: tuple[str | int, ...]) -> Any:
    node: Any = data
    for part in path[:-1]:
        node = node[part]
    return node


def test_every_missing_key_is_refused_by_name(artifact: Path) -> None:
    whole = values_of(artifact)
    paths = places(whole)
    assert len(paths) > 50
    for path in paths:
        data = copy.deepcopy(whole)
        del parent(data, path)[path[-1]]
        write(artifact, data)
        message = refusal(artifact)
        assert str(path[-1]) in message or path == ("schema_version",)


def test_every_object_refuses_a_key_that_it_does_not_know(artifact: Path) -> None:
    whole = values_of(artifact)
    for path in {path[:-1] for path in places(whole)}:
        data = copy.deepcopy(whole)
        parent(data, (*path, ""))["surprise"] = 1
        write(artifact, data)
        message = refusal(artifact)
        assert "surprise" in message
        assert message.endswith("Export the model again.")


@pytest.mark.parametrize("version", [0, 3, "1", None, 1.0, 1.5, True])
def test_an_unknown_schema_version_is_refused(version: object, artifact: Path) -> None:
    change(artifact, lambda data: data.update(schema_version=version, future="key"))
    assert refusal(artifact).endswith(f"schema version {version!r} is unknown. Known: 1, 2. Update the kit.")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema_version": 1,}'])
def test_what_is_not_a_json_object_is_refused(content: bytes, artifact: Path) -> None:
    (artifact / "manifest.json").write_bytes(content)
    assert re.search(r"manifest\.json (can't be read|isn't a JSON object)", refusal(artifact))


@pytest.mark.parametrize("folder", ["nowhere", "artifact/golden"])
def test_a_folder_without_a_manifest_is_refused(folder: str, artifact: Path) -> None:
    assert "no manifest.json. Give a folder that `mobile-kit export` wrote." in refusal(artifact.parent / folder)


LISTED = ["golden/inputs/image.bin", "golden/outputs/logits.bin", "labels.txt", "model.mlpackage/Data/weight.bin"]


@pytest.mark.parametrize("name", LISTED)
def test_a_changed_file_is_refused_by_name(name: str, artifact: Path) -> None:
    content = bytearray((artifact / name).read_bytes())
    content[0] ^= 1
    (artifact / name).write_bytes(content)
    assert f"{name} has changed since the export" in refusal(artifact)


@pytest.mark.parametrize("name", LISTED)
def test_a_shortened_file_is_refused_by_name(name: str, artifact: Path) -> None:
    (artifact / name).write_bytes((artifact / name).read_bytes()[:-1])
    assert f"{name} has changed since the export" in refusal(artifact)


@pytest.mark.parametrize("name", LISTED)
def test_a_missing_file_is_refused_by_name(name: str, artifact: Path) -> None:
    (artifact / name).unlink()
    assert f"{name} is missing" in refusal(artifact)


def test_a_missing_model_is_refused_even_where_no_file_is_listed_for_it(artifact: Path) -> None:
    change(artifact, lambda data: data.update(model_file="model.pte"))
    assert "model.pte has no hash under files" in refusal(artifact)


OUTSIDE = ["../secret", "a/../../secret", "/etc/passwd", "..", "a\\..\\b", "", "a\n/../../secret", "a/\n"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_out_of_the_artifact_is_refused(path: str, artifact: Path) -> None:
    (artifact.parent / "secret").write_bytes(b"")
    record = {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    edits: tuple[Callable[[dict[str, Any]], object], ...] = (
        lambda data: data.update(model_file=path),
        lambda data: data["files"].update({path: record}),
        lambda data: data["inputs"][0].update(golden=path),
        lambda data: data["outputs"][0].update(golden=path),
    )
    for edit in edits:
        write_manifest(artifact, manifest_of(artifact))
        change(artifact, edit)
        assert "manifest.json at " in refusal(artifact)


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "a shape of zero": lambda data: data["inputs"][0].update(shape=[1, 0, 64, 3]),
    "an unknown dtype": lambda data: data["inputs"][0].update(dtype="float128"),
    "an unknown colour": lambda data: data["inputs"][0].update(color="CMYK"),
    "no inputs": lambda data: data.update(inputs=[]),
    "no outputs": lambda data: data.update(outputs=[]),
    "no files": lambda data: data.update(files={}),
    "an unknown meaning": lambda data: data["outputs"][0].update(meaning="boxes"),
    "a size of three": lambda data: data["model"].update(image_size=[64, 64, 3]),
    "no parameters": lambda data: data["model"].update(num_parameters=0),
    "an unknown rounding": lambda data: data["preprocess"].update(rounding="nearest"),
    "two ways to resize": lambda data: data["preprocess"].update(resize={"shortest_edge": 64, "height": 64}),
    "a resize to nothing": lambda data: data["preprocess"].update(resize={"shortest_edge": 0}),
    "no deviation": lambda data: data["preprocess"].update(std=[0.0]),
    "an unknown filter": lambda data: data["preprocess"].update(resample="nearest-exact"),
    "a hash that is none": lambda data: data["files"]["labels.txt"].update(sha256="x" * 64),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_that_the_schema_does_not_allow_is_refused(case: str, artifact: Path) -> None:
    change(artifact, WRONG[case])
    assert refusal(artifact).endswith("Export the model again.")


def test_a_golden_file_of_another_size_than_declared_is_refused(artifact: Path) -> None:
    change(artifact, lambda data: data["outputs"][0].update(shape=[1, 6]))
    manifest = read_manifest(artifact)
    with pytest.raises(ArtifactError, match=r"logits is declared as \[1, 6\], but its golden file holds 5 values"):
        manifest.golden(manifest.record.outputs[0])


def test_a_model_without_a_number_of_classes_names_none(artifact: Path) -> None:
    record = manifest_of(artifact)
    assert Manifest(artifact, record).num_classes == 5
    with pytest.raises(ArtifactError, match="has no number of classes"):
        _ = Manifest(artifact, replace(record, model=replace(MODEL, num_labels=None))).num_classes


def test_a_link_out_of_the_artifact_is_refused(artifact: Path) -> None:
    outside = (artifact / "labels.txt").rename(artifact.parent / "outside.txt")
    (artifact / "labels.txt").symlink_to(outside)
    assert "labels.txt is a link out of it" in refusal(artifact)


def test_labels_that_are_no_text_are_refused(artifact: Path) -> None:
    (artifact / "labels.txt").write_bytes(b"\xff")
    write_manifest(artifact, manifest_of(artifact))
    with pytest.raises(ArtifactError, match=r"labels\.txt isn't UTF-8 \(byte \d+\)\. Export the model again"):
        _ = read_manifest(artifact).labels
