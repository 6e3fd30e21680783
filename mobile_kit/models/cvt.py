"""CvT (Wu et al., https://arxiv.org/abs/2103.15808) for export: a transformer of stages with convolutional projections.

Tokens are (1, T, D), patches in raster order behind a stage's class token where it has one; only convolutions see maps
(1, D, H, W). Batch norms, the scale of the attention and the norms' affines are folded away as far as the padding of
the convolutions lets them; where only the class token is read, the last layer computes nothing else.
"""

import copy
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.family import Family, Head, describe
from mobile_kit.models.layers import (
    Affine,
    Attend,
    Mlp,
    Residual,
    TokenNorm,
    fold_affine,
    fold_batch_norm,
    linear,
    merge_heads,
    read_out,
    split_heads,
)
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec

__all__ = ["FAMILY", "CvT"]

STATES = ("hidden_states",)
ABSENT = {"attentions": "CvT gives none, nor does Hugging Face's"}
HEADS = {
    "base": Head("base", "CvtModel", ("last_hidden_state", "cls_token_value"), STATES, ABSENT),
    "classification": Head("classification", "CvtForImageClassification", ("logits",), STATES, ABSENT),
}
# The one projection of queries, keys and values that Hugging Face's forward pass has.
METHOD = "dw_bn"

# The largest shift before a gain, so that both stay within float16's range.
MOST_SHIFT = 1024.0

Size = tuple[int, int]


def _as_map(x: Tensor, size: Size) -> Tensor:
    """(1, H * W, D) to (1, D, H, W)."""
    return x.reshape(1, *size, -1).permute(0, 3, 1, 2)


def _as_tokens(x: Tensor) -> Tensor:
    """(1, D, H, W) to (1, H * W, D)."""
    return x.permute(0, 2, 3, 1).reshape(1, -1, x.shape[1])


def _affine_norm(norm: nn.LayerNorm) -> nn.Sequential:
    return nn.Sequential(TokenNorm(norm.normalized_shape[0], norm.eps), Affine(norm.weight, norm.bias))


class ShiftNorm(nn.Module):
    """Normalise each token and add a shift a channel; a gain is left to whatever comes next."""

    part: ClassVar[str] = "norms"
    shift: Tensor

    def __init__(self, width: int, eps: float, shift: Tensor) -> None:
        super().__init__()
        self.norm = TokenNorm(width, eps)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to the same."""
        return self.norm(x) + self.shift


def _split(norm: nn.LayerNorm) -> tuple[nn.Module, Tensor]:
    """Return a norm in two parts, the second a gain (D,) that may go through a zero-padded depthwise convolution.

    `x * gamma + beta` is `(x + beta / gamma) * gamma`: the padding of a convolution is zeros, never beta, but zero is
    zero before the gain and behind it. Where a gamma is next to nothing, all of the affine stays in the first part.
    """
    gamma, beta = norm.weight.detach(), norm.bias.detach()
    if bool((beta.abs() > MOST_SHIFT * gamma.abs()).any()):
        return _affine_norm(norm), torch.ones_like(gamma)
    shift = torch.where(gamma == 0, 0.0, beta.double() / gamma.double()).float()
    return ShiftNorm(norm.normalized_shape[0], norm.eps, shift), gamma.clone()


class Projection(nn.Module):
    """A depthwise convolution with its batch norm, then a linear layer; the class token takes the second only.

    gain: (D,), what the map is still to be multiplied by; the class token has been. The convolution's bias is the
    linear layer's: a kernel that adds its taps up in float16 rounds less where it begins at nothing.
    """

    bias: Tensor

    def __init__(self, projection: Any, layer: nn.Linear, gain: Tensor, scale: float = 1.0) -> None:
        super().__init__()
        depthwise = projection.convolution_projection
        self.depthwise = fold_batch_norm(depthwise.convolution, depthwise.normalization)
        weight = self.depthwise.weight.double() * gain.double().reshape(-1, 1, 1, 1)
        self.depthwise.weight = nn.Parameter(weight.float(), requires_grad=False)
        assert self.depthwise.bias is not None
        bias = self.depthwise.bias.detach()
        self.depthwise.bias = nn.Parameter(torch.zeros_like(bias), requires_grad=False)
        self.linear = fold_affine(linear(layer, scale=scale), torch.ones_like(bias), bias)
        self.register_buffer("bias", bias.clone(), persistent=False)

    def forward(self, patches: Tensor, token: Tensor | None) -> Tensor:
        """A map (1, D, H, W) and a class token (1, 1, D) to (1, T, D)."""
        x = _as_tokens(self.depthwise(patches))
        return self.linear(x if token is None else torch.cat([token - self.bias, x], dim=1))


class Attention(nn.Module):
    """Self-attention with the norm before it. only_token: nothing but the class token is asked for."""

    gain: Tensor

    def __init__(self, attention: Any, norm: nn.LayerNorm, size: Size, only_token: bool) -> None:
        super().__init__()
        inner = attention.attention
        self.norm, gain = _split(norm)
        self.register_buffer("gain", gain, persistent=False)
        query = inner.projection_query
        if only_token:
            self.query: nn.Module = linear(query, scale=inner.scale)
        else:
            self.query = Projection(inner.convolution_projection_query, query, gain, inner.scale)
        self.key = Projection(inner.convolution_projection_key, inner.projection_key, gain)
        self.value = Projection(inner.convolution_projection_value, inner.projection_value, gain)
        self.attend = Attend(shown=False)
        self.output = linear(attention.output.dense)
        self.heads, self.size = inner.num_heads, size
        self.with_token, self.only_token = inner.with_cls_token, only_token

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D), or to (1, 1, D) for the class token only."""
        x = self.norm(x)
        token = x[:, :1] * self.gain if self.with_token else None
        patches = _as_map(x[:, 1:] if self.with_token else x, self.size)
        query = self.query(token) if self.only_token else self.query(patches, token)
        parts = query, self.key(patches, token), self.value(patches, token)
        context, _ = self.attend(*(split_heads(part, self.heads) for part in parts))
        return self.output(merge_heads(context))


class Layer(nn.Module):
    """Attention and feed-forward network, each with a residual."""

    def __init__(self, layer: Any, size: Size, only_token: bool) -> None:
        super().__init__()
        self.attention = Attention(layer.attention, layer.layernorm_before, size, only_token)
        feed = layer.intermediate
        self.mlp = Mlp(layer.layernorm_after, feed.dense, feed.activation, layer.output.dense)
        self.attention_residual, self.residual = Residual(), Residual()
        self.only_token = only_token

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D), or to (1, 1, D) for the class token only."""
        # Hugging Face too takes a single query for all tokens, where its map is one pixel.
        x = self.attention_residual(x[:, :1] if self.only_token else x, self.attention(x))
        return self.residual(x, self.mlp(x))


class Stage(nn.Module):
    """A convolution to patches, a class token where the config has one, and layers."""

    token: Tensor | None

    def __init__(self, stage: Any, size: Size, only_token: bool) -> None:
        super().__init__()
        embedding = stage.embedding.convolution_embeddings
        self.projection: nn.Conv2d = copy.deepcopy(embedding.projection)
        self.norm = _affine_norm(embedding.normalization)
        token = stage.cls_token.detach().clone() if hasattr(stage, "cls_token") else None
        self.register_buffer("token", token, persistent=False)
        last = len(stage.layers) - 1
        self.layers = nn.Sequential(*(Layer(x, size, only_token and i == last) for i, x in enumerate(stage.layers)))
        self.size = size

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """(1, C, H, W) to the map (1, D, h, w), None where it isn't read, and the class token (1, 1, D) or None."""
        x = self.norm(_as_tokens(self.projection(x)))
        if self.token is None:
            return _as_map(self.layers(x), self.size), None
        x = self.layers(torch.cat([self.token, x], dim=1))
        return (None, x) if x.shape[1] == 1 else (_as_map(x[:, 1:], self.size), x[:, :1])


class Classifier(nn.Module):
    """The last norm, and the linear layer behind it; without labels a classifier gives the features."""

    def __init__(self, norm: nn.LayerNorm, layer: nn.Module) -> None:
        super().__init__()
        self.norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        self.layer = read_out(norm, layer)

    def forward(self, x: Tensor | None, token: Tensor | None) -> Tensor:
        """The class token, or where there is none the mean of the map's, to (1, K)."""
        if token is None:
            assert x is not None
            # The mean over a map is an operation of every delegate, and the one over tokens isn't.
            token = _as_map(self.norm(_as_tokens(x)), (x.shape[2], x.shape[3])).mean((2, 3))
            return self.layer(token)
        return self.layer(self.norm(token)).reshape(1, -1)


class CvT(CommonModel):
    """CvT with either of its heads."""

    def __init__(self, spec: ModelSpec, model: Any, sizes: list[Size]) -> None:
        super().__init__(spec)
        stages = _stages(model)
        classifies = spec.head == "classification"
        only_token = classifies and _classifies_token(model) and len(spec.outputs) == 1
        reads = [False] * (len(stages) - 1) + [only_token]
        self.stages = nn.ModuleList(Stage(*each) for each in zip(stages, sizes, reads, strict=True))
        self.classifier = Classifier(model.layernorm, model.classifier) if classifies else None
        self.classifies_token = classifies and _classifies_token(model)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        first = self.stages[0]
        assert isinstance(first, Stage)
        return first.projection

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W), as the processor returns them, to the outputs of the spec."""
        x: Tensor | None = inputs[0]
        token: Tensor | None = None
        found: dict[str, Any] = {}
        for index, stage in enumerate(self.stages):
            x, token = stage(x)
            found[f"hidden_states_{index}"] = x
        found["last_hidden_state"], found["cls_token_value"] = x, token
        if self.classifier is not None:
            found["logits"] = self.classifier(x, token if self.classifies_token else None)
        return tuple(found[out.name] for out in self.spec.outputs)


def build(model: Any, head: str, image_size: Size, outputs: tuple[str, ...]) -> CvT:
    """Return the common model of a Hugging Face CvT.

    model: CvtModel or CvtForImageClassification, float32. image_size: (height, width) in pixels. outputs: names from
    the head's `optional` that are to be added.
    Raises: UnsupportedError for an image size of which a stage leaves nothing, and for a config that Hugging Face
        can't compute either.
    """
    sizes = _map_sizes(model, image_size)
    spec = describe("cvt", head, model, image_size, _outputs(model, head, sizes, "hidden_states" in outputs))
    return CvT(spec, model, sizes).eval()


def _stages(model: Any) -> Any:
    return getattr(model, "cvt", model).encoder.stages


def _classifies_token(model: Any) -> bool:
    """Whether a classifier reads the class token: the config's last word on it, whatever number of stages there is."""
    return bool(model.config.cls_token[-1])


def _outputs(model: Any, head: str, sizes: list[Size], hidden_states: bool) -> tuple[TensorSpec, ...]:
    config = model.config
    maps = [(1, width, *size) for width, size in zip(config.embed_dim, sizes, strict=False)]
    states = [TensorSpec(f"hidden_states_{i}", shape, "float32", "NCHW") for i, shape in enumerate(maps)]
    width = maps[-1][1]
    if head == "classification":
        logits = TensorSpec("logits", (1, config.num_labels or width), "float32", "NK", "logits")
        return (logits, *states) if hidden_states else (logits,)
    found = [TensorSpec("last_hidden_state", maps[-1], "float32", "NCHW")]
    if hasattr(_stages(model)[-1], "cls_token"):
        found.append(TensorSpec("cls_token_value", (1, 1, width), "float32", "NTC"))
    # The last map is there already, and no converter gives one tensor two names.
    return (*found, *states[:-1]) if hidden_states else tuple(found)


def _map_sizes(model: Any, image_size: Size) -> list[Size]:
    """Return the map size (height, width) of each stage.

    Raises: UnsupportedError where Hugging Face can't compute it.
    """
    _check_classifier(model)
    size, sizes = image_size, []
    for index, stage in enumerate(_stages(model)):
        size = _conv_size(stage.embedding.convolution_embeddings.projection, size, image_size, f"stage {index}")
        _check_token(stage, index)
        for layer in stage.layers:
            _check_attention(layer.attention.attention, size, image_size, f"stage {index}")
        sizes.append(size)
    return sizes


def _check_classifier(model: Any) -> None:
    if not hasattr(model, "layernorm"):
        return
    config, last = model.config, _stages(model)[-1]
    width = last.embedding.convolution_embeddings.projection.out_channels
    if (_classifies_token(model) and not hasattr(last, "cls_token")) or width != config.embed_dim[-1]:
        raise UnsupportedError(
            f"cls_token {list(config.cls_token)} and embed_dim {list(config.embed_dim)} in the config: a classifier "
            f"reads the last of each, and there are {len(config.depth)} stages. Mend config.json."
        )


def _check_token(stage: Any, index: int) -> None:
    width = stage.embedding.convolution_embeddings.projection.out_channels
    if hasattr(stage, "cls_token") and stage.cls_token.shape[2] != width:
        raise UnsupportedError(
            f"cls_token of stage {index} in the config: its width is the last embed_dim, {stage.cls_token.shape[2]}, "
            f"and the stage's is {width}. Mend config.json."
        )


def _check_attention(attention: Any, size: Size, image_size: Size, where: str) -> None:
    query, key = attention.convolution_projection_query, attention.convolution_projection_key
    if not (hasattr(query, "convolution_projection") and hasattr(key, "convolution_projection")):
        raise UnsupportedError(
            f"qkv_projection_method of {where} in the config: Hugging Face's CvT computes {METHOD!r} only. "
            "Mend config.json."
        )
    if attention.embed_dim % attention.num_heads:
        raise UnsupportedError(
            f"num_heads {attention.num_heads} of {where} in the config: don't divide its embed_dim "
            f"{attention.embed_dim}. Mend config.json."
        )
    _conv_size(key.convolution_projection.convolution, size, image_size, f"the keys of {where}")
    asked = _conv_size(query.convolution_projection.convolution, size, image_size, f"the queries of {where}")
    pixels = asked[0] * asked[1]
    if pixels != size[0] * size[1] and (pixels > 1 or attention.with_cls_token):
        raise UnsupportedError(
            f"image size {image_size[0]}x{image_size[1]}: the queries of {where} are a map of {asked[0]}x{asked[1]}, "
            f"which can't be added to its own of {size[0]}x{size[1]}. Mend kernel_qkv, padding_q or stride_q."
        )


def _conv_size(conv: nn.Conv2d, size: Size, image_size: Size, where: str) -> Size:
    kernel, padding, stride = (int(pair[0]) for pair in (conv.kernel_size, conv.padding, conv.stride))
    if min(size) + 2 * padding < kernel:
        raise UnsupportedError(
            f"image size {image_size[0]}x{image_size[1]}: {where} would be made of a map of {size[0]}x{size[1]}, which "
            f"with a padding of {padding} is smaller than the kernel of {kernel}. Ask for a larger --image-size."
        )
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    return height, width


def at_size(model: Any, head: str, image_size: Size) -> Any:
    """Return Hugging Face's CvT as it is, which takes any size.

    Its classifier reads the second of the encoder's outputs whatever the config says (transformers 5.23): where the
    last stage has no class token, the hidden states must stand there, though nothing is done with them.
    """
    if head == "classification" and not hasattr(_stages(model)[-1], "cls_token"):
        model.config.output_hidden_states = True
    return model


def tensorflow(name: str, config: Any) -> str:
    """Return the name of a tensor by its TensorFlow variable's, which says stage 2 of the class token of any stage."""
    if name.endswith(".cls_token") and sum(config.cls_token) == 1:
        return f"cvt.encoder.stages.{list(config.cls_token).index(True)}.cls_token"
    return name


def check(config: Any, head: str) -> None:
    """Raise UnsupportedError for a stage without heads, or with a stride of nothing."""
    for name in ("num_heads", "patch_stride", "stride_kv", "stride_q"):
        if not all(isinstance(value, int) and value > 0 for value in getattr(config, name)):
            raise UnsupportedError(
                f"{name} {getattr(config, name)} in the config: isn't a whole number from 1 on for each stage. "
                "Mend config.json."
            )


FAMILY = Family(
    name="cvt",
    model_type="cvt",
    heads=HEADS,
    build=build,
    check=check,
    at_size=at_size,
    tensorflow=tensorflow,
    data=Path(__file__).with_suffix(".json"),
)
