"""Compressed constants and quantized activations. Low-bit integers come unpacked, one to a byte (see `blob`)."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from targets.coreml.mil.blob import unpack_bits
from targets.coreml.mil.ops.elementwise import DTYPES


def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, *, axis: int) -> Tensor:
    """Dequantize a constant, as `dequantize` does."""
    return dequantize(quantized_data, scale, zero_point, axis=axis)


def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int | None = None) -> Tensor:  # noqa: A002
    """Give scale * (input - zero_point), computed in float32, in scale's dtype.

    scale, zero_point: (), or (size of axis,).
    """
    shift = 0 if zero_point is None else _along(zero_point, input, axis)
    return ((input.float() - shift) * _along(scale, input, axis)).to(scale.dtype)


def quantize(
    input: Tensor,  # noqa: A002
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    output_dtype: str,
    axis: int | None = None,
) -> Tensor:
    """Give round(input / scale) + zero_point within the dtype's range; the division is in float32 for fp16 too."""
    dtype = DTYPES[output_dtype]
    shift = 0 if zero_point is None else _along(zero_point, input, axis)
    limits = torch.iinfo(dtype)
    return (torch.round(input.float() / _along(scale, input, axis)) + shift).clamp(limits.min, limits.max).to(dtype)


def _along(parameter: Tensor, data: Tensor, axis: int | None) -> Tensor:
    if parameter.ndim == 0 or axis is None:
        return parameter.float()
    return parameter.float().view([-1 if index == axis % data.ndim else 1 for index in range(data.ndim)])


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """Give scale * (data - offset) with one pair a block, in scale's dtype. scale, offset: of data's rank."""
    shift = 0 if offset is None else _repeat_blocks(offset, data).float()
    return ((data.float() - shift) * _repeat_blocks(scale, data).float()).to(scale.dtype)


def _repeat_blocks(parameter: Tensor, data: Tensor) -> Tensor:
    for axis, (size, blocks) in enumerate(zip(data.shape, parameter.shape, strict=True)):
        if 1 < blocks < size:
            parameter = parameter.repeat_interleave(size // blocks, axis)
    return parameter


def constexpr_cast(source_val: Tensor, *, output_dtype: str) -> Tensor:
    """Convert a constant."""
    return source_val.to(DTYPES[output_dtype])


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, *, shape: Sequence[int] | None = None, vector_axis: int | None = None
) -> Tensor:
    """Look values up in a palette.

    Of iOS 16, with a shape: indices are packed bytes, lut is (palette,).
    Of iOS 18: indices are a tensor, lut is (*groups, palette, vector), each vector laid along `vector_axis`.
    """
    if shape is not None:
        bits = (lut.numel() - 1).bit_length()
        dense = torch.from_numpy(unpack_bits(indices.numpy(), bits, tuple(shape)))
        return lut[dense.long()]
    *groups, palette, vector = lut.shape
    group = _repeat_blocks(torch.arange(prod(groups)).view(groups), indices)
    dense = lut.reshape(-1, palette, vector)[group.expand(indices.shape), indices.long()]
    if vector == 1:
        return dense.squeeze(-1)
    if vector_axis is None:
        raise ValueError(f"a palette of vectors of {vector} needs vector_axis")
    axis = vector_axis % indices.ndim
    return dense.movedim(-1, axis + 1).flatten(axis, axis + 1)


def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, *, shape: Sequence[int] | None = None) -> Tensor:
    """Put values where a mask has ones, zeros elsewhere.

    mask: of iOS 16, with a shape, packed bytes; of iOS 18 a tensor of the result's shape.
    """
    if shape is not None:
        mask = torch.from_numpy(unpack_bits(mask.numpy(), 1, tuple(shape)))
    dense = nonzero_data.new_zeros(mask.shape)
    dense[mask.bool()] = nonzero_data
    return dense


def constexpr_lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, *, vector_axis: int | None = None
) -> tuple[Tensor, Tensor]:
    """Look the values of a sparse tensor up in a palette. Returns: its mask and its values."""
    indices = constexpr_sparse_to_dense(indices_nonzero_data, indices_mask)
    dense = constexpr_lut_to_dense(indices, lut, vector_axis=vector_axis)
    mask = indices_mask
    if lut.shape[-1] > 1 and vector_axis is not None:
        mask = mask.repeat_interleave(lut.shape[-1], vector_axis)
    return mask, dense[mask.bool()]


def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Give scale * (data - offset) of a sparse tensor. Returns: its mask and its values."""
    dense = constexpr_blockwise_shift_scale(constexpr_sparse_to_dense(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask.bool()]
