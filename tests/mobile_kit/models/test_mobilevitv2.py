import copy
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from mobile_kit.checkpoints.oracle import LEAST_DIFFERENCE
from mobile_kit.errors import CheckpointError, UnsupportedError
from mobile_kit.measurements.metrics import distance, spread
from mobile_kit.models.family import known_checkpoints, labels_of
from mobile_kit.models.mobilevitv2 import FAMILY, build
from mobile_kit.models.spec import CommonModel
from mobile_kit.preprocessing.synthetic_images import scene
from tests.graphs import assert_plain
from tests.small_checkpoints import LABELS, preprocess_for, small_config, small_model

# The bound: in standard deviations of the output, or four times Hugging Face's own distance from its
# float64. Measured over all cases below: 1.3e-4 at most, where Hugging Face's own is 1.2e-4, and at most 0.6 of the
# bound that applies.
BOUND, FACTOR = 1e-4, 4.0

# Changes of the config, image size (height, width).
CASES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "default": ({}, (64, 64)),
    "width 0.5": ({"width_multiplier": 0.5}, (64, 64)),
    "width 0.3": ({"width_multiplier": 0.3}, (64, 64)),
    "stride 8": ({"output_stride": 8}, (64, 64)),
    "stride 16": ({"output_stride": 16}, (64, 64)),
    "stride 16, not square": ({"output_stride": 16}, (96, 64)),
    "stride 8, odd maps": ({"output_stride": 8}, (72, 88)),
    "patch 1": ({"patch_size": 1}, (64, 64)),
    "patch 3": ({"patch_size": 3}, (96, 96)),
    "patch 3, maps of 3 and 4": ({"patch_size": 3}, (96, 128)),
    "patch 4": ({"patch_size": 4, "output_stride": 8}, (64, 64)),
    "patch 4, maps of 9 and 11": ({"patch_size": 4, "output_stride": 8}, (72, 88)),
    "kernel 1": ({"conv_kernel_size": 1}, (64, 64)),
    "kernel 2": ({"conv_kernel_size": 2}, (128, 128)),
    "kernel 5": ({"conv_kernel_size": 5}, (64, 64)),
    "expand 1.5": ({"expand_ratio": 1.5}, (64, 64)),
    "expand 4": ({"expand_ratio": 4.0}, (64, 64)),
    "ffn 3": ({"ffn_multiplier": 3}, (64, 64)),
    "few blocks": ({"n_attn_blocks": [1, 2, 1]}, (64, 64)),
    "no blocks": ({"n_attn_blocks": [0, 1, 0]}, (64, 64)),
    "other dims": ({"base_attn_unit_dims": [64, 96, 160]}, (64, 64)),
    "layer_norm_eps": ({"layer_norm_eps": 1e-2}, (64, 64)),
    "one channel": ({"num_channels": 1}, (64, 64)),
    "one label": ({"num_labels": 1}, (64, 64)),
    "three labels": ({"num_labels": 3}, (64, 64)),
    "not square": ({}, (64, 96)),
    "odd size": ({}, (97, 75)),
    "odd maps": ({}, (72, 104)),
    "narrow": ({}, (40, 160)),
    "atrous rates": ({"atrous_rates": [1, 2, 3], "output_stride": 16}, (64, 64)),
    "more aspp channels": ({"aspp_out_channels": 48}, (64, 64)),
}
ACTIVATIONS = (
    "gelu", "gelu_new", "gelu_pytorch_tanh", "hardswish", "leaky_relu", "mish", "prelu", "relu", "relu6", "silu", "tanh"
)  # fmt: skip
SLOW = {"width 1": 1.0, "width 2": 2.0}

each_head = pytest.mark.parametrize("head", sorted(FAMILY.heads))


def pixel_values(image_size: tuple[int, int], channels: int = 3) -> list[Tensor]:
    preprocess = preprocess_for(image_size, channels)
    scenes = [scene(seed, *image_size)[:, :, :channels] for seed in (1, 2)]
    return [torch.from_numpy(preprocess.arithmetic(image)) for image in scenes]


@torch.no_grad()
def reference(model: Any, values: Tensor) -> dict[str, Any]:
    """Hugging Face's outputs under the names of ours, as float64."""
    raw = model(values, output_hidden_states=True)
    states = {f"hidden_states_{i}": state for i, state in enumerate(raw.hidden_states)}
    if "last_hidden_state" in raw:  # which is the last of them, and no file gives one tensor two names
        states.popitem()
    named = {name: raw[name] for name in ("last_hidden_state", "pooler_output", "logits") if raw.get(name) is not None}
    return {name: value.double().numpy() for name, value in {**named, **states}.items()}


@torch.no_grad()
def check_parity(model: Any, ours: CommonModel) -> None:
    photos = pixel_values(ours.spec.image_size, ours.spec.num_channels)
    first, second = (reference(model, values) for values in photos)
    exact = reference(copy.deepcopy(model).double(), photos[0].double())
    got = dict(zip((spec.name for spec in ours.spec.outputs), ours(photos[0]), strict=True))
    assert set(got) == set(first)
    for spec in ours.spec.outputs:
        name = spec.name
        moved = np.sqrt(np.mean((first[name] - second[name]) ** 2)) / spread(first[name])
        assert moved >= LEAST_DIFFERENCE, f"{name}: the reference doesn't see its input"
        assert tuple(got[name].shape) == spec.shape == first[name].shape
        own = distance(first[name], exact[name])
        assert distance(got[name].numpy(), first[name]) <= max(BOUND, FACTOR * own), name


def check(head: str, image_size: tuple[int, int], **changes: Any) -> None:
    model = small_model(head, image_size, **changes)
    check_parity(model, build(model, head, image_size, ("hidden_states",)))


@each_head
@pytest.mark.parametrize("case", CASES)
def test_is_hugging_face_for_every_config(head: str, case: str) -> None:
    changes, image_size = CASES[case]
    check(head, image_size, **changes)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_is_hugging_face_for_every_activation(activation: str) -> None:
    check("classification", (64, 64), hidden_act=activation)


@each_head
@pytest.mark.slow
@pytest.mark.parametrize("width", SLOW.values(), ids=SLOW)
def test_is_hugging_face_at_full_width_and_size(head: str, width: float) -> None:
    check(head, (256, 256), width_multiplier=width, aspp_out_channels=512)


def test_a_classifier_without_labels_gives_its_features() -> None:
    model = small_model("classification", num_labels=0)
    ours = build(model, "classification", (64, 64), ("hidden_states",))
    assert ours.spec.outputs[0].shape == (1, 128)
    assert ours.spec.labels is None
    check_parity(model, ours)


@pytest.mark.parametrize("changes", [{"n_attn_blocks": [0, 0, 0]}, {"patch_size": 2}])
def test_does_not_change_the_oracle(changes: dict[str, Any]) -> None:
    model = small_model("classification", **changes)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    build(model, "classification", (64, 64), ())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_without_hidden_states_only_the_heads_outputs_are_given() -> None:
    names = {head: [out.name for out in _built(head).spec.outputs] for head in FAMILY.heads}
    assert names == {
        "base": ["last_hidden_state", "pooler_output"],
        "classification": ["logits"],
        "segmentation": ["logits"],
    }


def test_the_spec_says_what_the_checkpoint_is() -> None:
    spec = _built("classification").spec
    assert (spec.family, spec.head, spec.image_size, spec.num_channels) == (
        "mobilevitv2",
        "classification",
        (64, 64),
        3,
    )
    assert spec.labels == LABELS
    assert spec.num_parameters == sum(p.numel() for p in small_model("classification").parameters())
    assert _built("base").spec.labels is None


def test_a_label_that_stands_twice_gets_its_number() -> None:
    config = small_config(id2label={0: "crane", 1: "cab", 2: "crane", 3: "crane"})
    assert labels_of(config) == ("crane", "cab", "crane (2)", "crane (3)")


def test_a_number_makes_no_second_name_twice() -> None:
    config = small_config(id2label={0: "a", 1: "a", 2: "a (1)", 3: "a"})
    assert labels_of(config) == ("a", "a (1) (1)", "a (1)", "a (3)")


@pytest.mark.parametrize("label", ["two\nlines", 7, None])
def test_a_label_that_is_no_line_of_text_is_refused(label: object) -> None:
    config = small_config(id2label={0: "a", 1: "b"})
    config.id2label = {0: "a", 1: label}
    with pytest.raises(CheckpointError, match=r"label 1 .*id2label"):
        labels_of(config)


def test_labels_with_a_gap_in_their_numbers_get_hugging_faces_name_there() -> None:
    spec = build(small_model("classification", id2label={0: "a", 2: "c"}), "classification", (64, 64), ()).spec
    assert spec.labels == ("a", "LABEL_1")


def _built(head: str, image_size: tuple[int, int] = (64, 64), **changes: Any) -> CommonModel:
    return build(small_model(head, image_size, **changes), head, image_size, ())


GRAPHS = {
    "base": ("base", "not square"),
    "classification": ("classification", "default"),
    "segmentation": ("segmentation", "stride 16"),
    "padded maps": ("classification", "patch 3, maps of 3 and 4"),
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_graph_is_plain(graph: str) -> None:
    head, case = GRAPHS[graph]
    changes, image_size = CASES[case]
    changes = {**changes, "n_attn_blocks": [1, 1, 1]}
    assert_plain(_built(head, image_size, **changes), tuple(pixel_values(image_size)[:1]), rank=4)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_each_stage_permutes_once_in_and_once_out(output_stride: int) -> None:
    model = _built("classification", output_stride=output_stride, n_attn_blocks=[1, 1, 1])
    program = torch.export.export(model, tuple(pixel_values((64, 64))[:1]))
    assert sum(str(node.target) == "aten.permute.default" for node in program.graph.nodes) == 2 * 3


@each_head
@pytest.mark.parametrize("image_size", [(8, 8), (32, 256), (256, 32)])
def test_an_image_that_leaves_less_than_a_patch_is_refused(head: str, image_size: tuple[int, int]) -> None:
    model = small_model(head)
    with pytest.raises(UnsupportedError, match=r"smaller than a patch of 2\. Ask for a larger --image-size") as caught:
        build(model, head, image_size, ())
    assert f"{image_size[0]}x{image_size[1]}" in str(caught.value)
    with torch.no_grad(), pytest.raises(RuntimeError):  # Hugging Face can't either
        model(torch.zeros(1, 3, *image_size))


def test_a_patch_that_is_not_a_number_is_refused() -> None:
    model = small_model("classification")
    model.config.patch_size = [2, 2]
    with pytest.raises(UnsupportedError, match=r"patch_size \[2, 2\].*Mend config.json"):
        build(model, "classification", (64, 64), ())


def test_a_segmenter_without_labels_is_refused() -> None:
    model = small_model("segmentation")
    model.config = small_config(num_labels=0)
    with pytest.raises(UnsupportedError, match="num_labels 0"):
        build(model, "segmentation", (64, 64), ())


# Millions of parameters, as Apple's and the paper's tables have them (table 6 of https://arxiv.org/abs/2206.02680).
PUBLISHED = {
    "0.5": "1.37",
    "0.75": "2.87",
    "1.0": "4.90",
    "1.25": "7.48",
    "1.5": "10.59",
    "1.75": "14.25",
    "2.0": "18.45",
}


@pytest.mark.parametrize("width", PUBLISHED)
def test_known_checkpoints_have_the_published_number_of_parameters(width: str) -> None:
    known = known_checkpoints()[f"apple/mobilevitv2-{width}-imagenet1k-256"]
    with torch.device("meta"):
        model = transformers.MobileViTV2ForImageClassification(transformers.MobileViTV2Config(**known.config))
    assert f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f}" == PUBLISHED[width]
    assert model.config.num_labels == 1000


def test_known_checkpoints_are_the_eight_of_apple() -> None:
    known = [name for name, record in known_checkpoints().items() if record.family == "mobilevitv2"]
    assert known == sorted(
        [f"apple/mobilevitv2-{width}-imagenet1k-256" for width in PUBLISHED] + ["apple/mobilevitv2-1.0-voc-deeplabv3"]
    )


def test_every_module_of_hugging_face_that_the_family_reads_has_its_name() -> None:
    """Fails loudly when transformers moves a name, before parity does in a less clear way."""
    with torch.device("meta"):
        model = transformers.MobileViTV2ForSemanticSegmentation(small_config())
    stage = model.mobilevitv2.encoder.layer[2]
    names = {name for name, _ in stage.named_modules()}
    layer = "transformer.layer.0."
    assert {"downsampling_layer.conv_3x3", "conv_kxk", "conv_1x1", "conv_projection", "layernorm"} <= names
    assert {layer + n for n in ("layernorm_before", "attention.qkv_proj", "attention.out_proj", "ffn.conv1")} <= names
    assert {"aspp.convs", "aspp.project", "classifier"} <= {n for n, _ in model.segmentation_head.named_modules()}
