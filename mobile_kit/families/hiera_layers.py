"""The layers that all heads of Hiera share: attention in windows, query pooling, embeddings.

Tokens are (1, T, D) in the order of `hiera_tokens`. Norm affines and the scale of the attention are folded away.
"""

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.layers import Mlp, TokenNorm, attend, fold_affine, linear

__all__ = ["Embeddings", "FeatureMap", "Pooler", "Stage"]


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


class FeatureMap(nn.Module):
    """A LayerNorm of tokens that are a map."""

    gamma: Tensor
    beta: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        self.register_buffer("gamma", norm.weight.detach().clone(), persistent=False)
        self.register_buffer("beta", norm.bias.detach().clone(), persistent=False)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(1, T, D) in raster order to (1, D, H, W)."""
        return (self.norm(x) * self.gamma + self.beta).reshape(1, *size, -1).permute(0, 3, 1, 2)
