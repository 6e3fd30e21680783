"""A checkpoint that TensorFlow's own CvT class wrote (data/tf_cvt/make.py) computes here what it computed there."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import huggingface_hub
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mobile_kit.checkpoints.load import load
from mobile_kit.errors import CheckpointError, MissingToolError
from mobile_kit.measurements.metrics import distance
from mobile_kit.models.cvt import FAMILY
from tests.small_checkpoints import change_json

DATA = Path(__file__).with_name("data") / "tf_cvt"
# In standard deviations of the output. Measured: 3e-6 at most.
BOUND = 1e-4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of TensorFlow's checkpoint, to be damaged."""
    copy = tmp_path / "cvt"
    copy.mkdir()
    for name in ("config.json", "preprocessor_config.json", "tf_model.h5"):
        shutil.copy(DATA / name, copy)
    return copy


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[np.float32]]:
    with np.load(DATA / "expected.npz") as arrays:
        return dict(arrays)


def refusal(folder: Path, kind: type[Exception] = CheckpointError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        load(str(folder), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("model ")
    return message


def change(folder: Path, edit: Callable[[Any], None]) -> None:
    with h5py.File(folder / "tf_model.h5", "r+") as file:
        edit(file)


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_a_pickle_that_may_be_read_comes_first(allow_pickle: bool, folder: Path) -> None:
    model = load(str(folder)).model
    tensors = {**model.state_dict(), "classifier.bias": model.classifier.bias + 1}
    torch.save(tensors, folder / "pytorch_model.bin")
    moved = load(str(folder), allow_pickle=allow_pickle).model.classifier.bias - model.classifier.bias
    assert torch.allclose(moved, torch.full_like(moved, float(allow_pickle)))


@pytest.mark.parametrize("name", ["logits", "last_hidden_state", "cls_token_value"])
def test_the_two_inputs_differ_in_what_tensorflow_computes(name: str, expected: dict[str, Any]) -> None:
    first, second = expected[name]
    assert np.sqrt(np.mean((first - second) ** 2)) >= 0.1 * expected[name].std()


@pytest.mark.parametrize(
    ("head", "names"),
    [(None, ["logits"]), ("classification", ["logits"]), ("base", ["last_hidden_state", "cls_token_value"])],
)
def test_computes_what_tensorflow_computed(head: str | None, names: list[str], expected: dict[str, Any]) -> None:
    checkpoint = load(str(DATA), head=head)
    assert checkpoint.head.outputs == tuple(names)
    with torch.no_grad():
        raw = checkpoint.model(torch.from_numpy(expected["pixel_values"]))
    ours = FAMILY.build(checkpoint.model, checkpoint.head.name, checkpoint.image_size, ())
    for name in names:
        assert distance(raw[name].numpy(), expected[name]) <= BOUND
    for index in range(2):
        with torch.no_grad():
            outputs = ours(torch.from_numpy(expected["pixel_values"][index : index + 1]))
        for name, output in zip(names, outputs, strict=True):
            assert distance(output.numpy(), expected[name][index : index + 1]) <= BOUND


def test_its_labels_and_processor_are_read_as_ever() -> None:
    checkpoint = load(str(DATA))
    assert checkpoint.image_size == (32, 32)
    assert checkpoint.preprocess.mean == (0.485, 0.456, 0.406)
    assert list(checkpoint.model.config.id2label.values()) == ["apple", "birch", "cedar", "daisy", "elder"]


def test_safetensors_are_preferred(folder: Path) -> None:
    model = load(str(folder)).model
    model.classifier.bias.data += 1
    model.save_pretrained(folder)
    assert torch.equal(load(str(folder)).model.classifier.bias, model.classifier.bias)


def test_the_class_token_of_another_stage_has_the_name_of_stage_2_in_tensorflow() -> None:
    config = type("Config", (), {"cls_token": [False, True]})()
    assert FAMILY.tensorflow is not None
    assert FAMILY.tensorflow("cvt.encoder.stages.2.cls_token", config) == "cvt.encoder.stages.1.cls_token"
    assert FAMILY.tensorflow("cvt.encoder.stages.0.x.kernel", config) == "cvt.encoder.stages.0.x.kernel"


KERNEL = "classifier/tf_cvt_for_image_classification/classifier/kernel:0"
LAST_STAGE = "cvt/cvt.encoder.stages.2.cls_token:0"


def test_a_missing_tensor_is_refused_by_name(folder: Path) -> None:
    change(folder, lambda file: file.__delitem__(KERNEL))
    assert "its weights lack classifier.weight, which the classification head needs" in refusal(folder)
    assert load(str(folder), head="base").head.name == "base"
    change(folder, lambda file: file.__delitem__(LAST_STAGE))
    assert "its weights lack encoder.stages.2.cls_token" in refusal(folder, head="base")


def test_a_tensor_without_a_place_is_refused_by_name(folder: Path) -> None:
    place = "cvt/tf_cvt_for_image_classification/cvt/encoder/stages.2/layers.3/layernorm_after/gamma:0"
    change(folder, lambda file: file.create_dataset(place, data=np.ones(12, np.float32)))
    assert "hold cvt.encoder.stages.2.layers.3.layernorm_after.weight, for which" in refusal(folder)


def test_a_tensor_of_another_shape_is_refused_by_name(folder: Path) -> None:
    def widen(file: Any) -> None:
        del file[KERNEL]
        file.create_dataset(KERNEL, data=np.ones((12, 7), np.float32))

    change(folder, widen)
    assert "tensor classifier.weight is 7x12, but its config asks for 5x12" in refusal(folder)


def test_a_file_of_another_family_is_refused(folder: Path) -> None:
    (folder / "tf_model.h5").unlink()
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.create_dataset("vit/tf_vi_t_model/vit/embeddings/cls_token:0", data=np.ones((1, 1, 8), np.float32))
    assert refusal(folder).endswith(
        "tf_model.h5 holds tensors of vit, and cvt's are of cvt. Give the config that belongs to the weights."
    )


def test_a_family_that_had_no_tensorflow_classes_is_refused(classifier_folder: Path) -> None:
    (classifier_folder / "model.safetensors").unlink()
    shutil.copy(DATA / "tf_model.h5", classifier_folder)
    assert "Hugging Face had no TensorFlow classes of mobilevitv2" in refusal(classifier_folder)


def test_a_file_that_holds_text_is_refused(folder: Path) -> None:
    with h5py.File(folder / "tf_model.h5", "a") as file:
        file["cvt/words:0"] = "none"
    assert "cvt/words:0 in tf_model.h5 holds no floating-point numbers" in refusal(folder)


def test_a_file_that_holds_nothing_under_a_name_is_refused(folder: Path) -> None:
    with h5py.File(folder / "tf_model.h5", "a") as file:
        file["cvt/tf/cvt/kernel:0"] = h5py.Empty("f")
    assert "cvt/tf/cvt/kernel:0 in tf_model.h5 holds no floating-point numbers" in refusal(folder)


def test_a_file_that_holds_a_tensor_twice_is_refused(folder: Path) -> None:
    with h5py.File(folder / "tf_model.h5", "a") as file:
        place = []
        file.visit(lambda name: place.append(name) if name.endswith("classifier/kernel:0") else None)
        file.copy(place[0], f"other/{place[0].split('/', 1)[1]}")
    assert "tf_model.h5 holds classifier.kernel twice" in refusal(folder)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(part: float, folder: Path) -> None:
    path = folder / "tf_model.h5"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert "tf_model.h5 is truncated or damaged" in refusal(folder)


def test_an_empty_file_is_refused(folder: Path) -> None:
    with h5py.File(folder / "tf_model.h5", "w"):
        pass
    assert "tf_model.h5 holds no tensors" in refusal(folder)


def test_without_h5py_the_command_that_brings_it_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert refusal(folder, MissingToolError).endswith("Run: pip install 'mobile-kit[h5]'")


def test_a_config_of_other_widths_is_refused(folder: Path) -> None:
    change_json(folder / "config.json", embed_dim=[4, 8, 15])
    assert "but its config asks for" in refusal(folder)


def test_a_repository_s_file_is_fetched_where_it_has_no_safetensors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tf_model.h5").unlink()
    asked: list[list[str]] = []

    def download(source: str, allow_patterns: list[str], **arguments: Any) -> str:
        asked.append(allow_patterns)
        if allow_patterns == ["tf_model.h5"]:
            shutil.copy(DATA / "tf_model.h5", folder)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load("someone/model").head.name == "classification"
    assert asked[-1] == ["tf_model.h5"]
