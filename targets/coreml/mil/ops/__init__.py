"""Every op that can be executed: its name in MIL, and the function that computes it.

A function takes tensors as positional parameters and the op's constants as keyword-only ones, under MIL's own names;
a name that its signature lacks is refused. Names and meanings: coremltools 9.0, `converters/mil/mil/ops/defs`.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from targets.coreml.mil.ops import arrangement, compression, contraction, elementwise, resizing, window
from targets.coreml.mil.ops.elementwise import arg_reduction, binary, reduction, unary

__all__ = ["OPS", "Label", "Value"]

Label = str | int
Value = Tensor | Label | tuple[str, ...] | tuple[int, ...] | dict[Label, float]


def classify(probabilities: Tensor, *, classes: Sequence[Label]) -> tuple[Label, dict[Label, float]]:
    """Give the most probable label, and the probability of each."""
    scores = probabilities.flatten().tolist()
    table = dict(zip(classes, scores, strict=True))
    return classes[int(probabilities.flatten().argmax())], table


def const(val: Value) -> Value:
    """Give a constant as it is."""
    return val


def identity(x: Value) -> Value:
    """Give a value as it is."""
    return x


def prod(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    """Multiply over axes."""
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


OPS: Mapping[str, Callable[..., Value | tuple[Value, ...]]] = {
    "abs": unary(torch.abs),
    "acos": unary(torch.acos),
    "add": binary(torch.add),
    "asin": unary(torch.asin),
    "atan": unary(torch.atan),
    "atanh": unary(torch.atanh),
    "avg_pool": window.avg_pool,
    "batch_norm": contraction.batch_norm,
    "cast": elementwise.cast,
    "ceil": unary(torch.ceil),
    "clamped_relu": elementwise.clamped_relu,
    "classify": classify,
    "clip": elementwise.clip,
    "concat": arrangement.concat,
    "const": const,
    "constexpr_affine_dequantize": compression.constexpr_affine_dequantize,
    "constexpr_blockwise_shift_scale": compression.constexpr_blockwise_shift_scale,
    "constexpr_cast": compression.constexpr_cast,
    "constexpr_lut_to_dense": compression.constexpr_lut_to_dense,
    "constexpr_lut_to_sparse": compression.constexpr_lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": compression.constexpr_sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": compression.constexpr_sparse_to_dense,
    "conv": contraction.conv,
    "conv_transpose": contraction.conv_transpose,
    "cos": unary(torch.cos),
    "cosh": unary(torch.cosh),
    "crop": arrangement.crop,
    "cumsum": elementwise.cumsum,
    "dequantize": compression.dequantize,
    "einsum": contraction.einsum,
    "elu": elementwise.elu,
    "equal": binary(torch.eq),
    "erf": unary(torch.erf),
    "exp": unary(torch.exp),
    "exp2": unary(torch.exp2),
    "expand_dims": arrangement.expand_dims,
    "fill": arrangement.fill,
    "fill_like": arrangement.fill_like,
    "floor": unary(torch.floor),
    "floor_div": binary(torch.floor_divide),
    "gather": arrangement.gather,
    "gather_along_axis": arrangement.gather_along_axis,
    "gather_nd": arrangement.gather_nd,
    "gelu": elementwise.gelu,
    "greater": binary(torch.gt),
    "greater_equal": binary(torch.ge),
    "identity": identity,
    "instance_norm": contraction.instance_norm,
    "inverse": elementwise.inverse,
    "l2_norm": contraction.l2_norm,
    "layer_norm": contraction.layer_norm,
    "leaky_relu": elementwise.leaky_relu,
    "less": binary(torch.lt),
    "less_equal": binary(torch.le),
    "linear": contraction.linear,
    "linear_activation": elementwise.linear_activation,
    "log": elementwise.log,
    "logical_and": binary(torch.logical_and),
    "logical_not": unary(torch.logical_not),
    "logical_or": binary(torch.logical_or),
    "logical_xor": binary(torch.logical_xor),
    "matmul": contraction.matmul,
    "max_pool": window.max_pool,
    "maximum": binary(torch.maximum),
    "minimum": binary(torch.minimum),
    "mod": binary(torch.remainder),
    "mul": binary(torch.mul),
    "not_equal": binary(torch.ne),
    "one_hot": arrangement.one_hot,
    "pad": arrangement.pad,
    "pixel_shuffle": arrangement.pixel_shuffle,
    "pixel_unshuffle": arrangement.pixel_unshuffle,
    "pow": binary(torch.pow),
    "prelu": elementwise.prelu,
    "quantize": compression.quantize,
    "range_1d": arrangement.range_1d,
    "real_div": binary(torch.true_divide),
    "reduce_argmax": arg_reduction(torch.argmax),
    "reduce_argmin": arg_reduction(torch.argmin),
    "reduce_l1_norm": reduction(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "reduce_l2_norm": reduction(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "reduce_log_sum": reduction(lambda x, axes, keep: x.sum(axes, keep).log()),
    "reduce_log_sum_exp": reduction(lambda x, axes, keep: x.logsumexp(axes, keep)),
    "reduce_max": reduction(lambda x, axes, keep: x.amax(axes, keep)),
    "reduce_mean": reduction(lambda x, axes, keep: x.mean(axes, keep)),
    "reduce_min": reduction(lambda x, axes, keep: x.amin(axes, keep)),
    "reduce_prod": reduction(prod),
    "reduce_sum": reduction(lambda x, axes, keep: x.sum(axes, keep)),
    "reduce_sum_square": reduction(lambda x, axes, keep: x.square().sum(axes, keep)),
    "relu": unary(torch.relu),
    "relu6": elementwise.relu6,
    "reshape": arrangement.reshape,
    "resize": resizing.resize,
    "resize_bilinear": resizing.resize_bilinear,
    "resize_nearest_neighbor": resizing.resize_nearest_neighbor,
    "reverse": arrangement.reverse,
    "round": unary(torch.round),
    "rsqrt": elementwise.rsqrt,
    "scaled_dot_product_attention": contraction.scaled_dot_product_attention,
    "scaled_tanh": elementwise.scaled_tanh,
    "select": elementwise.select,
    "shape": arrangement.shape,
    "sigmoid": unary(torch.sigmoid),
    "sigmoid_hard": elementwise.sigmoid_hard,
    "sign": unary(torch.sign),
    "silu": unary(F.silu),
    "sin": unary(torch.sin),
    "sinh": unary(torch.sinh),
    "slice_by_index": arrangement.slice_by_index,
    "slice_by_size": arrangement.slice_by_size,
    "softmax": elementwise.softmax,
    "softplus": elementwise.softplus,
    "softplus_parametric": elementwise.softplus_parametric,
    "softsign": elementwise.softsign,
    "split": arrangement.split,
    "sqrt": unary(torch.sqrt),
    "square": unary(torch.square),
    "squeeze": arrangement.squeeze,
    "stack": arrangement.stack,
    "sub": binary(torch.sub),
    "tan": unary(torch.tan),
    "tanh": unary(torch.tanh),
    "threshold": elementwise.threshold,
    "thresholded_relu": elementwise.thresholded_relu,
    "tile": arrangement.tile,
    "topk": elementwise.topk,
    "transpose": arrangement.transpose,
    "upsample_bilinear": resizing.upsample_bilinear,
    "upsample_nearest_neighbor": resizing.upsample_nearest_neighbor,
}
