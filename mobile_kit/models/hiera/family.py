"""Hiera (Ryali et al., https://arxiv.org/abs/2306.00989) for export: a transformer whose attention runs in mask units.

Tokens are (1, T, D), in an order in which a mask unit lies together, and so do the tokens that are pooled
(`hiera_tokens`): attention in units is a reshape, and query pooling a maximum of slices.
"""

import copy
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.family import Family, Head, describe
from mobile_kit.models.hiera.network import Hiera, HieraBackbone, HieraClassifier
from mobile_kit.models.hiera.pretraining import HieraPreTraining, check_pretraining, predicted, units_kept
from mobile_kit.models.hiera.token_order import TokenOrder
from mobile_kit.models.position_embeddings import check_pairs, resample, unfilled
from mobile_kit.models.spec import CommonModel, TensorSpec

__all__ = ["FAMILY"]

STATES = ("hidden_states", "reshaped_hidden_states", "attentions")
HEADS = {
    "backbone": Head(
        "backbone",
        "HieraBackbone",
        ("feature_maps",),
        ("hidden_states", "attentions"),
        {"reshaped_hidden_states": "Hugging Face's backbone gives feature_maps in their place"},
    ),
    "base": Head("base", "HieraModel", ("last_hidden_state", "pooler_output"), STATES),
    "classification": Head("classification", "HieraForImageClassification", ("logits",), STATES),
    "pretraining": Head(
        "pretraining",
        "HieraForPreTraining",
        ("logits", "bool_masked_pos", "ids_restore"),
        (*STATES, "loss"),
    ),
}


def build(model: Any, head: str, image_size: tuple[int, int], outputs: tuple[str, ...]) -> CommonModel:
    """Return the common model of a Hugging Face Hiera.

    model: HieraModel or a model with one of its heads, float32, of the image size (`at_size`). outputs: names from the
    head's `optional` that are to be added.
    Raises: UnsupportedError for an image size that mask units or patches don't fill, and for a config with which
        Hugging Face can't compute either.
    """
    config = model.config
    order = _order(config, head, image_size)
    further: list[TensorSpec] = []
    kept = order
    if head == "pretraining":
        check_pretraining(config, order, "loss" in outputs)
        units = math.prod(order.cells)
        further.append(TensorSpec("noise", (1, units), "float32", None, "noise", range=(0, 1)))
        kept = replace(order, cells=(units_kept(config, order), 1))
    found = (*_own_outputs(config, head, order), *_asked_outputs(model, head, kept, outputs))
    spec = describe("hiera", head, model, image_size, found, further)
    if head == "backbone":
        return HieraBackbone(spec, model, order, _features(config)).eval()
    if head == "pretraining":
        return HieraPreTraining(spec, model, order, kept).eval()
    return (HieraClassifier if head == "classification" else Hiera)(spec, model, order).eval()


def _features(config: Any) -> dict[str, int]:
    """Return the stages whose maps a backbone gives, with their places, in Hugging Face's order; 0 is the embedding."""
    return {name: i for i, name in enumerate(config.stage_names) if name in config.out_features}


def _order(config: Any, head: str, image_size: tuple[int, int]) -> TokenOrder:
    """Return the order of the tokens. Raises: UnsupportedError where Hugging Face has none."""
    steps = len(config.depths) - 1
    block = [stride**steps for stride in config.query_stride]
    in_units = any(config.masked_unit_attention[: steps + 1]) or head == "pretraining"
    _check_config(config, block, in_units)
    unit = config.masked_unit_size if in_units else block
    grid = [size // stride for size, stride in zip(image_size, config.patch_stride, strict=True)]
    filled = not any(size % stride for size, stride in zip(image_size, config.patch_stride, strict=True))
    filled = filled and not any(tokens % side for tokens, side in zip(grid, block, strict=True))
    if not filled or math.prod(grid) % math.prod(unit) or not all(grid):
        sides = (unit[0] * config.patch_stride[0], unit[1] * config.patch_stride[1])
        step = (block[0] * config.patch_stride[0], block[1] * config.patch_stride[1])
        raise unfilled(image_size, "mask units", sides, step)
    return TokenOrder(
        cells=(grid[0] // block[0], grid[1] // block[1]),
        stride=(config.query_stride[0], config.query_stride[1]),
        steps=steps,
        pools=config.num_query_pool,
        spare=math.prod(unit) // math.prod(block),
    )


def _check_config(config: Any, block: list[int], in_units: bool) -> None:
    sides = zip(config.patch_size, config.patch_stride, config.patch_padding, strict=True)
    if not all(kernel - stride <= 2 * padding < kernel for kernel, stride, padding in sides):
        raise UnsupportedError(
            f"patch_size {list(config.patch_size)} with patch_stride {list(config.patch_stride)} and patch_padding "
            f"{list(config.patch_padding)} in the config: don't give one token a stride. Mend config.json."
        )
    if in_units and any(unit % side for unit, side in zip(config.masked_unit_size, block, strict=True)):
        raise UnsupportedError(
            f"masked_unit_size {list(config.masked_unit_size)} in the config: no multiple of {block[0]}x{block[1]}, to "
            "which all stages together pool. Mend config.json."
        )
    widths = _state_widths(config)[1:]
    same = any(narrow == wide for narrow, wide in pairwise(widths[: config.num_query_pool + 1]))
    if same and math.prod(config.query_stride) > 1:
        raise UnsupportedError(
            f"embed_dim_multiplier {config.embed_dim_multiplier} in the config: Hugging Face pools only where the "
            f"width changes, and those of the stages are {list(widths)}. Mend config.json."
        )
    if not all(config.depths):
        raise UnsupportedError(
            f"depths {list(config.depths)} in the config: Hugging Face computes no stage without layers. "
            "Mend config.json."
        )
    if any(width % heads for width, heads in zip(widths, config.num_heads, strict=False)):
        raise UnsupportedError(
            f"num_heads {list(config.num_heads)} in the config: don't divide the stages' widths {list(widths)}. "
            "Mend config.json."
        )


def _own_outputs(config: Any, head: str, order: TokenOrder) -> list[TensorSpec]:
    widths, last = _state_widths(config), order.tokens(order.pools)
    if head == "classification":
        return [TensorSpec("logits", (1, config.num_labels or widths[-1]), "float32", "NK", "logits")]
    if head == "backbone":
        places = enumerate(_features(config).values())
        shapes = {f"feature_maps_{i}": (widths[n], *order.map_size(order.level(n - 1))) for i, n in places}
        return [TensorSpec(name, (1, *shape), "float32", "NCHW") for name, shape in shapes.items()]
    if head == "pretraining":
        return [
            TensorSpec("logits", (1, last, config.num_channels * math.prod(predicted(config))), "float32", "NTC"),
            TensorSpec("bool_masked_pos", (1, last), "float32", "NT", "kept", range=(0, 1)),
            TensorSpec("ids_restore", (1, math.prod(order.cells)), "int32", "NT", "index"),
        ]
    return [
        TensorSpec("last_hidden_state", (1, last, widths[-1]), "float32", "NTC"),
        TensorSpec("pooler_output", (1, widths[-1]), "float32", "NC"),
    ]


def _asked_outputs(model: Any, head: str, order: TokenOrder, asked: tuple[str, ...]) -> list[TensorSpec]:
    found: list[TensorSpec] = []
    states = [(order.level(i), width) for i, width in enumerate(_state_widths(model.config), start=-1)]
    if "hidden_states" in asked:
        shapes = [(1, order.tokens(level), width) for level, width in states]
        # The base head's last one is there already, and no converter gives one tensor two names.
        shapes = shapes[:-1] if head == "base" else shapes
        found += [TensorSpec(f"hidden_states_{i}", shape, "float32", "NTC") for i, shape in enumerate(shapes)]
    if "reshaped_hidden_states" in asked:
        for i, (level, width) in enumerate(states):
            # In pretraining each unit that is kept is a map by itself.
            units, (height, across) = order.cells[0], order.map_size(level)
            size = (units, height // units, across) if head == "pretraining" else (height, across)
            layout = None if head == "pretraining" else "NHWC"
            found.append(TensorSpec(f"reshaped_hidden_states_{i}", (1, *size, width), "float32", layout))
    if "attentions" in asked:
        for i, stage in enumerate(getattr(model, "hiera", model).encoder.stages):
            attention = stage.layers[-1].attn
            tokens = order.tokens(order.level(i)) * attention.query_stride
            window = attention.query_stride * attention.window_size if attention.use_mask_unit_attn else tokens
            shape = (1, attention.num_heads, tokens // window, window // attention.query_stride, window)
            found.append(TensorSpec(f"attentions_{i}", shape, "float32"))
    return found + [TensorSpec("loss", (1,), "float32", None, "loss")] * ("loss" in asked)


def _state_widths(config: Any) -> tuple[int, ...]:
    """Return the widths of the embedding and of every stage's result."""
    stages = (int(config.embed_dim * config.embed_dim_multiplier**i) for i in range(len(config.depths)))
    return (config.embed_dim, *stages)


def at_size(model: Any, head: str, image_size: tuple[int, int]) -> Any:
    """Return a Hugging Face Hiera of another image size (height, width), which takes over the weights.

    The table of positions is resampled as `HieraEmbeddings.interpolate_pos_encoding` does it.
    Raises: UnsupportedError for a size that mask units or patches don't fill, for a table that isn't square, and for
        pretraining, whose masks and decoder have the size of the config.
    """
    config = model.config
    old = tuple(config.image_size)
    if old == image_size:
        return model
    if head == "pretraining":
        raise UnsupportedError(
            f"image size {image_size[0]}x{image_size[1]}: the decoder's positions and the masks are for "
            f"{old[0]}x{old[1]} only. Ask for that size."
        )
    _order(config, head, image_size)
    tensors = model.state_dict()
    name = next(name for name in tensors if name.endswith("embeddings.position_embeddings"))
    stride = config.patch_stride
    grid, new = ((size[0] // stride[0], size[1] // stride[1]) for size in (old, image_size))
    tensors[name] = resample(tensors[name], grid, new, image_size)
    config = copy.deepcopy(config)
    config.image_size = list(image_size)
    with torch.device("meta"):
        resized = type(model)(config)
    resized.load_state_dict(tensors, assign=True)
    return resized.train(model.training).requires_grad_(False)


def check(config: Any, head: str) -> None:
    """Raise UnsupportedError for settings that aren't pairs, and for pretraining without a decoder's."""
    check_pairs(config, ("image_size", "masked_unit_size", "patch_size", "patch_stride", "query_stride"))
    check_pairs(config, ("patch_padding",), least=0)
    decoder = ("decoder_hidden_size", "decoder_depth", "decoder_num_heads")
    if head == "pretraining" and any(getattr(config, name) is None for name in decoder):
        raise UnsupportedError(
            "head 'pretraining': the config describes no decoder, as those of the -mae-hf checkpoints do. "
            "Choose another --head."
        )
    if not 0 <= config.num_query_pool < len(config.depths):
        raise UnsupportedError(
            f"num_query_pool {config.num_query_pool} in the config: isn't from 0 to {len(config.depths) - 1}, one less "
            "than there are stages. Mend config.json."
        )


FAMILY = Family(
    name="hiera",
    model_type="hiera",
    heads=HEADS,
    build=build,
    check=check,
    at_size=at_size,
    fixed_size=True,
    data=Path(__file__).with_name("checkpoints.json"),
)
