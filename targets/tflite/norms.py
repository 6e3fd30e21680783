"""Norms as LiteRT computes them fast on a CPU, and right on a phone's GPU."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mobile_kit.models.layers import MapNorm, TokenNorm
from mobile_kit.models.spec import CommonModel, TensorSpec

__all__ = ["MeanNorm", "factors_of"]

# A GPU computes in float16, whose greatest number is 65504: what is squared must stay below 256. Trained checkpoints
# pass the greatest value of `_example` (MobileViTV2's digits fivefold, 525 to 112): these leave room for 32 times.
GREATEST = 8.0
# Colors of the example image: squares of random bytes, as white noise excites residuals half as much.
SQUARES, SEED = 8, 0


class MeanNorm(nn.Module):
    """MapNorm or TokenNorm as means: litert-torch wraps each layer_norm in three reshapes.

    factor: of the centred values, before they are squared. A power of two: it changes no result in float32.
    """

    part: ClassVar[str] = "norms"

    def __init__(self, norm: MapNorm | TokenNorm, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.eps = norm.eps * factor**2
        self.axes = _axes(norm)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        centred = x - x.mean(self.axes, keepdim=True)
        if self.factor != 1:
            centred = centred * self.factor
        return centred * torch.rsqrt((centred * centred).mean(self.axes, keepdim=True) + self.eps)


def factors_of(model: CommonModel) -> dict[nn.Module, float]:
    """Run a model once, and return for each norm the power of two, at most 1, that its centred values need."""
    factors: dict[nn.Module, float] = {}

    def measure(norm: MapNorm | TokenNorm, inputs: tuple[Tensor], _: Tensor) -> None:
        centred = inputs[0] - inputs[0].mean(_axes(norm), keepdim=True)
        excess = float(centred.abs().max()) / GREATEST
        factor = 2.0 ** -max(0, math.ceil(math.log2(excess))) if excess > 0 else 1.0
        # A norm that runs several times takes what its greatest values need.
        factors[norm] = min(factor, factors.get(norm, 1.0))

    norms = [module for module in model.modules() if isinstance(module, MapNorm | TokenNorm)]
    hooks = [norm.register_forward_hook(measure) for norm in norms]
    with torch.no_grad():
        model(*(_example(spec) for spec in model.spec.inputs))
    for hook in hooks:
        hook.remove()
    return {norm: factors.get(norm, 1.0) for norm in norms}


def _axes(norm: MapNorm | TokenNorm) -> tuple[int, ...]:
    return (1, 2) if isinstance(norm, MapNorm) else (2,)


def _example(spec: TensorSpec) -> Tensor:
    """Return a value of an input: an image of colored squares, the same as pixel values, or noise."""
    dtype = getattr(torch, spec.dtype)
    generator = torch.Generator().manual_seed(SEED)
    if spec.meaning in {"image", "pixel_values"}:
        channels = spec.shape[3 if spec.layout == "NHWC" else 1]
        height, width = spec.shape[1:3] if spec.layout == "NHWC" else spec.shape[2:]
        colors: Any = torch.randint(256, (1, channels, SQUARES, SQUARES), generator=generator).float()
        if spec.meaning == "pixel_values":
            colors = colors / 64 - 2  # as mean and std leave it; without them they are smaller
        image: Tensor = nn.functional.interpolate(colors, (height, width)).to(dtype)
        return image.permute(0, 2, 3, 1) if spec.layout == "NHWC" else image
    if not dtype.is_floating_point:
        return torch.zeros(spec.shape, dtype=dtype)
    return torch.rand(spec.shape, generator=generator)
