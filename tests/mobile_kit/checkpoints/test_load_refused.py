"""What bad input gets: one line that names what was asked and the way out."""

import re
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from mobile_kit.checkpoints.load import load
from mobile_kit.errors import CheckpointError, MobileKitError, UnsupportedError
from tests.exports import mobile_kit
from tests.small_checkpoints import change_json, change_weights, small_model
from tests.small_families import CVT, HIERA, VIT_MSN, Small

SMALLEST = "apple/mobilevitv2-0.5-imagenet1k-256"


def refusal(source: object, kind: type[MobileKitError] = CheckpointError, **options: Any) -> str:
    """The message with which loading is refused: one line that names what was asked and ends in a sentence."""
    with pytest.raises(kind) as caught:
        load(str(source), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    assert message.endswith(".")
    return message


# What is refused: the source.


@pytest.mark.parametrize("name", ["nope", "", "a/b/c", "no such model", "x" * 5000, "\0"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(name)
    assert "neither a folder nor a Hub id" in str(caught.value)
    assert str(caught.value).endswith("`mobile-kit list` has the known ones.")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mobilevitv2-1.0-imagenet1k-256", "apple/mobilevitv2-1.0-imagenet1k-256"),
        ("apple/mobilevit2-0.5-imagenet1k-256", SMALLEST),
        ("facebook/vit-msn-smal", "facebook/vit-msn-small"),
    ],
)
def test_a_misspelt_name_gets_those_that_are_like_it(name: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OSError(2, "Not found")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    message = refusal(name)
    asked = message.partition(" Is ")[2].partition(" meant?")[0].split(" or ")
    assert asked[0] == meant
    assert len(asked) <= 3


@pytest.mark.parametrize("options", [{}, {"random_weights": True}])
def test_a_revision_of_a_folder_is_refused(options: dict[str, Any], classifier_folder: Path) -> None:
    assert "Leave --revision out." in refusal(classifier_folder, UnsupportedError, revision="main", **options)


def test_a_revision_of_a_known_name_with_random_weights_is_refused() -> None:
    assert "Leave --revision out." in refusal(SMALLEST, UnsupportedError, revision="main", random_weights=True)


class ConnectError(Exception):
    """As the Hub's HTTP library raises it, which is another one in another version of huggingface_hub."""


FAILURES = [
    LocalEntryNotFoundError("An error happened while trying to locate the files.\nCheck your connection."),
    ConnectError("[Errno -2] Name or service not known"),
    ConnectError(""),
    OSError(28, "No space left on device"),
    ValueError("401 Client Error.\n\nRepository Not Found for url.\nDo log in."),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("revision", [None, "v1"])
def test_a_failed_download_is_one_line(
    failure: Exception, revision: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise failure

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    message = refusal("someone/model", revision=revision)
    assert message.startswith("model 'someone/model'" + (" at revision v1" if revision else "") + ": can't be had")
    assert "without one, give the checkpoint's folder, or --random-weights" in message


# What is refused: the folder.


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files_is_refused(name: str, classifier_folder: Path) -> None:
    (classifier_folder / name).unlink()
    message = refusal(classifier_folder)
    assert f"no {name}" in message
    assert "save_pretrained()" in message


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1,}', b"\xff\xfe\x00", b"[1, 2]", b"null"])
def test_a_config_that_is_not_a_json_object_is_refused(name: str, content: bytes, classifier_folder: Path) -> None:
    (classifier_folder / name).write_bytes(content)
    message = refusal(classifier_folder)
    assert f"{name} isn't" in message
    assert message.endswith("Save the checkpoint again.")


@pytest.mark.parametrize("model_type", ["resnet", "mobilevit", None, 5])
def test_a_config_of_another_family_is_refused(model_type: object, classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", model_type=model_type)
    message = refusal(classifier_folder)
    assert f"model type {model_type!r}" in message
    assert "Known:" in message
    assert "mobilevitv2" in message


@pytest.mark.parametrize("architectures", [None, [], ["MobileViTV2ForDepth"], "MobileViTV2ForDepth", 5])
def test_architectures_without_a_head_of_ours_are_refused(architectures: object, classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", architectures=architectures)
    assert refusal(classifier_folder).endswith("Add --head base|classification|segmentation.")


def test_an_unknown_head_is_refused(classifier_folder: Path) -> None:
    message = refusal(classifier_folder, UnsupportedError, head="detection")
    assert message == "head 'detection': mobilevitv2 has none. Known: base, classification, segmentation."


@pytest.mark.parametrize(
    "changes",
    [{"hidden_act": "nonsense"}, {"hidden_act": 5}, {"n_attn_blocks": [1, 1]}, {"width_multiplier": "wide"}],
    ids=str,
)
@pytest.mark.parametrize("random_weights", [False, True])
def test_a_config_that_builds_no_model_is_refused(
    changes: dict[str, Any], random_weights: bool, classifier_folder: Path
) -> None:
    change_json(classifier_folder / "config.json", **changes)
    assert str(classifier_folder) in refusal(classifier_folder, random_weights=random_weights)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("random_weights", [False, True])
def test_channels_that_no_photo_has_are_refused(channels: int, random_weights: bool, classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", num_channels=channels)
    message = refusal(classifier_folder, UnsupportedError, random_weights=random_weights)
    assert f"images of {channels} channels" in message


@pytest.mark.parametrize("image_size", [(8, 8), (0, 0), (32, 512)])
def test_an_image_size_that_the_config_cannot_take_is_refused(image_size: tuple[int, int]) -> None:
    message = refusal(SMALLEST, UnsupportedError, random_weights=True, image_size=image_size)
    assert f"image size {image_size[0]}x{image_size[1]}" in message
    assert message.endswith("Ask for a larger --image-size.")


def test_an_unknown_processor_is_refused(classifier_folder: Path) -> None:
    change_json(classifier_folder / "preprocessor_config.json", image_processor_type="NoSuchProcessor")
    assert refusal(classifier_folder).endswith("Mend preprocessor_config.json.")


@pytest.mark.parametrize(
    "card", [b"---\nlicense: [unclosed\n---\n", b"---\n- a\n- b\n---\n", b"---\nlicense: \xff\n---\n"]
)
def test_a_card_whose_front_matter_is_broken_leaves_the_licence_unknown(card: bytes, classifier_folder: Path) -> None:
    (classifier_folder / "README.md").write_bytes(card)
    checkpoint = load(str(classifier_folder))
    assert checkpoint.license is None
    (note,) = checkpoint.notes
    assert "licence of" in note
    assert "front matter of README.md can't be read" in note


# What is refused: the weights.


@pytest.mark.parametrize("part", [0.0, 0.00001, 0.5, 0.999])
def test_truncated_weights_are_refused(part: float, classifier_folder: Path) -> None:
    path = classifier_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    message = refusal(classifier_folder)
    assert "model.safetensors is truncated or damaged" in message
    assert message.endswith("Fetch it again.")


def test_tampered_weights_are_refused(classifier_folder: Path) -> None:
    path = classifier_folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[:8] = (2**40).to_bytes(8, "little")  # a header longer than the file
    path.write_bytes(content)
    assert "truncated or damaged" in refusal(classifier_folder)


def test_a_missing_shard_is_refused(classifier_folder: Path) -> None:
    (classifier_folder / "model.safetensors").unlink()
    small_model("classification").save_pretrained(classifier_folder, max_shard_size="200KB")
    min(classifier_folder.glob("model-*.safetensors")).unlink()
    assert "'model-00001-of-00007.safetensors' is missing. Fetch it again." in refusal(classifier_folder)


def test_weights_of_another_width_are_refused(classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", width_multiplier=0.5)
    message = refusal(classifier_folder)
    assert "tensor " in message
    assert " but its config asks for " in message
    assert message.endswith("Give the config that belongs to the weights.")


def test_a_tensor_of_another_shape_is_refused_by_name(classifier_folder: Path) -> None:
    change_weights(classifier_folder, classifier__weight=torch.zeros(7, 128))
    message = refusal(classifier_folder)
    assert "tensor classifier.weight is 7x128, but its config asks for 5x128." in message


@pytest.mark.parametrize(
    "name",
    ["classifier.bias", "mobilevitv2.conv_stem.normalization.running_mean", "mobilevitv2.conv_stem.convolution.weight"],
)
def test_missing_tensors_are_refused_by_name(name: str, classifier_folder: Path) -> None:
    change_weights(classifier_folder, **{name: None})
    assert f"its weights lack {name}, which" in refusal(classifier_folder)


def test_missing_blocks_are_refused(classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", n_attn_blocks=[2, 4, 4])
    message = refusal(classifier_folder)
    assert "its weights lack mobilevitv2.encoder.layer.4.transformer.layer.3." in message
    assert " more, which" in message


@pytest.mark.parametrize("head", [None, "base"])
def test_blocks_that_the_config_does_not_know_are_refused(head: str | None, classifier_folder: Path) -> None:
    change_json(classifier_folder / "config.json", n_attn_blocks=[2, 4, 2])
    message = refusal(classifier_folder, head=head)
    assert "encoder.layer.4.transformer.layer.2." in message
    assert "for which its config has no place" in message


def test_blocks_that_the_config_does_not_know_are_refused_in_a_bare_backbone(
    small_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_folders["base"], tmp_path / "base"))
    change_json(folder / "config.json", n_attn_blocks=[2, 4, 2])
    assert "encoder.layer.4.transformer.layer.2." in refusal(folder)


@pytest.mark.parametrize("head", ["classification", "segmentation"])
def test_a_head_that_the_weights_lack_is_refused(head: str, small_folders: dict[str, Path]) -> None:
    other = {"classification": "base", "segmentation": "classification"}[head]
    message = refusal(small_folders[other], head=head)
    assert f"which the {head} head needs" in message
    assert "Choose another --head" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["classifier.bias", "mobilevitv2.conv_stem.normalization.running_var"])
def test_weights_that_are_not_finite_are_refused(value: float, name: str, classifier_folder: Path) -> None:
    tensor = load_file(classifier_folder / "model.safetensors")[name].clone()
    tensor[1] = value
    change_weights(classifier_folder, **{name: tensor})
    assert f"tensor {name} holds values that aren't finite" in refusal(classifier_folder)


def with_pickle(folder: Path, content: object) -> Path:
    (folder / "model.safetensors").unlink(missing_ok=True)
    torch.save(content, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_is_refused(classifier_folder: Path) -> None:
    message = refusal(with_pickle(classifier_folder, small_model("classification").state_dict()))
    assert "has only pytorch_model.bin, and a pickle can run code" in message
    assert "--allow-pickle" in message


def test_a_pickle_is_read_where_it_is_allowed(classifier_folder: Path) -> None:
    saved = small_model("classification")
    checkpoint = load(str(with_pickle(classifier_folder, saved.state_dict())), allow_pickle=True)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(checkpoint.model.state_dict()[name], tensor), name


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def test_an_allowed_pickle_can_run_no_code(classifier_folder: Path, tmp_path: Path) -> None:
    weights = {**small_model("classification").state_dict(), "classifier.bias": Payload(tmp_path / "ran")}
    message = refusal(with_pickle(classifier_folder, weights), allow_pickle=True)
    assert "pytorch_model.bin can't be read (holds more than tensors). Save it again." in message
    assert not (tmp_path / "ran").exists()


# Custom code.


def test_custom_code_is_ignored_and_never_run(
    classifier_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w').close()\nclass Custom:\n    pass\n"
    (classifier_folder / "custom.py").write_text(code, encoding="utf-8")
    names = ("AutoConfig", "AutoModel", "AutoModelForImageClassification", "AutoImageProcessor")
    change_json(classifier_folder / "config.json", auto_map=dict.fromkeys(names, "custom.Custom"))
    change_json(classifier_folder / "preprocessor_config.json", auto_map={"AutoImageProcessor": "custom.Custom"})

    asked: list[str] = []
    # Transformers would ask on the terminal whether it may run the code.
    monkeypatch.setattr("builtins.input", lambda question="": asked.append(question) or "n")
    checkpoint = load(str(classifier_folder))
    assert type(checkpoint.model) is transformers.MobileViTV2ForImageClassification
    change_json(classifier_folder / "preprocessor_config.json", image_processor_type="Custom")
    assert "Mend preprocessor_config.json." in refusal(classifier_folder)
    assert not asked
    assert not mark.exists()


NO_PAIR = r"isn't a height and a width from 1 on\. Mend config\.json\.$"
NO_STAGES = r"isn't a whole number from 1 on for each stage\. Mend config\.json\.$"
# Settings of a config that no model could be made of.
BROKEN: dict[str, tuple[Small, str, dict[str, Any], str]] = {
    "vit_msn size": (VIT_MSN, "base", {"image_size": [32]}, r"image_size \[32\] .*" + NO_PAIR),
    "vit_msn patch": (VIT_MSN, "base", {"patch_size": 0}, r"patch_size 0 .*" + NO_PAIR),
    "hiera size": (HIERA, "base", {"image_size": []}, r"image_size \[\] .*" + NO_PAIR),
    "hiera pools": (HIERA, "base", {"query_stride": [2]}, r"query_stride \[2\] .*" + NO_PAIR),
    "hiera units": (HIERA, "base", {"masked_unit_size": [8, 8, 8]}, r"masked_unit_size \[8, 8, 8\] .*" + NO_PAIR),
    "hiera stride": (HIERA, "base", {"patch_stride": [4, 0]}, r"patch_stride \[4, 0\] .*" + NO_PAIR),
    "hiera padding": (HIERA, "base", {"patch_padding": [3]}, r"patch_padding \[3\] in the config: .* from 0 on"),
    "hiera pooled less": (HIERA, "base", {"num_query_pool": -1}, r"num_query_pool -1 .*: isn't from 0 to 3, one less"),
    "hiera decoder": (HIERA, "pretraining", {"decoder_depth": None}, r"describes no decoder, .* Choose another --head"),
    "cvt heads": (CVT, "base", {"num_heads": [0, 2, 3]}, r"num_heads \[0, 2, 3\] .*" + NO_STAGES),
    "cvt stride": (CVT, "base", {"patch_stride": [4, 2, 0]}, r"patch_stride \[4, 2, 0\] .*" + NO_STAGES),
    "cvt keys": (CVT, "base", {"stride_kv": [2, 0, 2]}, r"stride_kv \[2, 0, 2\] .*" + NO_STAGES),
}


@pytest.mark.parametrize("random_weights", [False, True])
@pytest.mark.parametrize("case", BROKEN)
def test_a_config_without_a_model_is_refused(case: str, random_weights: bool, tmp_path: Path) -> None:
    small, head, changes, message = BROKEN[case]
    folder = small.save(small.model(head, (64, 64), {}), tmp_path / "model")
    change_json(folder / "config.json", **changes)
    assert re.search(message, refusal(folder, UnsupportedError, head=head, random_weights=random_weights))


def test_a_processor_that_pretraining_cannot_follow_is_told_of_the_size_that_can_be(tmp_path: Path) -> None:
    folder = HIERA.save(HIERA.model("pretraining", (64, 64), {}), tmp_path / "mae")
    change_json(folder / "preprocessor_config.json", crop_size={"height": 96, "width": 96})
    assert "Add --image-size 64x64, or 96x96 to resample" in refusal(folder)
    assert "for 64x64 only. Ask for that size." in refusal(folder, UnsupportedError, image_size=(96, 96))
    assert load(str(folder), image_size=(64, 64)).image_size == (64, 64)


def test_transformers_own_report_stays_off_the_screen(classifier_folder: Path, tmp_path: Path) -> None:
    """In a process of its own: transformers sets its level on first use, and would set ours aside."""
    done = mobile_kit("export", classifier_folder, "--head", "segmentation", "--out", tmp_path / "out")
    said = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert (done.returncode, len(said)) == (1, 1)
    assert "Choose another --head" in said[0]


def test_a_processor_of_another_size_than_the_positions_is_refused(tmp_path: Path) -> None:
    model = VIT_MSN.model("base", (48, 48), {"image_size": 48})
    folder = VIT_MSN.save(model, tmp_path / "vit")
    change_json(folder / "preprocessor_config.json", size={"height": 32, "width": 32})
    expected = r"makes images of 32x32, and its network takes 48x48\. Add --image-size 48x48, or 32x32 to resample"
    with pytest.raises(CheckpointError, match=expected):
        load(str(folder))
    assert load(str(folder), image_size=(48, 48)).image_size == (48, 48)
    assert load(str(folder), image_size=(32, 32)).image_size == (32, 32)
