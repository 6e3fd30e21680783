"""The part of preprocessing that is computed in the file."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.spec import CommonModel, Entry, ModelSpec, TensorSpec
from mobile_kit.preprocessing.preprocess import Preprocess

__all__ = ["ImageFront", "ImageModel", "attach", "image_input"]


class ImageFront(nn.Module):
    """The part of the arithmetic that is not folded: layout, and subtractions and scale where they can't be.

    offsets: (1, C, 1, 1) each, subtracted one after the other.
    """

    def __init__(self, entry: Entry, offsets: Sequence[Tensor], scale: float) -> None:
        super().__init__()
        self.nhwc = entry == "uint8_nhwc"
        self.scale = scale
        self.offsets = nn.ParameterList(nn.Parameter(offset, requires_grad=False) for offset in offsets)

    def forward(self, image: Tensor) -> Tensor:
        """(1, H, W, C) uint8 or (1, C, H, W) float32, 0..255, to the stem's input (1, C, H, W) float32."""
        x = image if image.is_floating_point() else image.to(torch.float32)
        # Cast first: delegates take a permute of floats, and none of bytes.
        x = x.permute(0, 3, 1, 2) if self.nhwc else x
        for offset in self.offsets:
            x = x - offset
        return x if self.scale == 1.0 else x * self.scale


class ImageModel(CommonModel):
    """A common model whose first input is an image in place of pixel_values."""

    def __init__(self, model: CommonModel, front: ImageFront, entry: TensorSpec) -> None:
        super().__init__(replace(model.spec, inputs=(entry, *model.spec.inputs[1:])))
        self.front = front
        self.model = model

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.model.stem

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The image and any further inputs to the outputs of the spec."""
        outputs: tuple[Tensor, ...] = self.model(self.front(inputs[0]), *inputs[1:])
        return outputs


def attach(model: CommonModel, preprocess: Preprocess, entry: Entry, half: bool = False) -> CommonModel:
    """Let a common model take an image, folding the arithmetic into its stem in place.

    entry: how the image enters. half: the weights will be float16; then the scale's power of two stays in the graph
    (multiplying by it is exact), as weights of 1/255th the size would fall among float16's subnormal numbers, and so
    does the mean's whole part (subtracting it from a pixel is exact), as a bias that takes all of it loses its digits;
    where the rest can't be folded either, it is subtracted by itself, as float16 has no 123.675.
    Raises: UnsupportedError where the mean has nowhere to go.
    """
    if entry == "pixel_values":
        return model
    stem = model.stem
    scale = torch.tensor([preprocess.scale / s for s in preprocess.std], dtype=torch.float64)
    shift = torch.tensor([m / preprocess.scale for m in preprocess.mean], dtype=torch.float64)
    whole = shift.round() if half else torch.zeros_like(shift)
    rest = torch.zeros_like(shift)
    weight = stem.weight.detach().double() * scale.reshape(1, -1, 1, 1)
    if not _fold_shift(model, weight, shift - whole):
        # A padded zero would have to be the mean: subtract first, then pad.
        rest = shift - whole
    kept = 2.0 ** round(math.log2(float(scale.max()))) if half else 1.0
    flip = preprocess.channel_order == "BGR"
    stem.weight = nn.Parameter((weight.flip(1) if flip else weight).float() / kept, requires_grad=False)
    offsets = [(part.flip(0) if flip else part).float().reshape(1, -1, 1, 1) for part in (whole, rest) if part.any()]
    spec = image_input(model.spec, entry)
    return ImageModel(model, ImageFront(entry, offsets, kept), spec).eval()


def image_input(spec: ModelSpec, entry: Entry) -> TensorSpec:
    """Return a file's first input where the image enters in a certain way."""
    if entry == "pixel_values":
        return spec.inputs[0]
    (height, width), channels = spec.image_size, spec.num_channels
    color = "GRAY" if channels == 1 else "RGB"
    if entry == "uint8_nhwc":
        return TensorSpec("image", (1, height, width, channels), "uint8", "NHWC", "image", color, (0, 255))
    return TensorSpec("image", (1, channels, height, width), "float32", "NCHW", "image", color, (0, 255))


def _fold_shift(model: CommonModel, weight: Tensor, shift: Tensor) -> bool:
    """Let a model subtract a number a channel from its image behind the stem, in place, and tell whether it can.

    weight: the stem's, for the image as it is. Where nothing is padded, the stem's bias takes what the numbers make of
    it; with padding that is a map, as conv(x - shift) = conv(x) - conv(shift).
    """
    stem = model.stem
    if not bool(shift.any()):
        return True
    if _padded(stem):
        height, width = model.spec.image_size
        image = shift.reshape(1, -1, 1, 1).expand(1, -1, height, width)
        constant = F.conv2d(image, weight, None, stem.stride, stem.padding, stem.dilation, stem.groups)
        return model.absorb(-constant.float())
    if stem.bias is None:
        raise UnsupportedError("first convolution: has no bias to fold the mean into.")
    stem.bias = nn.Parameter((stem.bias.double() - weight.sum((2, 3)) @ shift).float(), requires_grad=False)
    return True


def _padded(conv: nn.Conv2d) -> bool:
    return conv.padding == "same" or any(p != 0 for p in conv.padding if not isinstance(p, str))
