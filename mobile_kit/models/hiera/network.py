"""Hiera's network with the heads that read all of an image.

Tokens are (1, T, D) in the order of `hiera_tokens`. Norm affines and the scale of the attention are folded away.
"""

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.models.hiera.token_order import TokenOrder
from mobile_kit.models.layers import Affine, Attend, Mlp, Residual, TokenNorm, fold_affine, linear, read_out
from mobile_kit.models.spec import CommonModel, ModelSpec, group

__all__ = ["Hiera", "HieraBackbone", "HieraClassifier", "Stage"]


def pooled(x: Tensor, count: int) -> Tensor:
    """(1, T, D) to (1, T / count, D): the maximum of each `count` tokens in a row."""
    if count == 1:
        return x
    width = x.shape[2]
    groups = x.reshape(1, -1, count * width)
    return functools.reduce(torch.maximum, (groups[:, :, i * width : (i + 1) * width] for i in range(count)))


class Attention(nn.Module):
    """Self-attention of normalised tokens within windows, with its queries pooled.

    shown: the probabilities are an output of the file.
    """

    def __init__(self, attention: Any, norm: nn.LayerNorm, shown: bool) -> None:
        super().__init__()
        width = attention.hidden_size_output
        rows = [slice(i * width, (i + 1) * width) for i in range(3)]
        scales = (attention.scale, 1.0, 1.0)
        projections = [linear(attention.qkv, part, scale) for part, scale in zip(rows, scales, strict=True)]
        self.query, self.key, self.value = (fold_affine(layer, norm.weight, norm.bias) for layer in projections)
        self.attend = Attend(shown)
        self.output = linear(attention.proj)
        self.heads = attention.num_heads
        self.stride = attention.query_stride
        # How many tokens a window has; None for all.
        self.window = self.stride * attention.window_size if attention.use_mask_unit_attn else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, D) to (1, T / stride, E) and the probabilities (windows * heads, window / stride, window)."""
        windows = self.windows(x.shape[1])
        query, key, value = pooled(self.query(x), self.stride), self.key(x), self.value(x)
        context, probabilities = self.attend(*(self._split(part, windows) for part in (query, key, value)))
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

    def __init__(self, layer: Any, shown: bool) -> None:
        super().__init__()
        norm = layer.layernorm_before
        self.norm = TokenNorm(layer.hidden_size, norm.eps)
        self.attention = Attention(layer.attn, norm, shown)
        # Where the width changes, what the attention is added to has to change too.
        self.beside: nn.Linear | None = None
        if layer.hidden_size != layer.hidden_size_output:
            self.beside = fold_affine(linear(layer.proj), norm.weight, norm.bias)
        self.mlp = Mlp(layer.layernorm_after, layer.mlp.fc1, layer.mlp.activation_fn, layer.mlp.fc2)
        self.attention_residual, self.residual = Residual(), Residual()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, D) to (1, T / stride, E) and the attention's probabilities."""
        normal = self.norm(x)
        context, probabilities = self.attention(normal)
        beside = x if self.beside is None else pooled(self.beside(normal), self.attention.stride)
        x = self.attention_residual(beside, context)
        return self.residual(x, self.mlp(x)), probabilities


class Stage(nn.Module):
    """Layers of one width, the first of which may pool. shown: the last one's probabilities are an output."""

    def __init__(self, stage: Any, shown: bool = False) -> None:
        super().__init__()
        last = len(stage.layers) - 1
        self.layers = nn.ModuleList(Layer(layer, shown and i == last) for i, layer in enumerate(stage.layers))

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


class Pooler(nn.Module):
    """The mean of all tokens, normalised; and a classifier where there is one, the norm's affine folded into it."""

    def __init__(self, pooler: Any, classifier: nn.Module | None) -> None:
        super().__init__()
        norm = pooler.layernorm
        self.norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        # Without labels a classifier gives what it takes.
        self.read = read_out(norm, classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, D), or to logits (1, K)."""
        return self.read(self.norm(x.mean(1, keepdim=True))).reshape(1, -1)


class FeatureMap(nn.Module):
    """A LayerNorm of tokens that are a map."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        self.affine = Affine(norm.weight, norm.bias)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(1, T, D) in raster order to (1, D, H, W)."""
        return self.affine(self.norm(x)).reshape(1, *size, -1).permute(0, 3, 1, 2)


class Hiera(CommonModel):
    """The tokens and their mean, as HieraModel gives them."""

    def __init__(self, spec: ModelSpec, model: Any, order: TokenOrder) -> None:
        super().__init__(spec)
        backbone = getattr(model, "hiera", model)
        self.order = order
        self.embeddings = Embeddings(backbone.embeddings)
        shown = any(group(out.name) == "attentions" for out in spec.outputs)
        self.stages = nn.ModuleList(Stage(stage, shown) for stage in backbone.encoder.stages)
        self.pooler: Pooler | None = None
        if getattr(backbone, "pooler", None) is not None:
            self.pooler = Pooler(backbone.pooler, getattr(model, "classifier", None))

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.embeddings.projection

    def absorb(self, constant: Tensor) -> bool:
        """Let the position embedding, which is added to the stem's result, take up a constant map."""
        self.embeddings.positions += constant.flatten(2).permute(0, 2, 1)
        return True

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W), as the processor returns them, to the outputs of the spec."""
        states, attentions = self.encode(self.order.from_raster(self.embeddings(inputs[0])))
        return self.chosen({**self.own(states), **self.asked(states, attentions)})

    def encode(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(1, T, D) to itself and the tokens behind each stage, and each stage's last probabilities."""
        states, attentions = [x], []
        for stage in self.stages:
            x, probabilities = stage(x)
            states.append(x)
            attentions.append(probabilities)
        return states, attentions

    def own(self, states: list[Tensor]) -> dict[str, Tensor]:
        """Return what the head gives without being asked."""
        assert self.pooler is not None
        tokens = self.order.to_flat(states[-1], self.order.pools)
        return {"last_hidden_state": tokens, "pooler_output": self.pooler(states[-1])}

    def asked(self, states: list[Tensor], attentions: list[Tensor]) -> dict[str, Tensor]:
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

    def chosen(self, found: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs of the spec, in its order."""
        return tuple(found[out.name] for out in self.spec.outputs)


class HieraClassifier(Hiera):
    """Classes from the mean of all tokens."""

    def own(self, states: list[Tensor]) -> dict[str, Tensor]:
        """Return what the head gives without being asked."""
        assert self.pooler is not None
        return {"logits": self.pooler(states[-1])}


class HieraBackbone(Hiera):
    """The maps of some stages; places: which ones, 0 for the embedding."""

    def __init__(self, spec: ModelSpec, model: Any, order: TokenOrder, places: dict[str, int]) -> None:
        super().__init__(spec, model, order)
        self.places = tuple(places.values())
        self.maps = nn.ModuleList(FeatureMap(model.hidden_states_norms[name]) for name in places)
        if len(spec.outputs) == len(self.maps):
            self.stages = self.stages[: max(self.places)]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W), as the processor returns them, to the outputs of the spec."""
        # Hugging Face's backbone takes the rows of the map for its own order, and checkpoints were trained on that.
        states, attentions = self.encode(self.order.from_flat(self.embeddings(inputs[0])))
        return self.chosen({**self.own(states), **self.asked(states, attentions)})

    def own(self, states: list[Tensor]) -> dict[str, Tensor]:
        """Return what the head gives without being asked."""
        found = {}
        for number, (feature_map, place) in enumerate(zip(self.maps, self.places, strict=True)):
            level = self.order.level(place - 1)
            tokens = self.order.to_raster(states[place], level)
            found[f"feature_maps_{number}"] = feature_map(tokens, self.order.map_size(level))
        return found
