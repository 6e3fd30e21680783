"""CvT against Hugging Face: every config that Hugging Face itself can run, in float32."""

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.cvt import FAMILY, build
from mobile_kit.models.family import known_checkpoints
from mobile_kit.models.outputs import check_outputs, select_outputs
from mobile_kit.models.spec import CommonModel
from mobile_kit.preprocessing.preprocess import Preprocess
from tests.eager import assert_is_hugging_face, scenes
from tests.graphs import assert_plain
from tests.small_checkpoints import LABELS
from tests.small_families import CVT, HUGGING_FACE

# One stage: Hugging Face takes the layers' rates of stage i from place i of a list with one place a layer, so a later
# stage can't have a single layer.
ONE_STAGE = {"embed_dim": [37], "num_heads": [1], "depth": [1], "cls_token": [True]}
NO_TOKEN = {"cls_token": [False] * 3}
ALL_TOKENS = {"cls_token": [True] * 3, "embed_dim": [24] * 3}
OUTER_TOKENS = {"cls_token": [True, False, True], "embed_dim": [24, 8, 24], "num_heads": [2] * 3}
TWO_STAGES = {"depth": [1, 2], "embed_dim": [16, 32], "num_heads": [1, 2]}
INNER_TOKEN = {"cls_token": [False, True, False], "embed_dim": [8, 24, 24], "num_heads": [2] * 3}

# Changes of the config, image size (height, width).
CASES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "default": ({}, (64, 64)),
    "Hugging Face's own test": (HUGGING_FACE["cvt"], (64, 64)),
    "widths 37": ({"embed_dim": [37] * 3, "num_heads": [1] * 3}, (64, 64)),
    "widths 2 and 6": ({"embed_dim": [2, 2, 6], "num_heads": [1, 2, 3]}, (64, 64)),
    "one stage": (ONE_STAGE, (32, 32)),
    "one stage without token": ({**ONE_STAGE, "cls_token": [False]}, (32, 32)),
    "no layers": ({"depth": [0, 2, 3]}, (64, 64)),
    "no layers of another method": ({"depth": [0, 2, 3], "qkv_projection_method": ["avg", "dw_bn", "dw_bn"]}, (64, 64)),
    "no token": (NO_TOKEN, (64, 64)),
    "all tokens": (ALL_TOKENS, (64, 64)),
    "tokens first and last": (OUTER_TOKENS, (64, 64)),
    "a token in the middle only": (INNER_TOKEN, (64, 64)),
    "a token that no classifier reads": ({**TWO_STAGES, "cls_token": [False, True, False]}, (64, 64)),
    "kernel 5": ({"kernel_qkv": [5] * 3, "padding_q": [2] * 3, "padding_kv": [2] * 3}, (64, 64)),
    "kernel 1": ({"kernel_qkv": [1] * 3, "padding_q": [0] * 3, "padding_kv": [0] * 3}, (64, 64)),
    "keys unpadded": ({"padding_kv": [0] * 3}, (64, 64)),
    "keys padded by 3": ({"padding_kv": [3] * 3}, (64, 64)),
    "keys of stride 1": ({"stride_kv": [1] * 3}, (64, 64)),
    "keys of stride 3": ({"stride_kv": [3, 3, 4]}, (64, 64)),
    "a single query": ({"stride_q": [16, 1, 1]}, (64, 64)),
    "patches of 4": ({"patch_sizes": [4, 2, 2], "patch_padding": [0] * 3}, (64, 64)),
    "strides 2": ({"patch_stride": [2, 2, 1]}, (32, 32)),
    "padding 3": ({"patch_padding": [3, 2, 0]}, (64, 64)),
    "mlp 2.5": ({"mlp_ratio": [2.5, 1.0, 0.5]}, (64, 64)),
    "no bias": ({"qkv_bias": [False, True, False]}, (64, 64)),
    "drop rates": ({"drop_rate": [0.1] * 3, "attention_drop_rate": [0.1] * 3, "drop_path_rate": [0.1] * 3}, (64, 64)),
    "one channel": ({"num_channels": 1}, (64, 64)),
    "one label": ({"num_labels": 1}, (80, 64)),
    "no labels": ({"num_labels": 0}, (64, 64)),
    "no labels, no token": ({"num_labels": 0, **NO_TOKEN}, (64, 64)),
    "not square": ({}, (64, 96)),
    "odd size": ({}, (97, 75)),
    "maps of one pixel": ({}, (16, 16)),
}

each_head = pytest.mark.parametrize("head", sorted(FAMILY.heads))


def small_model(head: str, image_size: tuple[int, int] = (64, 64), **changes: Any) -> Any:
    return CVT.model(head, image_size, {**({"id2label": None} if "num_labels" in changes else {}), **changes})


def small_config(**changes: Any) -> Any:
    return transformers.CvtConfig(**{**CVT.config, **changes})


def photos(image_size: tuple[int, int], channels: int = 3) -> list[Tensor]:
    return scenes(CVT.preprocess(image_size, channels))


@each_head
@pytest.mark.parametrize("case", CASES)
def test_is_hugging_face_for_every_config(head: str, case: str) -> None:
    changes, image_size = CASES[case]
    model = small_model(head, image_size, **changes)
    values = photos(image_size, model.config.num_channels)
    assert_is_hugging_face(model, build(model, head, image_size, ("hidden_states",)), values)
    # Without hidden states a classifier's last layer computes the class token only.
    assert_is_hugging_face(model, build(model, head, image_size, ()), values)


@each_head
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_a_norm_s_gain_may_be_0(head: str, beta: float) -> None:
    """Its affine can't be split into a shift before the padding and a gain behind it then, unless it is all 0."""
    model = small_model(head)
    for name, parameter in model.named_parameters():
        if "layernorm_before" in name:
            parameter[::3] = beta if name.endswith("bias") else 0.0
    assert_is_hugging_face(model, build(model, head, (64, 64), ("hidden_states",)), photos((64, 64)))


def _built(head: str, image_size: tuple[int, int] = (64, 64), **changes: Any) -> CommonModel:
    return build(small_model(head, image_size, **changes), head, image_size, ())


def test_does_not_change_the_oracle() -> None:
    model = small_model("classification")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    build(model, "classification", (64, 64), ())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_without_hidden_states_only_the_heads_outputs_are_given() -> None:
    names = {head: [out.name for out in _built(head).spec.outputs] for head in FAMILY.heads}
    assert names == {"base": ["last_hidden_state", "cls_token_value"], "classification": ["logits"]}
    assert [out.name for out in _built("base", **NO_TOKEN).spec.outputs] == ["last_hidden_state"]


def test_the_spec_says_what_the_checkpoint_is() -> None:
    spec = _built("classification", (64, 96), num_channels=1).spec
    assert (spec.family, spec.head, spec.image_size, spec.num_channels) == ("cvt", "classification", (64, 96), 1)
    assert (spec.labels, spec.num_labels) == (LABELS, 5)
    assert spec.inputs[0].shape == (1, 1, 64, 96)
    assert spec.num_parameters == sum(p.numel() for p in small_model("classification", num_channels=1).parameters())
    assert _built("base").spec.labels is None
    assert _built("classification", num_labels=0).spec.outputs[0].shape == (1, 48)


@each_head
def test_the_graph_is_plain(head: str) -> None:
    assert {"bmm", "cat"} <= assert_plain(_built(head), tuple(photos((64, 64))[:1]), rank=4)


def test_a_classifier_computes_the_query_of_the_last_class_token_only() -> None:
    graphs = [
        torch.export.export(build(small_model("classification"), "classification", (64, 64), optional), (photo,)).graph
        for photo in photos((64, 64))[:1]
        for optional in ((), ("hidden_states",))
    ]
    counts = [sum("conv2d" in str(node.target) for node in graph.nodes) for graph in graphs]
    # Three patch embeddings, and three projections in each of six layers.
    assert counts == [3 + 3 * 6 - 1, 3 + 3 * 6]


# Changes of the config, image size, what the message says.
REFUSED: dict[str, tuple[dict[str, Any], tuple[int, int], str]] = {
    "smaller than the first kernel": ({}, (2, 64), r"2x64: stage 0 .* 2x64.*padding of 2.*kernel of 7.*larger"),
    "a later stage": ({"patch_padding": [2, 1, 0]}, (16, 24), r"stage 2 .* map of 2x3, .* kernel of 3"),
    "keys": ({"padding_kv": [1, 1, 0]}, (64, 32), r"the keys of stage 2 .* map of 4x2, .* kernel of 3"),
    "queries": ({"stride_q": [1, 2, 1]}, (64, 64), r"queries of stage 1 are a map of 4x4, .* 8x8.*stride_q"),
    "kernel 2": ({"kernel_qkv": [2, 3, 3]}, (64, 64), r"queries of stage 0 are a map of 17x17, .* 16x16"),
    "a single query with a token": ({"stride_q": [1, 1, 9]}, (64, 64), r"queries of stage 2 are a map of 1x1"),
    "heads": ({"num_heads": [1, 3, 3]}, (64, 64), r"num_heads 3 of stage 1 .* embed_dim 32.*config.json"),
    "token": ({"cls_token": [False, True, True]}, (64, 64), r"cls_token of stage 1 .* 48, .* is 32"),
    "avg": ({"qkv_projection_method": ["dw_bn", "avg", "dw_bn"]}, (64, 64), r"qkv_projection_method of stage 1.*dw_bn"),
    "linear": ({"qkv_projection_method": ["linear", "dw_bn", "dw_bn"]}, (64, 64), r"qkv_projection_method of stage 0"),
}


@each_head
@pytest.mark.parametrize("case", REFUSED)
def test_what_hugging_face_cannot_compute_is_refused(head: str, case: str) -> None:
    changes, image_size, message = REFUSED[case]
    model = getattr(transformers, FAMILY.heads[head].architecture)(small_config(**changes)).eval()
    with pytest.raises(UnsupportedError, match=message):
        build(model, head, image_size, ())
    with torch.no_grad(), pytest.raises((AttributeError, RuntimeError)):
        model(torch.zeros(1, 3, *image_size))


@pytest.mark.parametrize("changes", [{"cls_token": [False, False, True]}, {"embed_dim": [16, 32, 48]}])
def test_a_classifier_of_a_stage_that_isn_t_there_is_refused(changes: dict[str, Any]) -> None:
    config = small_config(**{**TWO_STAGES, "cls_token": [False, False], **changes})
    model = transformers.CvtForImageClassification(config).eval()
    with pytest.raises(UnsupportedError, match=r"a classifier reads the last of each, and there are 2 stages"):
        build(model, "classification", (64, 64), ())
    with torch.no_grad(), pytest.raises((RuntimeError, TypeError)):
        FAMILY.at_size(model, "classification", (64, 64))(torch.zeros(1, 3, 64, 64))


# In millions, as the paper prints them beside its results (table 3 of https://arxiv.org/abs/2103.15808).
PUBLISHED = {"13": "20", "21": "32", "w24": "277"}


def test_known_checkpoints_are_the_seven_of_microsoft() -> None:
    known = [name for name, record in known_checkpoints().items() if record.family == "cvt"]
    sizes = ("13", "13-384", "13-384-22k", "21", "21-384", "21-384-22k", "w24-384-22k")
    assert known == [f"microsoft/cvt-{size}" for size in sizes]


@pytest.mark.parametrize("name", [name for name, record in known_checkpoints().items() if record.family == "cvt"])
def test_known_checkpoints_have_the_published_number_of_parameters(name: str) -> None:
    known = known_checkpoints()[name]
    with torch.device("meta"):
        model = transformers.CvtForImageClassification(transformers.CvtConfig(**known.config))
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    size = name.removeprefix("microsoft/cvt-").split("-")[0]
    assert f"{millions:.0f}" == PUBLISHED[size]
    assert (known.head, known.license, model.config.num_labels) == ("classification", "apache-2.0", 1000)
    preprocess = Preprocess.from_processor(known.processor, 3)
    assert preprocess.image_size == ((384, 384) if "384" in name else (224, 224))
    assert preprocess.resize == ({"height": 384, "width": 384} if "384" in name else {"shortest_edge": 256})


def test_every_module_of_hugging_face_that_the_family_reads_has_its_name() -> None:
    """Fails loudly when transformers moves a name, before parity does in a less clear way."""
    with torch.device("meta"):
        model = transformers.CvtForImageClassification(small_config())
    stage = model.cvt.encoder.stages[2]
    names = {name for name, _ in stage.named_modules()} | {name for name, _ in stage.named_parameters()}
    attention = "layers.0.attention.attention."
    assert {attention + f"projection_{part}" for part in ("query", "key", "value")} <= names
    convolution = attention + "convolution_projection_query.convolution_projection."
    assert {convolution + "convolution", convolution + "normalization"} <= names
    assert {"layers.0.layernorm_before", "layers.0.layernorm_after", "layers.0.attention.output.dense"} <= names
    assert {"layers.0.intermediate.dense", "layers.0.intermediate.activation", "layers.0.output.dense"} <= names
    embedding = "embedding.convolution_embeddings."
    assert {"cls_token", embedding + "projection", embedding + "normalization"} <= names


def test_attentions_are_refused_with_the_reason() -> None:
    for head in FAMILY.heads.values():
        with pytest.raises(UnsupportedError, match=r"output 'attentions': CvT gives none.*Known: .*hidden_states"):
            check_outputs(head, ("attentions",))


def test_without_a_class_token_the_file_has_none_and_asking_for_it_is_refused() -> None:
    model = _built("base", **NO_TOKEN)
    head = FAMILY.heads["base"]
    assert [out.name for out in select_outputs(model, head, ()).spec.outputs] == ["last_hidden_state"]
    with pytest.raises(UnsupportedError, match=r"'cls_token_value': the checkpoint's config leaves it out"):
        select_outputs(model, head, ("cls_token_value",))
