"""Half-precision arithmetic that every CPU computes alike, to hold files against.

Torch's own float16 kernels are other ones on other CPUs: they round, add up and approximate differently, and the noise
of one model moves by decibels with them. Here each operation is computed in float64 from numbers that float16 has, and
its result is rounded to float16: no CPU's kernels show behind that rounding.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

__all__ = ["Accumulators", "HalfPrecision"]

Accumulators = Literal["float32", "float16"]
"""What sums of products are added up in. `float32`: one rounding at their end, as on x86 and on GPUs that keep wide
accumulators. `float16`: a rounding at each fused multiply-add, as arm64's half-precision kernels have them."""

aten = torch.ops.aten
# What compares numbers for their order; rounded ones would tie. Hugging Face ranks Hiera's noise in float32 as well.
ORDERING = {aten.argmax.default, aten.sort.default, aten.sort.stable, aten.topk.default}


class HalfPrecision(TorchDispatchMode):
    """Compute a float32 model as in float16, while the context lasts; its weights and tensors stay float32.

    What is read is rounded to float16, computed in float64 (a float32 sum of float16 products is nowhere so wrong that
    it shows behind the rounding), and rounded again. Numbers beyond 65504 become infinite, as in float16. A layer's
    inner sums, such as those of a norm's variance, are rounded once, at the layer's result, as in torch's own kernels.
    """

    def __init__(self, accumulators: Accumulators = "float32") -> None:
        super().__init__()
        self._kernels = HALF_ACCUMULATORS if accumulators == "float16" else {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Views share the memory of what they view, which is rounded where it is read.
        if func.is_view or func in ORDERING or not any(_is_float(x) for x in (*args, *_listed(args))):
            return func(*args, **kwargs)
        wide_args, wide_kwargs = tree_map(_widened, (args, kwargs))
        result = self._kernels.get(func, func)(*wide_args, **wide_kwargs)
        if func._schema.is_mutable:  # every such operation of torch's changes its first argument, and returns it
            return args[0].copy_(_rounded(wide_args[0]))
        return tree_map(lambda x: _rounded(x) if _is_float(x) else x, result)


def _listed(args: Any) -> list[Any]:
    """Return what the lists among an operation's arguments hold, as those of a concatenation do."""
    return [x for arg in args if isinstance(arg, list | tuple) for x in arg]


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _widened(x: Any) -> Any:
    return x.half().double() if _is_float(x) else x


def _rounded(x: Tensor) -> Tensor:
    return x.half().float()


def _mm(a: Tensor, b: Tensor, start: Tensor | None = None) -> Tensor:
    """(..., M, K) and (..., K, N) to (..., M, N), from `start` on, with a rounding at each multiply-add."""
    total = a.new_zeros(*a.shape[:-1], b.shape[-1]) if start is None else start
    for k in range(a.shape[-1]):
        # A product of two such numbers has 22 bits: float64 holds it and the sum, and only the sum is rounded.
        total = (total + a[..., k : k + 1] * b[..., k : k + 1, :]).half().double()
    return total


def _addmm(start: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return _mm(a, b, start)


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor:
    """(N, C, H, W) to (N, O, H', W'): the taps of each output added up one after the other, from the bias on."""
    assert not transposed, "no family has a transposed convolution"
    kernel = weight.shape[2:]
    columns = F.unfold(x, tuple(kernel), tuple(dilation), tuple(padding), tuple(stride))
    taps = columns.reshape(len(x), groups, -1, columns.shape[-1])
    matrix = weight.reshape(groups, len(weight) // groups, -1)
    result = _mm(matrix, taps, None if bias is None else bias.reshape(groups, -1, 1))
    sizes = (
        (side + 2 * pad - step * (taken - 1) - 1) // pace + 1
        for side, pad, step, taken, pace in zip(x.shape[2:], padding, dilation, kernel, stride, strict=True)
    )
    return result.reshape(len(x), len(weight), *sizes)


HALF_ACCUMULATORS: dict[Any, Callable[..., Tensor]] = {
    aten.addmm.default: _addmm,
    aten.bmm.default: _mm,
    aten.convolution.default: _convolution,
    aten.mm.default: _mm,
}
