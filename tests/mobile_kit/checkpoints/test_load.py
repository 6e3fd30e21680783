import shutil
import socket
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import CheckpointError
from mobile_kit.models.family import families, known_checkpoints
from mobile_kit.models.spec import TensorSpec
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.preprocessing.synthetic_images import scene
from tests.small_checkpoints import PROCESSOR, change_json, change_weights, save, small_model

SMALLEST = "apple/mobilevitv2-0.5-imagenet1k-256"


# What loads.


@pytest.mark.parametrize("head", ["base", "classification", "segmentation"])
def test_a_saved_checkpoint_is_the_model_that_was_saved(head: str, small_folders: dict[str, Path]) -> None:
    checkpoint = load(str(small_folders[head]))
    saved = small_model(head)
    assert checkpoint.head.name == head
    assert type(checkpoint.model) is type(saved)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(checkpoint.model.state_dict()[name], tensor), name
    assert not checkpoint.model.training
    assert checkpoint.model.config._attn_implementation == "eager"
    assert (checkpoint.image_size, checkpoint.revision, checkpoint.license) == ((64, 64), None, None)
    assert not checkpoint.random_weights


@pytest.mark.parametrize("spelling", ["MobileViTV2ForImageClassification", "MobileViTv2ForImageClassification"])
@pytest.mark.parametrize("listed", [True, False])
def test_the_head_is_that_of_the_architectures(spelling: str, listed: bool, classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", architectures=[spelling] if listed else spelling)
    assert load(str(classifier_folder)).head.name == "classification"


def test_a_classification_checkpoint_gives_its_backbone(small_folders: dict[str, Path]) -> None:
    base = load(str(small_folders["classification"]), head="base")
    whole = load(str(small_folders["classification"]))
    assert base.head.name == "base"
    for name, tensor in base.model.state_dict().items():
        assert torch.equal(tensor, whole.model.mobilevitv2.state_dict()[name]), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_dtype_becomes_a_float32_oracle(dtype: torch.dtype, classifier_folder: Path) -> None:
    model = small_model("classification").to(dtype)
    save(model, classifier_folder)
    assert load_file(classifier_folder / "model.safetensors")["classifier.weight"].dtype == dtype
    checkpoint = load(str(classifier_folder))
    assert {t.dtype for t in checkpoint.model.state_dict().values() if t.is_floating_point()} == {torch.float32}
    for name, tensor in model.float().state_dict().items():
        assert torch.equal(checkpoint.model.state_dict()[name], tensor), name
    oracle = Oracle(checkpoint, (TensorSpec("logits", (1, 5)),))
    assert np.isfinite(oracle.run(oracle.pixel_values(scene(1, 70, 80)))["logits"]).all()


def test_settings_of_a_call_in_the_config_do_not_change_the_outputs(classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", return_dict=False, output_hidden_states=True, torch_dtype="float16")
    checkpoint = load(str(classifier_folder))
    Oracle(checkpoint, (TensorSpec("logits", (1, 5)),)).check_sight(scene(1, 70, 80))


def test_sharded_weights_load(classifier_folder: Path) -> None:
    (classifier_folder / "model.safetensors").unlink()
    small_model("classification").save_pretrained(classifier_folder, max_shard_size="200KB")
    assert len(list(classifier_folder.glob("model-*.safetensors"))) > 1
    assert torch.equal(
        load(str(classifier_folder)).model.classifier.weight, small_model("classification").classifier.weight
    )


def test_a_missing_count_of_batches_is_no_gap(classifier_folder: Path) -> None:
    """Converted checkpoints lack it, and it does nothing in evaluation."""
    name = "mobilevitv2.conv_stem.normalization.num_batches_tracked"
    assert name in load_file(classifier_folder / "model.safetensors")
    change_weights(classifier_folder, **{name: None})
    load(str(classifier_folder))


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_safetensors_are_preferred_to_a_pickle(allow_pickle: bool, classifier_folder: Path) -> None:
    (classifier_folder / "pytorch_model.bin").write_bytes(b"never read")
    load(str(classifier_folder), allow_pickle=allow_pickle)


@pytest.mark.parametrize(
    ("card", "license_name"),
    [
        ("---\nlicense: apache-2.0\ntags: [vision]\n---\n# A model\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: apple-amlr\n---\n", "apple-amlr"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\ntags: [vision]\n---\n", None),
        ("# A model\n\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_the_licence_is_that_of_the_front_matter(card: str, license_name: str | None, classifier_folder: Path) -> None:
    (classifier_folder / "README.md").write_text(card, encoding="utf-8")
    assert load(str(classifier_folder)).license == license_name


SIZES = {
    "square": ({}, (96, 96)),
    "not square": ({}, (64, 96)),
    "crop only": ({"do_resize": False}, (64, 96)),
    "resize only": ({"do_center_crop": False, "size": {"height": 64, "width": 64}}, (96, 64)),
    "size left open": ({"do_center_crop": False}, (96, 64)),
    "neither": ({"do_center_crop": False, "do_resize": False}, (96, 64)),
}


@pytest.mark.parametrize("case", SIZES)
def test_another_image_size_holds_for_the_processor_too(case: str, classifier_folder: Path) -> None:
    changes, size = SIZES[case]
    change_json(classifier_folder / "preprocessor_config.json", **changes)
    checkpoint = load(str(classifier_folder), image_size=size)
    assert checkpoint.image_size == size
    oracle = Oracle(checkpoint, (TensorSpec("logits", (1, 5)),))
    for image in (scene(1, 101, 157), scene(1, 50, 40)):
        assert oracle.pixel_values(image).shape == (1, 3, *size)
        oracle.check_preprocess(image)


OLD = {"feature_extractor_type": "MobileViTFeatureExtractor", "image_processor_type": None, "size": 72, "crop_size": 64}


def test_an_old_processor_config_loads(classifier_folder: Path) -> None:
    change_json(classifier_folder / "preprocessor_config.json", **OLD)
    checkpoint = load(str(classifier_folder))
    assert checkpoint.preprocess == load_processor(PROCESSOR, classifier_folder)
    Oracle(checkpoint, ()).check_preprocess(scene(1, 101, 157))


def load_processor(config: dict[str, Any], folder: Path) -> object:
    change_json(folder / "preprocessor_config.json", **{**dict.fromkeys(OLD), **config})
    return load(str(folder)).preprocess


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_color_checkpoints_agree_with_their_processor(channels: int, tmp_path: Path) -> None:
    checkpoint = load(str(save(small_model("classification", num_channels=channels), tmp_path)))
    assert checkpoint.preprocess.channel_order == ("GRAY" if channels == 1 else "BGR")
    image = scene(1, 101, 157)[:, :, :channels]
    oracle = Oracle(checkpoint, (TensorSpec("logits", (1, 5)),))
    oracle.check_preprocess(image)
    oracle.check_sight(image)


# Random weights.


def test_a_known_name_needs_no_network_and_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    checkpoint = load(SMALLEST, random_weights=True, image_size=(64, 64))
    assert (checkpoint.source, checkpoint.head.name, checkpoint.random_weights) == (SMALLEST, "classification", True)
    assert checkpoint.license == known_checkpoints()[SMALLEST].license == "other"
    assert checkpoint.model.config.num_labels == 1000
    assert checkpoint.preprocess.channel_order == "BGR"
    Oracle(checkpoint, (TensorSpec("logits", (1, 1000)),)).check_sight(scene(1, 90, 110))


@pytest.mark.parametrize("name", known_checkpoints())
def test_the_data_of_every_known_name_is_whole(name: str) -> None:
    known = known_checkpoints()[name]
    config = transformers.AutoConfig.for_model(**known.config)
    assert config.num_labels == (21 if known.head == "segmentation" else 1000)
    family = families()[known.family]
    assert config.architectures == [family.heads[known.head].architecture]
    preprocess = Preprocess.from_processor(known.processor, 3)
    side = getattr(config, "image_size", None)  # CvT's config names none
    sides = [side, side] if isinstance(side, int) else list(side or preprocess.image_size)
    assert list(preprocess.image_size) == sides
    assert preprocess.channel_order == ("BGR" if known.family == "mobilevitv2" else "RGB")
    assert any(preprocess.mean) == (known.family != "mobilevitv2")


def test_a_folder_without_weights_loads_with_random_ones(classifier_folder: Path) -> None:
    (classifier_folder / "model.safetensors").unlink()
    checkpoint = load(str(classifier_folder), random_weights=True)
    assert checkpoint.random_weights
    assert torch.equal(checkpoint.model.classifier.weight, small_model("classification").classifier.weight)


@pytest.mark.parametrize("options", [{}, {"allow_pickle": True}, {"random_weights": True}])
def test_a_download_asks_for_no_more_than_is_needed(
    options: dict[str, Any], small_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    asked: list[dict[str, Any]] = []
    before: list[int] = []

    def download(source: str, **arguments: Any) -> str:
        asked.append({**arguments, "source": source})
        return str(shutil.copytree(small_folders["classification"], folder, dirs_exist_ok=True))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    checkpoint = load("someone/model", revision="v1", check=lambda *_: before.append(len(asked)), **options)
    assert {each["source"] for each in asked} == {"someone/model"}
    assert checkpoint.revision == folder.name  # the commit, not the moving name
    patterns = [each["allow_patterns"] for each in asked]
    weights = [["model.safetensors", "model.safetensors.index.json"]]  # no pickle, as there is something better
    assert patterns == [
        ["config.json", "preprocessor_config.json", "processor_config.json", "README.md", "adapter_config.json"],
        *([] if options.get("random_weights") else weights),
    ]
    assert [each["revision"] for each in asked] == ["v1", folder.name][: len(asked)]
    assert before == [1]  # what a file can't hold is refused before its weights are fetched


def test_a_repository_s_pickle_is_fetched_only_where_there_is_nothing_better(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_file(classifier_folder / "model.safetensors")
    (classifier_folder / "model.safetensors").unlink()
    asked: list[list[str]] = []

    def download(source: str, allow_patterns: list[str], **arguments: Any) -> str:
        asked.append(allow_patterns)
        if "pytorch_model.bin" in allow_patterns:
            torch.save(weights, classifier_folder / "pytorch_model.bin")
        return str(classifier_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(CheckpointError, match=r"no model\.safetensors.*--allow-pickle fetches it"):
        load("someone/model")
    assert load("someone/model", allow_pickle=True).head.name == "classification"
    assert asked[-1] == ["pytorch_model.bin", "pytorch_model.bin.index.json"]
