"""Where a checkpoint's files are found, and what other people's folders get."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.errors import CheckpointError
from tests.small_checkpoints import change_json, small_model

PROCESSOR, NESTED = "preprocessor_config.json", "processor_config.json"


def same(checkpoint: Checkpoint) -> bool:
    """Whether it has the weights of the small classifier."""
    own = small_model("classification").state_dict()
    return all(torch.equal(tensor, own[name]) for name, tensor in checkpoint.model.state_dict().items())


def nest(folder: Path) -> None:
    (folder / NESTED).write_text(json.dumps({"image_processor": json.loads((folder / PROCESSOR).read_text())}))
    (folder / PROCESSOR).unlink()


def other_weights(folder: Path) -> None:
    (folder / "model.fp16.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def sharded_pickles(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"pytorch_model-1.bin": names[:9], "pytorch_model-2.bin": names[9:]}
    for file, part in parts.items():
        torch.save({name: tensors[name] for name in part}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


# What transformers reads.
READ: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "a processor without its type": (lambda f: change_json(f / PROCESSOR, image_processor_type=None), {}),
    "a processor of transformers 5": (nest, {}),
    "kernels of attention": (lambda f: change_json(f / "config.json", attn_implementation="sdpa"), {}),
    "labels that are numbers": (lambda f: change_json(f / "config.json", id2label={str(i): i for i in range(5)}), {}),
    "other weights beside": (other_weights, {}),
    "pickles in parts": (sharded_pickles, {"allow_pickle": True}),
}


@pytest.mark.parametrize("layout", READ)
def test_a_layout_that_transformers_reads_is_read(layout: str, classifier_folder: Path) -> None:
    change, options = READ[layout]
    change(classifier_folder)
    assert same(load(str(classifier_folder), **options))


def test_the_nested_processor_comes_first_as_in_transformers(classifier_folder: Path) -> None:
    settings = json.loads((classifier_folder / PROCESSOR).read_text())
    nested = {"image_processor": {**settings, "do_flip_channel_order": False}}
    (classifier_folder / NESTED).write_text(json.dumps(nested))
    assert load(str(classifier_folder)).preprocess.channel_order == "RGB"


def test_names_of_a_wrapped_model_lose_their_prefix_where_it_is_given(classifier_folder: Path) -> None:
    path = classifier_folder / "model.safetensors"
    wrapped = {f"_orig_mod.module.{name}": tensor for name, tensor in load_file(path).items()}
    save_file(wrapped, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"Add --weights-prefix _orig_mod\.module\.$"):
        load(str(classifier_folder))
    assert same(load(str(classifier_folder), weights_prefix="_orig_mod.module."))
    with pytest.raises(CheckpointError, match=r"doesn't begin with --weights-prefix model\.. Leave that out\."):
        load(str(classifier_folder), weights_prefix="model.")


@pytest.mark.parametrize("given", ["repository", "snapshot"])
def test_a_folder_of_the_hubs_cache_is_called_as_on_the_hub(
    given: str, small_folders: dict[str, Path], tmp_path: Path
) -> None:
    repository = tmp_path / "models--some-one--a--model"
    snapshot, blobs = repository / "snapshots" / "0123456789abcdef", repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(small_folders["classification"].iterdir()):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))
    found = load(str(repository if given == "repository" else snapshot))
    assert (found.source, found.revision) == ("some-one/a--model", "0123456789abcdef")
    assert same(found)
    shutil.copytree(snapshot, snapshot.with_name("fedcba9876543210"))
    if given == "repository":
        with pytest.raises(CheckpointError, match="the Hub's cache has 2 revisions there"):
            load(str(repository))
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("fedcba9876543210")
        assert load(str(repository)).revision == "fedcba9876543210"


def trainer(folder: Path) -> None:
    for step in (500, 1500, 900):
        (folder / f"checkpoint-{step}").mkdir()
    (folder / "config.json").unlink()


def timm(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"architecture": "mobilevitv2_100", "num_classes": 1000}))


def hiera(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"embed_dim": 96, "q_pool": 3, "mask_unit_size": [8, 8]}))


def tuned(folder: Path) -> None:
    (folder / PROCESSOR).unlink()
    change_json(folder / "config.json", _name_or_path="apple/mobilevitv2-1.0-imagenet1k-256")


def artifact(folder: Path) -> None:
    (folder / "config.json").rename(folder / "manifest.json")


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


# What gets the way out.
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a training's folder": (trainer, r"holds checkpoints of a training \(3\)\. .* the last: .*checkpoint-1500$"),
    "timm": (timm, r"is timm's 'mobilevitv2_100', .* such as apple/mobilevitv2-"),
    "the original Hiera": (hiera, r"of the original Hiera, .* whose name ends in -hf"),
    "a tuned model without its processor": (
        tuned,
        r"no preprocessor_config\.json.*from_pretrained\('apple/mobilevitv2-1\.0-imagenet1k-256'\)\.save_pretrained",
    ),
    "an artifact": (artifact, "is an artifact of an export. Give the checkpoint"),
    "an adapter alone": (adapter, r"an adapter alone, without its base model\. Merge it \(PeftModel\.merge_and_unload"),
    "quantized weights": (
        lambda f: change_json(f / "config.json", quantization_config={"quant_method": "torchao"}),
        r"its weights are quantized .* model\.dequantize\(\)",
    ),
}


@pytest.mark.parametrize("folder", REFUSED)
def test_what_is_no_checkpoint_of_ours_gets_the_way_out(folder: str, classifier_folder: Path) -> None:
    change, said = REFUSED[folder]
    change(classifier_folder)
    with pytest.raises(Exception, match=said) as caught:
        load(str(classifier_folder))
    assert "\n" not in str(caught.value)


def test_a_file_is_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"is a file\. Give the folder of a checkpoint"):
        load(str(tmp_path / "model.pt"))


# Names that an index may hold.
OUTSIDE = ("../x.safetensors", "/dev/zero", "a/b.safetensors", "..", "model.bin", "x" * 5000)


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_reads_nothing_but_files_beside_it(name: str, classifier_folder: Path) -> None:
    outside = classifier_folder.parent / "x.safetensors"
    (classifier_folder / "model.safetensors").rename(outside)
    index = {"weight_map": {"classifier.bias": name}}
    (classifier_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"which is no \.safetensors file beside it") as caught:
        load(str(classifier_folder))
    assert len(str(caught.value)) < 500


def test_a_name_with_a_zero_byte_is_a_line(classifier_folder: Path) -> None:
    (classifier_folder / "model.safetensors").unlink()
    index = {"weight_map": {"classifier.bias": "x\0.safetensors"}}
    (classifier_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="is missing"):
        load(str(classifier_folder))


def test_a_repository_s_shards_are_fetched_by_their_index(
    small_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, cache = tmp_path / "hub", tmp_path / "cache"
    small_model("classification").save_pretrained(hub, max_shard_size="200KB")
    shutil.copy(small_folders["classification"] / PROCESSOR, hub)
    (hub / "model-other.safetensors").write_bytes(b"another's")
    fetched: list[str] = []

    def download(source: str, allow_patterns: list[str], **_: object) -> str:
        cache.mkdir(exist_ok=True)
        for name in allow_patterns:
            if (hub / name).is_file():
                fetched.append(name)
                shutil.copy(hub / name, cache / name)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert same(load("someone/model"))
    assert "model-other.safetensors" not in fetched
    assert len([name for name in fetched if name.startswith("model-0")]) > 1


def test_a_cache_whose_revision_is_a_link_to_itself_is_a_line(tmp_path: Path) -> None:
    repository = tmp_path / "models--some--model"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "snapshots" / "0123").symlink_to(repository)
    with pytest.raises(CheckpointError):
        load(str(repository))


@pytest.mark.parametrize("file", ["config.json", PROCESSOR, "model.safetensors.index.json", "model-1.safetensors"])
def test_a_pipe_is_not_waited_for(file: str, classifier_folder: Path) -> None:
    (classifier_folder / "model.safetensors").rename(classifier_folder / "model-1.safetensors")
    index = {"weight_map": {"classifier.bias": "model-1.safetensors"}}
    (classifier_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (classifier_folder / file).unlink()
    os.mkfifo(classifier_folder / file)
    with pytest.raises(CheckpointError):
        load(str(classifier_folder))
