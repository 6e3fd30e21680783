"""Hiera (Ryali et al., https://arxiv.org/abs/2306.00989) for export: a transformer whose attention runs in mask units.

Tokens are (1, T, D), in an order in which a mask unit lies together, and so do the tokens that are pooled
(`hiera_tokens`): attention in units is a reshape, and query pooling a maximum of slices. Norm affines and the scale of
the attention are folded away.
"""

import copy
import functools
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.families import Family, Head, labels_of
from mobile_kit.families.hiera_tokens import TokenOrder
from mobile_kit.layers import Mlp, TokenNorm, attend, fold_affine, linear
from mobile_kit.spec import CommonModel, ModelSpec, TensorSpec

__all__ = ["FAMILY", "Hiera"]

STATES = ("hidden_states", "reshaped_hidden_states", "attentions")
HEADS = {
    "base": Head("base", "HieraModel", ("last_hidden_state", "pooler_output"), STATES),
    "classification": Head("classification", "HieraForImageClassification", ("logits",), STATES),
}


def pooled(x: Tensor, count: int) -> Tensor:
    """(1, T, D) to (1, T / count, D): the maximum of each `count` tokens in a row."""
    if count == 1:
        return x
    width = x.shape[2]
    groups = x.reshape(1, -1, count * width)
    return functools.reduce(torch.maximum, (groups[:, :, i * width : (i + 1) * width] for i in range(count)))


class Attention(nn.Module):
    """Self-attention of normalised tokens within windows, with its queries pooled."""

    def __init__(self, attention: Any, norm: nn.LayerNorm) -> None:
        super().__init__()
        width = attention.hidden_size_output
        rows = [slice(i * width, (i + 1) * width) for i in range(3)]
        scales = (attention.scale, 1.0, 1.0)
        projections = [linear(attention.qkv, part, scale) for part, scale in zip(rows, scales, strict=True)]
        self.query, self.key, self.value = (fold_affine(layer, norm.weight, norm.bias) for layer in projections)
        self.output = linear(attention.proj)
        self.heads = attention.num_heads
        self.stride = attention.query_stride
        # How many tokens a window has; null for all.
        self.window = self.stride * attention.window_size if attention.use_mask_unit_attn else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, D) to (1, T / stride, E) and the probabilities (windows * heads, window / stride, window)."""
        windows = self.windows(x.shape[1])
        query, key, value = pooled(self.query(x), self.stride), self.key(x), self.value(x)
        context, probabilities = attend(*(self._split(part, windows) for part in (query, key, value)))
        if self.heads > 1:
            context = context.reshape(windows, self.heads, context.shape[1], -1).permute(0, 2, 1, 3)
        return self.output(context.reshape(1, query.shape[1], -1)), probabilities

    def windows(self, tokens: int) -> int:
        """Return how many windows attend by themselves."""
        return tokens // (self.window or tokens)

    def _split(self, x: Tensor, windows: int) -> Tensor:
        """(1, T, H * d) to (windows * H, T / windows, d)."""
        if self.heads == 1:
            return x.reshape(windows, -1, x.shape[2])
        tokens = x.shape[1] // windows
        return x.reshape(windows, tokens, self.heads, -1).permute(0, 2, 1, 3).reshape(windows * self.heads, tokens, -1)


class Layer(nn.Module):
    """Attention and feed-forward network, each with a residual; the first is pooled where the width changes."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        norm = layer.layernorm_before
        self.norm = TokenNorm(layer.hidden_size, norm.eps)
        self.attention = Attention(layer.attn, norm)
        self.residual: nn.Linear | None = None
        if layer.hidden_size != layer.hidden_size_output:
            self.residual = fold_affine(linear(layer.proj), norm.weight, norm.bias)
        self.mlp = Mlp(layer.layernorm_after, layer.mlp.fc1, layer.mlp.activation_fn, layer.mlp.fc2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, D) to (1, T / stride, E) and the attention's probabilities."""
        normal = self.norm(x)
        context, probabilities = self.attention(normal)
        x = context + (x if self.residual is None else pooled(self.residual(normal), self.attention.stride))
        return x + self.mlp(x), probabilities


class Stage(nn.Module):
    """Layers of one width, the first of which may pool."""

    def __init__(self, stage: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(Layer, stage.layers))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, D) to (1, T / stride, E) and the last attention's probabilities."""
        for layer in self.layers:
            x, probabilities = layer(x)
        return x, probabilities


class Embeddings(nn.Module):
    """Patches as tokens in raster order, with their positions."""

    positions: Tensor

    def __init__(self, embeddings: Any) -> None:
        super().__init__()
        self.projection = copy.deepcopy(embeddings.patch_embeddings.projection)
        self.register_buffer("positions", embeddings.position_embeddings.detach().clone(), persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(1, C, H, W) to (1, T, D)."""
        return self.projection(pixel_values).flatten(2).permute(0, 2, 1) + self.positions


class Hiera(CommonModel):
    """Hiera with any of its heads."""

    def __init__(self, spec: ModelSpec, model: Any, order: TokenOrder) -> None:
        super().__init__(spec)
        backbone = _backbone(model, spec.head)
        self.embeddings = Embeddings(backbone.embeddings)
        self.order = order
        self.stages = nn.ModuleList(map(Stage, backbone.encoder.stages))
        self.head = Pooler(backbone.pooler, getattr(model, "classifier", None))

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.embeddings.projection

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W), as the processor returns them, to the outputs of the spec."""
        x = self.order.from_raster(self.embeddings(inputs[0]))
        states, attentions = [x], []
        for stage in self.stages:
            x, probabilities = stage(x)
            states.append(x)
            attentions.append(probabilities)
        name = "logits" if self.spec.head == "classification" else "pooler_output"
        found = {name: self.head(x), "last_hidden_state": self.order.to_flat(x, self.order.pools)}
        found |= self._asked(states, attentions)
        return tuple(found[out.name] for out in self.spec.outputs)

    def _asked(self, states: list[Tensor], attentions: list[Tensor]) -> dict[str, Tensor]:
        """Bring what `--outputs` asks for beside the head's own outputs into Hugging Face's order."""
        found, shapes = {}, {out.name: out.shape for out in self.spec.outputs}
        for index, state in enumerate(states):
            level = self.order.level(index - 1)
            if (name := f"hidden_states_{index}") in shapes:
                found[name] = self.order.to_flat(state, level)
            if (name := f"reshaped_hidden_states_{index}") in shapes:
                found[name] = self.order.to_raster(state, level).reshape(shapes[name])
        for index, probabilities in enumerate(attentions):
            if (name := f"attentions_{index}") in shapes:
                found[name] = self.order.attentions(probabilities, shapes[name])
        return found


class Pooler(nn.Module):
    """The mean of all tokens, normalised; and a classifier where there is one, the norm's affine folded into it."""

    gamma: Tensor
    beta: Tensor

    def __init__(self, pooler: Any, classifier: nn.Module | None) -> None:
        super().__init__()
        norm = pooler.layernorm
        self.norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        self.classifier: nn.Module | None = None
        if isinstance(classifier, nn.Linear):
            self.classifier = fold_affine(linear(classifier), norm.weight, norm.bias)
        else:
            # Without labels a classifier gives what it takes.
            self.register_buffer("gamma", norm.weight.detach().clone(), persistent=False)
            self.register_buffer("beta", norm.bias.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, D), or to logits (1, K)."""
        x = self.norm(x.mean(1, keepdim=True))
        x = x * self.gamma + self.beta if self.classifier is None else self.classifier(x)
        return x.reshape(1, -1)


def build(model: Any, head: str, image_size: tuple[int, int], outputs: tuple[str, ...]) -> Hiera:
    """Return the common model of a Hugging Face Hiera.

    model: HieraModel or a model with one of its heads, float32, of the image size (`at_size`). outputs: names from the
    head's `optional` that are to be added.
    Raises: UnsupportedError for an image size that mask units or patches don't fill, and for a config with which
        Hugging Face can't compute either.
    """
    config = model.config
    order = _order(config, head, image_size)
    spec = ModelSpec(
        family="hiera",
        head=head,
        image_size=image_size,
        num_channels=config.num_channels,
        num_labels=config.num_labels or None if head == "classification" else None,
        num_parameters=sum(p.numel() for p in model.parameters()),
        inputs=(TensorSpec("pixel_values", (1, config.num_channels, *image_size), "float32", "NCHW", "pixel_values"),),
        outputs=(*_own_outputs(model, head, order), *_asked_outputs(_backbone(model, head), head, order, outputs)),
        labels=labels_of(config) if head == "classification" else None,
    )
    return Hiera(spec, model, order).eval()


def _backbone(model: Any, head: str) -> Any:
    return model if head in {"base", "backbone"} else model.hiera


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
        sides = [side * stride for side, stride in zip(unit, config.patch_stride, strict=True)]
        near = "x".join(str(max(round(size / s), 1) * s) for size, s in zip(image_size, sides, strict=True))
        raise UnsupportedError(
            f"image size {image_size[0]}x{image_size[1]}: mask units of {sides[0]}x{sides[1]} pixels don't fill it. "
            f"The nearest that they fill is {near}."
        )
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
    if config.embed_dim_multiplier == 1 and config.num_query_pool and math.prod(config.query_stride) > 1:
        raise UnsupportedError(
            "embed_dim_multiplier 1 in the config: Hugging Face pools only where the width changes. Mend config.json."
        )


def _own_outputs(model: Any, head: str, order: TokenOrder) -> tuple[TensorSpec, ...]:
    width = _widths(model.config)[-1]
    if head == "classification":
        return (TensorSpec("logits", (1, model.config.num_labels or width), "float32", "NK", "logits"),)
    return (
        TensorSpec("last_hidden_state", (1, order.tokens(order.pools), width), "float32", "NTC"),
        TensorSpec("pooler_output", (1, width), "float32", "NC"),
    )


def _asked_outputs(backbone: Any, head: str, order: TokenOrder, asked: tuple[str, ...]) -> list[TensorSpec]:
    widths, found = _widths(backbone.config), []
    states = [(order.level(i), width) for i, width in enumerate((widths[0], *widths), start=-1)]
    if "hidden_states" in asked:
        shapes = [(1, order.tokens(level), width) for level, width in states]
        # The base head's last one is there already, and no converter gives one tensor two names.
        shapes = shapes[:-1] if head == "base" else shapes
        found += [TensorSpec(f"hidden_states_{i}", shape, "float32", "NTC") for i, shape in enumerate(shapes)]
    if "reshaped_hidden_states" in asked:
        maps = [(1, *order.map_size(level), width) for level, width in states]
        found += [TensorSpec(f"reshaped_hidden_states_{i}", shape, "float32", "NHWC") for i, shape in enumerate(maps)]
    if "attentions" in asked:
        for index, stage in enumerate(backbone.encoder.stages):
            attention = stage.layers[-1].attn
            tokens = order.tokens(order.level(index)) * attention.query_stride
            window = attention.query_stride * attention.window_size if attention.use_mask_unit_attn else tokens
            shape = (1, attention.num_heads, tokens // window, window // attention.query_stride, window)
            found.append(TensorSpec(f"attentions_{index}", shape, "float32"))
    return found


def _widths(config: Any) -> tuple[int, ...]:
    return tuple(int(config.embed_dim * config.embed_dim_multiplier**i) for i in range(len(config.depths)))


FAMILY = Family(
    name="hiera",
    model_type="hiera",
    heads=HEADS,
    build=build,
    data=Path(__file__).with_suffix(".json"),
)
