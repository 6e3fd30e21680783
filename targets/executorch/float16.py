"""A model in float16 as XNNPACK takes it: in one delegate, and no rougher than it must be."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from mobile_kit.models.layers import Ranking, Sigmoid, Softmax, replace
from mobile_kit.models.spec import CommonModel

__all__ = ["HalfModel", "decompose", "gelu", "silu"]

# GELU is x times the normal distribution, whose logit over x is nearly a polynomial of x squared. These coefficients
# minimise the largest error of the product: 2.6e-5; rounded to float16, 4.7e-5.
GELU = (1.595016, 0.074011, -0.000703)
# Beyond it the distribution is 0 or 1 in float16.
GELU_REACH = 4.75
# The tanh form is the same, with two coefficients that are its own: 2 sqrt(2 / pi), and 0.044715 times that.
TANH_GELU = (1.5957691, 0.0713548)


class FloatSoftmax(nn.Module):
    """Softmax in float32: XNNPACK's half kernel loses 3 dB, which shows where the result is an output."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softmax(x.float(), dim=-1).to(x.dtype)


class FloatSigmoid(nn.Module):
    """Sigmoid in float32, as `FloatSoftmax`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return torch.sigmoid(x.float()).to(x.dtype)


class HalfRanking(nn.Module):
    """A ranking in float32 between a float32 input and what float16 layers take."""

    def __init__(self, ranking: Ranking) -> None:
        super().__init__()
        # A new one: rounded to float16, the numbers of more than 2048 places are others.
        self.ranking = Ranking(ranking.before.shape[0], ranking.chosen)

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, N) float32 to the ranks in float32 and the choice in float16."""
        ranks, chosen, matrix = self.ranking(numbers)
        return ranks, chosen.half(), matrix.half()


class HalfModel(nn.Module):
    """A model in float16 between float32 or uint8 inputs and float32 outputs; noise stays in float32."""

    def __init__(self, model: CommonModel) -> None:
        super().__init__()
        replace(model, Softmax, lambda softmax: FloatSoftmax() if softmax.shown else softmax)
        replace(model, Sigmoid, lambda sigmoid: FloatSigmoid())
        self.noise = [x.meaning == "noise" for x in model.spec.inputs]
        self.model = model.half()
        replace(self.model, Ranking, HalfRanking)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The model's inputs to its outputs, in the dtypes of its spec."""
        outputs = self.model(*(x if noise else x.half() for x, noise in zip(inputs, self.noise, strict=True)))
        return tuple(y.float() if y.is_floating_point() else y for y in outputs)


def decompose(program: ExportedProgram) -> ExportedProgram:
    """Write what XNNPACK lacks in float16 as what it has.

    ExecuTorch's own half GELU, outside the delegate, takes ten times as long; its SiLU casts to float32 outside.
    """
    from executorch.exir.passes.constant_prop_pass import constant_prop_pass

    table = {torch.ops.aten.gelu.default: gelu, torch.ops.aten.silu.default: silu}
    # A number beside a half tensor would become a cast: `gelu` makes tensors, and they constants.
    return constant_prop_pass(program.run_decompositions(table))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """Any shape to the same: GELU as a product, a polynomial and a sigmoid."""
    coefficients = GELU if approximate == "none" else TANH_GELU
    near = torch.clamp(x, -GELU_REACH, GELU_REACH)
    square = near * near
    *lower, slope = (torch.full((1,) * x.dim(), number, dtype=x.dtype) for number in coefficients)
    for coefficient in reversed(lower):
        slope = slope * square + coefficient
    return x * torch.sigmoid(near * slope)


def silu(x: Tensor) -> Tensor:
    """Any shape to the same."""
    return x * torch.sigmoid(x)
