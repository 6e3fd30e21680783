"""Sliding windows: what padding a window op declares, and the pools."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from targets.coreml.mil.ops.precision import wide

AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def window_pads(
    pad_type: str, sizes: Sequence[int], extents: list[int], strides: list[int], pad: list[int] | None
) -> list[tuple[int, int]]:
    """Return the padding before and after each spatial axis.

    pad_type: `valid`, `custom` (what `pad` says), or `same` and `same_lower`, which give ceil(size / stride) windows;
    of an odd amount `same` puts the larger part after, `same_lower` before (coremltools `_utils.aggregated_pad`).
    Raises: ValueError for another type.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        flat = pad or [0] * 2 * len(sizes)
        return list(zip(flat[::2], flat[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"pad_type {pad_type!r} isn't known. Known: custom, same, same_lower, valid.")
    pads = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + extent - size)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if pad_type == "same" else (large, small))
    return pads


def pad_spatial(x: Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Pad the last axes with a constant; a negative amount crops."""
    return F.pad(x, [amount for pair in reversed(pads) for amount in pair], value=value)


@wide
def avg_pool(
    x: Tensor,
    *,
    kernel_sizes: list[int],
    pad_type: str,
    strides: list[int] | None = None,
    pad: list[int] | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    """Average over windows of x: (N, C, *D); padding counts in the divisor unless it is excluded."""
    axes = x.ndim - 2
    pool = AVG_POOL[axes]
    strides = strides or [1] * axes
    pads = window_pads(pad_type, x.shape[2:], kernel_sizes, strides, pad)
    if all(before == after for before, after in pads):
        symmetric = [before for before, _ in pads]
        return pool(x, kernel_sizes, strides, symmetric, ceil_mode, not exclude_padding_from_average)
    mean = pool(pad_spatial(x, pads), kernel_sizes, strides, 0, ceil_mode)
    if not exclude_padding_from_average:
        return mean
    return mean / pool(pad_spatial(x.new_ones(1, 1, *x.shape[2:]), pads), kernel_sizes, strides, 0, ceil_mode)


@wide
def max_pool(
    x: Tensor,
    *,
    kernel_sizes: list[int],
    pad_type: str,
    strides: list[int] | None = None,
    pad: list[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Give the greatest value of each window of x: (N, C, *D); padding never wins."""
    axes = x.ndim - 2
    strides = strides or [1] * axes
    pads = window_pads(pad_type, x.shape[2:], kernel_sizes, strides, pad)
    if all(before == after for before, after in pads):
        return MAX_POOL[axes](x, kernel_sizes, strides, [before for before, _ in pads], ceil_mode=ceil_mode)
    return MAX_POOL[axes](pad_spatial(x, pads, -math.inf), kernel_sizes, strides, ceil_mode=ceil_mode)
