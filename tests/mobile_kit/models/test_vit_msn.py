from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from mobile_kit.checkpoints.load import load
from mobile_kit.errors import CheckpointError, UnsupportedError
from mobile_kit.models.family import known_checkpoints
from mobile_kit.models.vit_msn import FAMILY, at_size, build
from mobile_kit.preprocessing.preprocess import Preprocess
from tests.eager import assert_is_hugging_face, scenes
from tests.graphs import assert_plain
from tests.small_families import HUGGING_FACE, VIT_MSN

ALL = ("hidden_states", "attentions")
# Changes of the config.
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "as in Hugging Face's tests": HUGGING_FACE["vit_msn"],
    "one layer": {"num_hidden_layers": 1},
    "one head": {"num_attention_heads": 1, "hidden_size": 37},
    "two channels a head": {"num_attention_heads": 2, "hidden_size": 4},
    "no query bias": {"qkv_bias": False},
    "one patch": {"patch_size": 32},
    "not square": {"image_size": [32, 48]},
    "patch not square": {"patch_size": [8, 4]},
    "one channel": {"num_channels": 1},
    "one label": {"id2label": None, "num_labels": 1},
    "relu": {"hidden_act": "relu"},
    "layer_norm_eps": {"layer_norm_eps": 1e-2},
    "dropout": {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5},
}

each_head = pytest.mark.parametrize("head", sorted(FAMILY.heads))


def model_for(head: str, masked: bool = False, **changes: Any) -> tuple[Any, Preprocess]:
    side = changes.get("image_size", 32)
    image_size = (side, side) if isinstance(side, int) else tuple(side)
    options = {"use_mask_token": True} if masked else {}
    model = VIT_MSN.model(head, image_size, changes, **options)
    return model, VIT_MSN.preprocess(image_size, model.config.num_channels)


def mask(count: int) -> Tensor:
    return torch.arange(count).reshape(1, -1) % 3 == 0


@each_head
@pytest.mark.parametrize("case", CASES)
def test_is_hugging_face_for_every_config(head: str, case: str) -> None:
    model, preprocess = model_for(head, **CASES[case])
    ours = build(model, head, preprocess.image_size, ALL)
    layers = model.config.num_hidden_layers
    assert len(ours.spec.outputs) == 1 + (layers + 1) + layers
    assert_is_hugging_face(model, ours, scenes(preprocess))


def test_without_layers_there_are_no_states() -> None:
    model, preprocess = model_for("base", num_hidden_layers=0)
    ours = build(model, "base", preprocess.image_size, ALL)
    assert [out.name for out in ours.spec.outputs] == ["last_hidden_state"]
    assert_is_hugging_face(model, ours, scenes(preprocess))


def test_without_layers_a_class_token_is_the_same_for_any_image() -> None:
    model, preprocess = model_for("classification", num_hidden_layers=0)
    ours = build(model, "classification", preprocess.image_size, ALL)
    for values in scenes(preprocess):
        assert torch.allclose(ours(values)[0], model(values).logits, atol=1e-5)


@each_head
def test_the_graph_is_plain(head: str) -> None:
    model, preprocess = model_for(head, masked=head == "base")
    ours = build(model, head, preprocess.image_size, ALL)
    assert_plain(ours, tuple(torch.ones(x.shape) for x in ours.spec.inputs), rank=4)


@each_head
def test_outputs_that_arent_asked_for_change_nothing(head: str) -> None:
    """The classifier then computes its last layer for the class token alone."""
    model, preprocess = model_for(head)
    ours = build(model, head, preprocess.image_size, ())
    assert [out.name for out in ours.spec.outputs] == ["last_hidden_state" if head == "base" else "logits"]
    assert_is_hugging_face(model, ours, scenes(preprocess))


def test_a_classifier_without_labels_gives_its_class_token() -> None:
    model, preprocess = model_for("classification", id2label=None, num_labels=0)
    ours = build(model, "classification", preprocess.image_size, ())
    assert ours.spec.outputs[0].shape == (1, 36)
    assert ours.spec.labels is None
    assert_is_hugging_face(model, ours, scenes(preprocess))


def test_a_mask_token_makes_the_mask_an_input() -> None:
    model, preprocess = model_for("base", masked=True)
    ours = build(model, "base", preprocess.image_size, ALL)
    (_, spec) = ours.spec.inputs
    assert (spec.name, spec.shape, spec.dtype, spec.meaning) == ("bool_masked_pos", (1, 16), "float32", "patch_mask")
    given = mask(16)
    further, taken = {"bool_masked_pos": given}, {"bool_masked_pos": given.float()}
    assert_is_hugging_face(model, ours, scenes(preprocess), further, taken)
    with torch.no_grad():
        plain, masked = (ours(scenes(preprocess)[0], values)[0] for values in (torch.zeros(1, 16), given.float()))
    assert float((plain - masked).std()) > 0.1 * float(plain.std())


@each_head
@pytest.mark.parametrize("image_size", [(48, 48), (16, 16), (48, 40)])
def test_another_size_is_hugging_face_s_own_interpolation(head: str, image_size: tuple[int, int]) -> None:
    model, _ = model_for(head)
    photos = scenes(VIT_MSN.preprocess(image_size))
    with torch.no_grad():
        wanted = model(photos[0], interpolate_pos_encoding=True)[0]
    resized = at_size(model, head, image_size)
    with torch.no_grad():
        assert torch.equal(resized(photos[0])[0], wanted)
    assert_is_hugging_face(resized, build(resized, head, image_size, ALL), photos)


@each_head
@pytest.mark.parametrize(
    ("image_size", "changes", "expected"),
    [
        ((33, 32), {}, r"33x32: patches of 8x8 .* nearest .* 32x32"),
        ((36, 29), {"patch_size": [8, 4]}, r"36x29: patches of 8x4 .* nearest .* 32x28"),
        ((3, 8), {}, r"3x8: .* nearest .* 8x8"),
        ((48, 48), {"image_size": [32, 48]}, r"48x48: .*4x6.* Ask for the network's own size"),
    ],
)
def test_sizes_that_cant_be_are_refused(
    head: str, image_size: tuple[int, int], changes: dict[str, Any], expected: str
) -> None:
    model, _ = model_for(head, **changes)
    with pytest.raises(UnsupportedError, match=expected):
        at_size(model, head, image_size)


def test_a_table_that_makes_a_square_is_resampled_as_one() -> None:
    model, _ = model_for("base", image_size=[16, 64])
    values = scenes(VIT_MSN.preprocess((48, 48)))[0]
    with torch.no_grad():
        wanted = model(values, interpolate_pos_encoding=True)[0]
        assert torch.equal(at_size(model, "base", (48, 48))(values)[0], wanted)


@pytest.mark.parametrize("head", ["base", "classification"])
def test_does_not_change_the_oracle(head: str) -> None:
    model, preprocess = model_for(head)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    build(model, head, preprocess.image_size, ALL)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# Millions of parameters with a 1000-class head, as timm's table of results prints them for the same networks
# (https://github.com/huggingface/pytorch-image-models, results/results-imagenet.csv: vit_*_patch16_224).
PUBLISHED = {"small": "22.05", "base": "86.57", "large": "304.33"}


def count(size: str) -> int:
    known = known_checkpoints()[f"facebook/vit-msn-{size}"]
    assert known.license == "apache-2.0"
    with torch.device("meta"):
        model = transformers.ViTMSNForImageClassification(transformers.ViTMSNConfig(**known.config))
    assert model.config.num_labels == 1000
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("size", PUBLISHED)
def test_known_checkpoints_have_the_published_number_of_parameters(size: str) -> None:
    assert f"{count(size) / 1e6:.2f}" == PUBLISHED[size]


@pytest.mark.parametrize(
    ("size", "like", "width", "patch"), [("base-4", "base", 768, 4), ("large-7", "large", 1024, 7)]
)
def test_smaller_patches_change_the_projection_and_the_positions(size: str, like: str, width: int, patch: int) -> None:
    """No table prints these two: the paper gives them the figure of their network with patches of 16."""
    projection = 3 * (16**2 - patch**2) * width
    positions = ((224 // patch) ** 2 - (224 // 16) ** 2) * width
    assert count(size) - count(like) == positions - projection


@pytest.mark.parametrize("safe", [True, False])
def test_a_mask_token_is_found_in_any_file(safe: bool, tmp_path: Path) -> None:
    model = VIT_MSN.model("base", (32, 32), {}, use_mask_token=True)
    folder = VIT_MSN.save(model, tmp_path)
    if not safe:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    found = load(str(folder), allow_pickle=not safe).model.embeddings.mask_token
    assert torch.equal(found, model.embeddings.mask_token)


def test_a_head_that_a_released_checkpoint_lacks_is_not_drawn_at_random(tmp_path: Path) -> None:
    """Those of ViTMSN have none."""
    folder = VIT_MSN.save(VIT_MSN.model("base", (32, 32), {}), tmp_path)
    with pytest.raises(CheckpointError, match=r"lack classifier\..*the classification head needs.*--random-weights"):
        load(str(folder), head="classification")
    assert load(str(folder), head="classification", random_weights=True).random_weights
