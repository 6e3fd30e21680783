"""Ops that sum over channels or tokens, and normalisations. In fp16 all of them accumulate in float32 (see `wide`)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from targets.coreml.mil.ops.precision import wide
from targets.coreml.mil.ops.window import pad_spatial, window_pads

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@wide
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """Convolve. x: (N, C, *D). weight: (C_out, C / groups, *K). bias: (C_out,)."""
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    extents = _extents(weight.shape[2:], dilations)
    pads = window_pads(pad_type, x.shape[2:], extents, strides, pad)
    if all(before == after for before, after in pads):
        return CONV[axes](x, weight, bias, strides, [before for before, _ in pads], dilations, groups)
    return CONV[axes](pad_spatial(x, pads), weight, bias, strides, 0, dilations, groups)


@wide
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    pad: list[int] | None = None,
    output_shape: list[int] | None = None,
    pad_type: str = "valid",
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution. x: (N, C, *D). weight: (C, C_out / groups, *K). output_shape: (N, C_out, *D_out)."""
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    y = CONV_TRANSPOSE[axes](x, weight, None, strides, 0, 0, groups, dilations)
    crops = []
    for axis in range(axes):
        full, same = y.shape[2 + axis], x.shape[2 + axis] * strides[axis]
        before, after = (pad[2 * axis], pad[2 * axis + 1]) if pad_type == "custom" and pad else (0, 0)
        if pad_type == "same":
            before = max(0, full - same) // 2
            after = full - same - before
        if output_shape is not None:
            after = full - before - output_shape[2 + axis]
        crops.append((-before, -after))
    y = pad_spatial(y, crops)
    return y if bias is None else y + bias.view(-1, *[1] * axes)


def _extents(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    return [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]


@wide
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Give x @ weight.T + bias. x: (*, D). weight: (D_out, D). bias: (D_out,)."""
    return F.linear(x, weight, bias)


@wide
def matmul(x: Tensor, y: Tensor, *, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """Multiply matrices, batched and broadcast, either one transposed first."""
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y and y.ndim > 1 else y)


@wide
def einsum(*values: Tensor, equation: str) -> Tensor:
    """Multiply two tensors as an equation says; axes of size 1 are broadcast."""
    return torch.einsum(equation, *values)


@wide
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Attend. query: (*, T, D). key: (*, S, D). value: (*, S, E). attn_mask: (*, T, S), bool or added."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask)


@wide
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise each channel with given statistics. x: (N, C, *). The others: (C,)."""
    return F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


@wide
def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, *, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each channel of each image with its own statistics. x: (N, C, *). gamma, beta: (C,)."""
    return F.instance_norm(x, weight=gamma, bias=beta, eps=epsilon)


@wide
def l2_norm(x: Tensor, *, epsilon: float = 1e-6) -> Tensor:
    """Divide by the root of the sum of squares over the last three axes."""
    return x / torch.sqrt(x.square().sum((-3, -2, -1), keepdim=True) + epsilon)


@wide
def layer_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    axes: list[int] | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise over some axes, all by default. gamma, beta: of the sizes of those axes."""
    over = sorted(axis % x.ndim for axis in (range(x.ndim) if axes is None else axes))
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    if over == list(range(over[0], x.ndim)):
        return F.layer_norm(x, x.shape[over[0] :], gamma, beta, epsilon)
    centred = x - x.mean(over, keepdim=True)
    y = centred * torch.rsqrt(centred.square().mean(over, keepdim=True) + epsilon)
    y = y if gamma is None else y * gamma.view(shape)
    return y if beta is None else y + beta.view(shape)
