"""ViTMSN (Assran et al., https://arxiv.org/abs/2204.07141) for export: a plain vision transformer.

Tokens are (1, T, D), the class token first. Norm affines, the scale of the attention and the class token's position are
folded away; where only the class token is read, the last layer computes nothing else.
"""

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.models.family import Family, Head, describe
from mobile_kit.models.layers import (
    Attend,
    Mlp,
    Residual,
    TokenNorm,
    fold_affine,
    linear,
    merge_heads,
    read_out,
    split_heads,
)
from mobile_kit.models.position_embeddings import check_pairs, resample, unfilled
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec, group

__all__ = ["FAMILY", "ViTMSN"]

STATES = ("hidden_states", "attentions")
HEADS = {
    "base": Head("base", "ViTMSNModel", ("last_hidden_state",), STATES),
    "classification": Head("classification", "ViTMSNForImageClassification", ("logits",), STATES),
}


class Attention(nn.Module):
    """A LayerNorm and the self-attention behind it.

    read: how many tokens are asked for, from the first; None for all. shown: the probabilities are asked for too.
    """

    def __init__(self, attention: Any, norm: nn.LayerNorm, read: int | None, shown: bool) -> None:
        super().__init__()
        self.norm = TokenNorm(attention.q_proj.in_features, norm.eps)
        projections = [
            linear(attention.q_proj, scale=attention.scaling),
            linear(attention.k_proj),
            linear(attention.v_proj),
        ]
        self.query, self.key, self.value = (fold_affine(layer, norm.weight, norm.bias) for layer in projections)
        self.attend = Attend(shown)
        self.output = linear(attention.o_proj)
        self.heads = attention.num_attention_heads
        self.read = read

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, D) to (1, R, D) and the probabilities (H, R, T), for the R tokens that are asked for."""
        x = self.norm(x)
        asked = x if self.read is None else x[:, : self.read]
        query, key, value = self.query(asked), self.key(x), self.value(x)
        context, probabilities = self.attend(*(split_heads(part, self.heads) for part in (query, key, value)))
        return self.output(merge_heads(context)), probabilities


class Layer(nn.Module):
    """Attention and feed-forward network, each with a residual."""

    def __init__(self, layer: Any, read: int | None, shown: bool) -> None:
        super().__init__()
        self.attention = Attention(layer.attention, layer.layernorm_before, read, shown)
        self.mlp = Mlp(layer.layernorm_after, layer.mlp.fc1, layer.mlp.activation_fn, layer.mlp.fc2)
        self.attention_residual, self.residual = Residual(), Residual()
        self.read = read

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T, D) to (1, R, D) and the probabilities (H, R, T)."""
        context, probabilities = self.attention(x)
        x = self.attention_residual(x if self.read is None else x[:, : self.read], context)
        return self.residual(x, self.mlp(x)), probabilities


class Embeddings(nn.Module):
    """Patches as tokens behind the class token, with their positions, and the mask token where there is one."""

    first: Tensor
    positions: Tensor
    mask_token: Tensor | None

    def __init__(self, embeddings: Any) -> None:
        super().__init__()
        self.projection = copy.deepcopy(embeddings.patch_embeddings.projection)
        positions = embeddings.position_embeddings.detach()
        self.register_buffer("first", embeddings.cls_token.detach() + positions[:, :1], persistent=False)
        self.register_buffer("positions", positions[:, 1:].clone(), persistent=False)
        token = embeddings.mask_token
        self.register_buffer("mask_token", None if token is None else token.detach().clone(), persistent=False)

    def forward(self, pixel_values: Tensor, mask: Tensor | None) -> Tensor:
        """(1, C, H, W) and a mask (1, T - 1) of zeros and ones to (1, T, D)."""
        patches = self.projection(pixel_values).flatten(2).permute(0, 2, 1)
        if mask is not None:
            assert self.mask_token is not None
            mask = mask.reshape(1, -1, 1)
            patches = patches * (1 - mask) + self.mask_token * mask
        return torch.cat([self.first, patches + self.positions], dim=1)


class ViTMSN(CommonModel):
    """ViTMSN with either of its heads."""

    def __init__(self, spec: ModelSpec, model: Any) -> None:
        super().__init__(spec)
        backbone = model if spec.head == "base" else model.vit
        self.embeddings = Embeddings(backbone.embeddings)
        token_alone = spec.head == "classification" and len(spec.outputs) == 1
        reads = [1 if token_alone and layer is backbone.layers[-1] else None for layer in backbone.layers]
        shown = any(group(out.name) == "attentions" for out in spec.outputs)
        self.layers = nn.ModuleList(
            Layer(layer, read, shown) for layer, read in zip(backbone.layers, reads, strict=True)
        )
        norm = backbone.layernorm
        self.norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        # Without labels a classifier gives its token.
        self.read = read_out(norm, getattr(model, "classifier", None))

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.embeddings.projection

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W), and a mask of the patches where there is a token for it, to the spec's outputs."""
        x = self.embeddings(inputs[0], inputs[1] if len(inputs) > 1 else None)
        states, attentions = {"hidden_states_0": x}, {}
        for index, layer in enumerate(self.layers):
            x, probabilities = layer(x)
            states[f"hidden_states_{index + 1}"] = x
            attentions[f"attentions_{index}"] = probabilities[None]
        found = {**states, **attentions, **self._head(x)}
        return tuple(found[out.name] for out in self.spec.outputs)

    def _head(self, x: Tensor) -> dict[str, Tensor]:
        classification = self.spec.head == "classification"
        # A slice that takes all is a no-op, which coremltools doesn't know.
        x = self.read(self.norm(x[:, :1] if classification and x.shape[1] > 1 else x))
        return {"logits": x.reshape(1, -1)} if classification else {"last_hidden_state": x}


def build(model: Any, head: str, image_size: tuple[int, int], outputs: tuple[str, ...]) -> ViTMSN:
    """Return the common model of a Hugging Face ViTMSN.

    model: ViTMSNModel or ViTMSNForImageClassification, float32, of the image size (`at_size`). outputs: names from the
    head's `optional` that are to be added.
    """
    config = model.config
    backbone = model if head == "base" else model.vit
    tokens = backbone.embeddings.position_embeddings.shape[1]
    further: list[TensorSpec] = []
    if backbone.embeddings.mask_token is not None:
        further.append(TensorSpec("bool_masked_pos", (1, tokens - 1), "float32", None, "patch_mask", range=(0, 1)))
    spec = describe("vit_msn", head, model, image_size, _outputs(config, head, tokens, outputs), further)
    return ViTMSN(spec, model).eval()


def _outputs(config: Any, head: str, tokens: int, asked: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    width, depth, heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    logits = TensorSpec("logits", (1, config.num_labels or width), "float32", "NK", "logits")
    found = [TensorSpec("last_hidden_state", (1, tokens, width), "float32", "NTC")] if head == "base" else [logits]
    if "hidden_states" in asked and depth:  # Hugging Face has none where there is no layer
        found += [TensorSpec(f"hidden_states_{i}", (1, tokens, width), "float32", "NTC") for i in range(depth + 1)]
    if "attentions" in asked:
        found += [TensorSpec(f"attentions_{i}", (1, heads, tokens, tokens), "float32") for i in range(depth)]
    return tuple(found)


def at_size(model: Any, head: str, image_size: tuple[int, int]) -> Any:
    """Set a Hugging Face ViTMSN to another image size (height, width), in place.

    The table of positions is resampled as `ViTMSNEmbeddings.interpolate_pos_encoding` does it.
    Raises: UnsupportedError for a size that the patches don't fill, or a table that isn't square.
    """
    embeddings = (model if head == "base" else model.vit).embeddings
    if tuple(embeddings.image_size) == image_size:
        return model
    patch = _pair(embeddings.patch_size)
    if any(size % side for size, side in zip(image_size, patch, strict=True)):
        raise unfilled(image_size, "patches", patch, patch)
    table = embeddings.position_embeddings.detach()
    old, new = ((size[0] // patch[0], size[1] // patch[1]) for size in (embeddings.image_size, image_size))
    tokens = resample(table[:, 1:], old, new, image_size)
    embeddings.position_embeddings = nn.Parameter(torch.cat([table[:, :1], tokens], dim=1), requires_grad=False)
    embeddings.image_size = embeddings.patch_embeddings.image_size = image_size
    model.config.image_size = list(image_size)
    return model


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def options(head: str, tensors: Collection[str]) -> dict[str, Any]:
    """Hugging Face drops a checkpoint's mask token unless it is told to keep it."""
    masked = head == "base" and any(name.endswith("embeddings.mask_token") for name in tensors)
    return {"use_mask_token": True} if masked else {}


def check(config: Any, head: str) -> None:
    """Raise UnsupportedError for sizes that are neither a number nor a pair."""
    check_pairs(config, ("image_size", "patch_size"))


FAMILY = Family(
    name="vit_msn",
    model_type="vit_msn",
    heads=HEADS,
    build=build,
    check=check,
    at_size=at_size,
    fixed_size=True,
    options=options,
    surplus=("embeddings.mask_token",),
    data=Path(__file__).with_suffix(".json"),
)
