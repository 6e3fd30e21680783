"""Ops that work element by element, and reductions.

As everywhere in this package, positional parameters are tensors and keyword-only ones are constants of the op, under
the names that MIL gives them. Definitions: coremltools 9.0, `converters/mil/mil/ops/defs`.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from targets.coreml.mil.ops.precision import wide

DTYPES = {
    "bool": torch.bool,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int16": torch.int16,
    "int32": torch.int32,
    "int8": torch.int8,
    "uint16": torch.uint16,
    "uint8": torch.uint8,
}


def unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return the op that applies a torch function to `x`."""

    def op(x: Tensor) -> Tensor:
        return function(x)

    return op


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return the op that applies a torch function to `x` and `y`, broadcast."""

    def op(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    return op


def reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    """Return the op that reduces `x` over `axes`, all of them by default; the dtype stays."""

    @wide
    def op(x: Tensor, *, axes: Sequence[int] | None = None, keep_dims: bool = False) -> Tensor:
        return function(x, list(range(x.ndim) if axes is None else axes), keep_dims).to(x.dtype)

    return op


def arg_reduction(function: Callable[[Tensor, int, bool], Tensor]) -> Callable[..., Tensor]:
    """Return the op that gives the index of an extreme value along one axis, as int32 or `output_dtype`."""

    def op(x: Tensor, *, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:
        return function(x, axis, keep_dims).to(DTYPES[output_dtype])

    return op


def cast(x: Tensor, *, dtype: str) -> Tensor:
    """Convert to `dtype`; floats are cut towards zero for an integer type."""
    return x.to(DTYPES[dtype])


def clip(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Limit to [alpha, beta]."""
    return x.clamp(alpha, beta)


@wide
def clamped_relu(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Leaky ReLU of slope alpha, limited to at most beta."""
    return F.leaky_relu(x, alpha).clamp(max=beta)


def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Give x above 0, else alpha * (e^x - 1)."""
    return F.elu(x, alpha)


@wide
def gelu(x: Tensor, *, mode: str = "EXACT") -> Tensor:
    """Gaussian error linear unit. mode: `EXACT`, `TANH_APPROXIMATION` or `SIGMOID_APPROXIMATION`."""
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate={"EXACT": "none", "TANH_APPROXIMATION": "tanh"}[mode])


@wide
def inverse(x: Tensor, *, epsilon: float = 1e-4) -> Tensor:
    """Give 1 / (x + epsilon)."""
    return 1 / (x + epsilon)


def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """Give x from 0 up, else alpha * x."""
    return F.leaky_relu(x, alpha)


@wide
def linear_activation(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Give alpha * x + beta."""
    return alpha * x + beta


def log(x: Tensor, *, epsilon: float = 1e-45) -> Tensor:
    """Logarithm of x + epsilon, where epsilon is of x's dtype: 1e-45 is 0 in fp16."""
    return torch.log(x + torch.tensor(epsilon, dtype=x.dtype))


@wide
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """Leaky ReLU with a slope a channel. x: (N, C, *). alpha: (C,)."""
    return F.prelu(x, alpha)


def relu6(x: Tensor) -> Tensor:
    """Limit to [0, 6]."""
    return x.clamp(0, 6)


def rsqrt(x: Tensor, *, epsilon: float = 1e-12) -> Tensor:
    """Give 1 / sqrt(x + epsilon), where epsilon is of x's dtype: 1e-12 is 0 in fp16."""
    return torch.rsqrt(x + torch.tensor(epsilon, dtype=x.dtype))


@wide
def scaled_tanh(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Give alpha * tanh(beta * x)."""
    return alpha * torch.tanh(beta * x)


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Give a where cond holds, else b, broadcast."""
    return torch.where(cond, a, b)


@wide
def sigmoid_hard(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """Give alpha * x + beta, limited to [0, 1]."""
    return (alpha * x + beta).clamp(0, 1)


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Softmax along one axis."""
    return torch.softmax(x, axis)


@wide
def softplus(x: Tensor) -> Tensor:
    """Give log(1 + e^x), for large x without the cut-off that torch's own has at 20."""
    return torch.logaddexp(x, torch.zeros_like(x))


@wide
def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Give alpha * log(1 + e^(beta * x)) with a pair a channel. x: (N, C, *). alpha, beta: (C,)."""
    shape = (-1, *[1] * (x.ndim - 2))
    return alpha.view(shape) * softplus(x * beta.view(shape))


@wide
def softsign(x: Tensor) -> Tensor:
    """Give x / (1 + |x|)."""
    return F.softsign(x)


def threshold(x: Tensor, *, alpha: float) -> Tensor:
    """Give max(x, alpha)."""
    return x.clamp(min=alpha)


def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Give x from alpha up, else 0."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


def cumsum(x: Tensor, *, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Cumulative sum along an axis, from its end where reversed; exclusive leaves out the element itself."""
    data = x.flip(axis) if reverse else x
    total = torch.cumsum(data, axis, dtype=x.dtype)
    total = total - data if exclusive else total
    return total.flip(axis) if reverse else total


def topk(
    x: Tensor,
    *,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> Tensor | tuple[Tensor, ...]:
    """Give the k extreme values along an axis (all for -1), and their indices unless told not to."""
    values, indices = torch.topk(x, x.shape[axis] if k == -1 else k, axis, largest=not ascending, sorted=sort)
    return (values, indices.to(DTYPES[output_indices_dtype])) if return_indices else values
