"""MobileViTV2 (Mehta and Rastegari, https://arxiv.org/abs/2206.02680) for export.

Hugging Face unfolds a feature map into patches, attends among the pixels that share a position in their patch, and
folds back. Here the pixels stay where they are: tokens (1, T, D) in raster order, T = H * W. All layers but one look
at single pixels, so the order doesn't matter to them; the attention, whose softmax runs over the pixels of one
position, masks the others out, and its context, one vector a position, meets the map by a reshape and a broadcast.
Nothing is unfolded, folded, gathered or split, and the only permutes are one into and one out of each stage.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.family import Family, Head, describe
from mobile_kit.models.layers import Affine, MapNorm, Residual, fold_affine, fold_batch_norm, linear, pointwise
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec

__all__ = ["FAMILY", "MobileViTV2"]

# Far below any query, yet finite in float16 (greatest 65504): exp(-30000) is 0 in every precision.
MASKED = -3.0e4

HEADS = {
    "base": Head("base", "MobileViTV2Model", ("last_hidden_state", "pooler_output"), ("hidden_states",)),
    "classification": Head("classification", "MobileViTV2ForImageClassification", ("logits",), ("hidden_states",)),
    "segmentation": Head("segmentation", "MobileViTV2ForSemanticSegmentation", ("logits",), ("hidden_states",)),
}


class ConvLayer(nn.Module):
    """Convolution, batch norm folded in, activation."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.convolution = fold_batch_norm(layer.convolution, layer.normalization)
        self.activation = layer.activation or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) to (1, C', H', W')."""
        return self.activation(self.convolution(x))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise convolution, reduce."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(ConvLayer(block.expand_1x1), ConvLayer(block.conv_3x3), ConvLayer(block.reduce_1x1))
        self.residual = Residual() if block.use_residual else None

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) to (1, C', H', W')."""
        y = self.layers(x)
        return y if self.residual is None else self.residual(x, y)


class PatchSoftmax(nn.Module):
    """Softmax over the pixels that share a position in their patch, for all P = p * p positions at once."""

    part: ClassVar[str] = "softmax"
    mask: Tensor

    def __init__(self, height: int, width: int, patch: int) -> None:
        super().__init__()
        rows, columns = torch.arange(height) % patch, torch.arange(width) % patch
        position = (rows[:, None] * patch + columns[None, :]).reshape(1, 1, -1)
        same = position == torch.arange(patch * patch).reshape(1, -1, 1)
        self.register_buffer("mask", torch.where(same, 0.0, MASKED), persistent=False)

    def forward(self, query: Tensor) -> Tensor:
        """(1, T, 1) to scores (1, P, T): each row sums to 1 and is 0 at the pixels of other positions."""
        return F.softmax(query.reshape(1, 1, -1) + self.mask, dim=-1)


class SeparableAttention(nn.Module):
    """Separable self-attention with linear complexity (section 3.2 of the paper)."""

    part: ClassVar[str] = "attention products"

    def __init__(self, attention: Any, norm: nn.GroupNorm, size: tuple[int, int], patch: int) -> None:
        super().__init__()
        width = attention.embed_dim
        qkv = attention.qkv_proj.convolution
        parts = (slice(0, 1), slice(1, 1 + width), slice(1 + width, None))
        self.query, self.key, self.value = (fold_affine(pointwise(qkv, rows), norm.weight, norm.bias) for rows in parts)
        self.softmax = PatchSoftmax(*size, patch)
        self.output = pointwise(attention.out_proj.convolution)
        self.by_position = (size[0] // patch, patch, size[1] // patch, patch * width)
        self.context_shape = (1, patch, 1, patch * width)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        # The paper sums the scored keys. The key is linear and each row of scores sums to 1, so the sum comes first and
        # P rows are projected in place of T.
        context = self.key(torch.bmm(self.softmax(self.query(x)), x))
        value = F.relu(self.value(x)).reshape(self.by_position)
        return self.output((value * context.reshape(self.context_shape)).reshape(x.shape))


class TransformerLayer(nn.Module):
    """Attention and feed-forward network, each after a norm and with a residual."""

    def __init__(self, layer: Any, size: tuple[int, int], patch: int) -> None:
        super().__init__()
        tokens, width = size[0] * size[1], layer.attention.embed_dim
        before, after = layer.layernorm_before, layer.layernorm_after
        self.norm_before = MapNorm(tokens, width, before.eps)
        self.attention = SeparableAttention(layer.attention, before, size, patch)
        self.norm_after = MapNorm(tokens, width, after.eps)
        self.expand = fold_affine(pointwise(layer.ffn.conv1.convolution), after.weight, after.bias)
        self.activation = layer.ffn.conv1.activation
        self.reduce = pointwise(layer.ffn.conv2.convolution)
        self.attention_residual, self.residual = Residual(), Residual()

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        x = self.attention_residual(x, self.attention(self.norm_before(x)))
        return self.residual(x, self.reduce(self.activation(self.expand(self.norm_after(x)))))


class MobileViTLayer(nn.Module):
    """A stage with transformer layers: local convolutions, attention among patches, projection."""

    def __init__(self, stage: Any, size: tuple[int, int]) -> None:
        super().__init__()
        patch = stage.patch_height
        downsampling = [InvertedResidual(stage.downsampling_layer)] if stage.downsampling_layer else []
        self.local = nn.Sequential(*downsampling, ConvLayer(stage.conv_kxk), ConvLayer(stage.conv_1x1))
        self.size = size
        # Hugging Face's unfold drops what doesn't fill a patch, and its fold leaves zeros there.
        self.covered = (self.size[0] // patch * patch, self.size[1] // patch * patch)
        self.transformer = nn.Sequential(
            *(TransformerLayer(layer, self.covered, patch) for layer in stage.transformer.layer)
        )
        norm = stage.layernorm
        self.norm = MapNorm(self.covered[0] * self.covered[1], norm.num_channels, norm.eps)
        projection = stage.conv_projection
        self.projection = fold_batch_norm(projection.convolution, projection.normalization)
        # The zeros around what the patches cover come behind the affine.
        self.affine = Affine(norm.weight, norm.bias) if self.covered != self.size else nn.Identity()
        if self.covered == self.size:
            fold_affine(self.projection, norm.weight, norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) to (1, C', H', W')."""
        x = self.local(x)
        height, width = self.covered
        if self.covered != self.size:
            x = x[:, :, :height, :width]
        tokens = x.permute(0, 2, 3, 1).reshape(1, height * width, -1)
        tokens = self.affine(self.norm(self.transformer(tokens)))
        x = tokens.reshape(1, height, width, -1).permute(0, 3, 1, 2)
        if self.covered != self.size:
            x = F.pad(x, (0, self.size[1] - width, 0, self.size[0] - height))
        return self.projection(x)


class DeepLabV3(nn.Module):
    """Atrous spatial pyramid pooling and classifier (https://arxiv.org/abs/1706.05587)."""

    ones: Tensor

    def __init__(self, head: Any, size: tuple[int, int]) -> None:
        super().__init__()
        *convolutions, pooling = head.aspp.convs
        self.convolutions = nn.ModuleList(ConvLayer(conv) for conv in convolutions)
        self.pooling = ConvLayer(pooling.conv_1x1)
        self.project = ConvLayer(head.aspp.project)
        self.classifier = fold_batch_norm(head.classifier.convolution, None)
        self.register_buffer("ones", torch.ones(1, 1, *size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) to logits (1, K, H, W)."""
        # Hugging Face resizes the pooled 1x1 map bilinearly, which repeats its one value.
        pooled = self.pooling(x.mean((2, 3), keepdim=True)) * self.ones
        pyramid = [conv(x) for conv in self.convolutions]
        return self.classifier(self.project(torch.cat([*pyramid, pooled], dim=1)))


class MobileViTV2(CommonModel):
    """MobileViTV2 with any of its heads."""

    def __init__(self, spec: ModelSpec, model: Any, sizes: list[tuple[int, int]]) -> None:
        super().__init__(spec)
        backbone = model if spec.head == "base" else model.mobilevitv2
        self.conv_stem = ConvLayer(backbone.conv_stem)
        mobilenet, attention = backbone.encoder.layer[:2], backbone.encoder.layer[2:]
        self.stages = nn.ModuleList(nn.Sequential(*map(InvertedResidual, stage.layer)) for stage in mobilenet)
        self.stages.extend(MobileViTLayer(stage, size) for stage, size in zip(attention, sizes[2:], strict=True))
        self.segmentation_head: nn.Module | None = None
        self.classifier: nn.Module | None = None
        if spec.head == "segmentation":
            self.segmentation_head = DeepLabV3(model.segmentation_head, sizes[-1])
        elif spec.head == "classification":
            self.classifier = linear(model.classifier) if isinstance(model.classifier, nn.Linear) else nn.Identity()

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.conv_stem.convolution

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W), as the processor returns them, to the outputs of the spec."""
        x = self.conv_stem(inputs[0])
        states = []
        for stage in self.stages:
            x = stage(x)
            states.append(x)
        asked = sum(out.name.startswith("hidden_states_") for out in self.spec.outputs)
        return self._head(x) + tuple(states[:asked])

    def _head(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.segmentation_head is not None:
            return (self.segmentation_head(x),)
        pooled = x.mean((2, 3), keepdim=True).reshape(1, -1)
        return (x, pooled) if self.classifier is None else (self.classifier(pooled),)


def build(model: Any, head: str, image_size: tuple[int, int], outputs: tuple[str, ...]) -> MobileViTV2:
    """Return the common model of a Hugging Face MobileViTV2.

    model: MobileViTV2Model or a model with one of its heads, float32. image_size: (height, width) in pixels.
    outputs: names from the head's `optional` that are to be added.
    Raises: UnsupportedError for an image size that leaves a stage less than one patch, and for a config with which
        Hugging Face can't compute either.
    """
    config = model.config
    _check_config(config, head)
    backbone = model if head == "base" else model.mobilevitv2
    sizes = _feature_sizes(backbone, image_size)
    outputs_of_head = _outputs(backbone, config, head, sizes, "hidden_states" in outputs)
    spec = describe("mobilevitv2", head, model, image_size, outputs_of_head)
    return MobileViTV2(spec, model, sizes).eval()


def _check_config(config: Any, head: str) -> None:
    if not isinstance(config.patch_size, int) or config.patch_size < 1:
        raise UnsupportedError(f"patch_size {config.patch_size} in the config: not a size in pixels. Mend config.json.")
    if head == "segmentation" and config.num_labels < 1:
        raise UnsupportedError("num_labels 0 in the config: a segmentation head needs at least one. Mend config.json.")


def _outputs(
    backbone: Any, config: Any, head: str, sizes: list[tuple[int, int]], hidden_states: bool
) -> tuple[TensorSpec, ...]:
    widths = [stage.layer[-1].reduce_1x1.convolution.out_channels for stage in backbone.encoder.layer[:2]]
    widths += [stage.conv_projection.convolution.out_channels for stage in backbone.encoder.layer[2:]]
    maps = [(1, width, *size) for width, size in zip(widths, sizes, strict=True)]
    classes = config.num_labels or widths[-1]
    heads = {
        "base": (
            TensorSpec("last_hidden_state", maps[-1], "float32", "NCHW"),
            TensorSpec("pooler_output", (1, widths[-1]), "float32", "NC"),
        ),
        "classification": (TensorSpec("logits", (1, classes), "float32", "NK", "logits"),),
        "segmentation": (TensorSpec("logits", (1, classes, *sizes[-1]), "float32", "NCHW", "logits"),),
    }
    states = tuple(TensorSpec(f"hidden_states_{i}", shape, "float32", "NCHW") for i, shape in enumerate(maps))
    # The base head's last map is there already, and no converter gives one tensor two names.
    states = states[:-1] if head == "base" else states
    return heads[head] + (states if hidden_states else ())


def _feature_sizes(backbone: Any, image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the map size (height, width) after each of the five stages.

    Raises: UnsupportedError where a map is smaller than one patch, which Hugging Face's unfold refuses too.
    """
    size = _conv_size(backbone.conv_stem.convolution, image_size)
    sizes = []
    for stage in backbone.encoder.layer[:2]:
        for block in stage.layer:
            size = _conv_size(block.conv_3x3.convolution, size)
        sizes.append(size)
    for stage in backbone.encoder.layer[2:]:
        size = _stage_size(stage, size)
        if min(size) < stage.patch_height:
            raise UnsupportedError(
                f"image size {image_size[0]}x{image_size[1]}: a stage's map of {size[0]}x{size[1]} is smaller than a "
                f"patch of {stage.patch_height}. Ask for a larger --image-size."
            )
        sizes.append(size)
    return sizes


def _stage_size(stage: Any, size: tuple[int, int]) -> tuple[int, int]:
    if stage.downsampling_layer:
        size = _conv_size(stage.downsampling_layer.conv_3x3.convolution, size)
    return _conv_size(stage.conv_kxk.convolution, size)


def _conv_size(conv: nn.Conv2d, size: tuple[int, int]) -> tuple[int, int]:
    def along(axis: int) -> int:
        reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
        return (size[axis] + 2 * int(conv.padding[axis]) - reach - 1) // conv.stride[axis] + 1

    return along(0), along(1)


FAMILY = Family(
    name="mobilevitv2",
    model_type="mobilevitv2",
    heads=HEADS,
    build=build,
    data=Path(__file__).with_suffix(".json"),
)
