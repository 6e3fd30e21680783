"""Ops that move, repeat or pick values without computing new ones."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def reshape(x: Tensor, *, shape: Sequence[int]) -> Tensor:
    """Reshape; -1 is what is left over, 0 is x's own size where the ranks are equal."""
    if 0 in shape and len(shape) == x.ndim:
        shape = [size or own for size, own in zip(shape, x.shape, strict=True)]
    return x.reshape(list(shape))


def transpose(x: Tensor, *, perm: Sequence[int]) -> Tensor:
    """Permute axes."""
    return x.permute(*perm)


def expand_dims(x: Tensor, *, axes: Sequence[int]) -> Tensor:
    """Insert axes of size 1 at positions of the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, *, axes: Sequence[int] | None = None) -> Tensor:
    """Remove axes of size 1, all of them by default."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def concat(*values: Tensor, axis: int, interleave: bool = False) -> Tensor:
    """Concatenate along an axis, interleaved where asked."""
    if not interleave:
        return torch.cat(values, axis)
    axis %= values[0].ndim
    return torch.stack(values, axis + 1).flatten(axis, axis + 1)


def stack(*values: Tensor, axis: int) -> Tensor:
    """Stack along a new axis."""
    return torch.stack(values, axis)


def split(
    x: Tensor, *, axis: int, num_splits: int | None = None, split_sizes: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Split along an axis into parts of given sizes, or into equal parts."""
    if split_sizes is not None:
        return torch.split(x, list(split_sizes), axis)
    if num_splits is None or x.shape[axis] % num_splits:
        raise ValueError(f"an axis of {x.shape[axis]} can't be split into {num_splits} equal parts")
    return torch.split(x, x.shape[axis] // num_splits, axis)


def tile(x: Tensor, *, reps: Sequence[int]) -> Tensor:
    """Repeat each axis a number of times."""
    return x.repeat(*reps)


def fill(value: Tensor | None = None, *, shape: Sequence[int]) -> Tensor:
    """Give a tensor of one value (float32 0 by default) and its dtype."""
    return (torch.zeros(()) if value is None else value).expand(*shape).clone()


def fill_like(ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """Give a tensor of another's shape, of one value (float32 0 by default) and its dtype."""
    return fill(value, shape=ref_tensor.shape)


def shape(x: Tensor) -> Tensor:
    """Give the sizes, as int32."""
    return torch.tensor(x.shape, dtype=torch.int32)


def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Give start, start + step, ... below end, in start's dtype."""
    return torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


def reverse(x: Tensor, *, axes: Sequence[int] | None = None) -> Tensor:
    """Reverse some axes, all by default."""
    return x.flip(list(range(x.ndim) if axes is None else axes))


def slice_by_index(
    x: Tensor,
    *,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None = None,
    begin_mask: Sequence[bool] | None = None,
    end_mask: Sequence[bool] | None = None,
    squeeze_mask: Sequence[bool] | None = None,
) -> Tensor:
    """Slice as Python does; a mask leaves a bound open, or picks one index and drops its axis."""
    rank = x.ndim
    none = [False] * rank
    strides, squeezes = stride or [1] * rank, squeeze_mask or none
    opens = zip(begin_mask or none, end_mask or none, strict=True)
    for axis, (open_begin, open_end) in enumerate(opens):
        first = None if open_begin else begin[axis]
        if squeezes[axis]:
            x = x.narrow(axis, (first or 0) % x.shape[axis], 1)
            continue
        x = _take_range(x, axis, slice(first, None if open_end else end[axis], strides[axis]))
    return x.squeeze(tuple(axis for axis in range(rank) if squeezes[axis]))


def _take_range(x: Tensor, axis: int, part: slice) -> Tensor:
    start, stop, step = part.indices(x.shape[axis])
    if step > 0:
        return x[(*[slice(None)] * axis, slice(start, max(start, stop), step))]
    return x.index_select(axis, torch.arange(start, min(start, stop), step))


def slice_by_size(x: Tensor, *, begin: Sequence[int], size: Sequence[int]) -> Tensor:
    """Take `size` elements from `begin` along each axis; -1 takes the rest."""
    for axis, (first, count) in enumerate(zip(begin, size, strict=True)):
        first %= max(1, x.shape[axis])
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


def gather(
    x: Tensor, indices: Tensor, *, axis: int = 0, batch_dims: int = 0, validate_indices: bool | None = None
) -> Tensor:
    """Take slices of x at indices along an axis; leading `batch_dims` axes go in step.

    Raises: ValueError for a negative index from iOS 17 on, where it isn't defined (`validate_indices` tells).
    """
    axis %= x.ndim
    indices = _positive(indices, x.shape[axis], validate_indices)
    if batch_dims:
        pairs = zip(x.flatten(0, batch_dims - 1), indices.flatten(0, batch_dims - 1), strict=True)
        parts = [gather(part, index, axis=axis - batch_dims) for part, index in pairs]
        return torch.stack(parts).unflatten(0, x.shape[:batch_dims])
    picked = x.index_select(axis, indices.reshape(-1))
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def gather_along_axis(x: Tensor, indices: Tensor, *, axis: int = 0, validate_indices: bool | None = None) -> Tensor:
    """Take values of x at indices of the same rank along an axis. Raises: ValueError as `gather`."""
    return torch.gather(x, axis, _positive(indices, x.shape[axis], validate_indices))


def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0, validate_indices: bool | None = None) -> Tensor:
    """Take slices of x at index tuples. indices: (*, R), into the first R axes after `batch_dims`."""
    if batch_dims:
        pairs = zip(x.flatten(0, batch_dims - 1), indices.flatten(0, batch_dims - 1), strict=True)
        return torch.stack([gather_nd(part, index) for part, index in pairs]).unflatten(0, x.shape[:batch_dims])
    tuples = indices.unbind(-1)
    return x[tuple(_positive(index, size, validate_indices) for index, size in zip(tuples, x.shape, strict=False))]


def _positive(indices: Tensor, size: int, validate: bool | None) -> Tensor:
    indices = indices.long()
    if validate is not None and bool((indices < 0).any()):
        raise ValueError("a negative index isn't defined from iOS 17 on")
    return torch.where(indices < 0, indices + size, indices)


def pad(x: Tensor, *, pad: Sequence[int], mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """Pad the last axes, two amounts an axis, first axis first. mode: `constant`, `reflect` or `replicate`."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    if mode == "constant":
        return F.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=constant_val)
    for axis, (before, after) in enumerate(pairs, start=x.ndim - len(pairs)):
        last = x.shape[axis] - 1
        index = torch.arange(-before, last + 1 + after)
        if mode == "reflect":
            index = last - (last - index.abs()).abs()
        elif mode != "replicate":
            raise ValueError(f"mode {mode!r} isn't known. Known: constant, reflect, replicate.")
        x = x.index_select(axis, index.clamp(0, last) if mode == "replicate" else index)
    return x


def crop(x: Tensor, *, crop_height: Sequence[int], crop_width: Sequence[int]) -> Tensor:
    """Cut rows off the top and bottom, columns off the left and right. x: (*, H, W)."""
    height, width = x.shape[-2:]
    return x[..., crop_height[0] : height - crop_height[1], crop_width[0] : width - crop_width[1]]


def pixel_shuffle(x: Tensor, *, upscale_factor: int) -> Tensor:
    """Move channels into space. x: (N, C f f, H, W). Returns: (N, C, H f, W f)."""
    return F.pixel_shuffle(x, upscale_factor)


def pixel_unshuffle(x: Tensor, *, downscale_factor: int) -> Tensor:
    """Move space into channels. x: (N, C, H f, W f). Returns: (N, C f f, H, W)."""
    return F.pixel_unshuffle(x, downscale_factor)


def one_hot(
    indices: Tensor,
    on_value: Tensor | None = None,
    off_value: Tensor | None = None,
    *,
    one_hot_vector_size: int,
    axis: int = -1,
) -> Tensor:
    """Give on_value (int32 1 by default) at each index of a new axis, elsewhere off_value."""
    hot = F.one_hot(indices.long(), one_hot_vector_size).bool().movedim(-1, axis)
    on = torch.tensor(1, dtype=torch.int32) if on_value is None else on_value
    return torch.where(hot, on, torch.zeros_like(on) if off_value is None else off_value)
