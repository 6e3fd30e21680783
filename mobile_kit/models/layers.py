"""The few building blocks that all families share.

They are canonical: plain torch modules whose graph every target can read. What one target lowers badly is replaced
there, module by module (`replace`), so that no family knows of a target. `part` says what kind of a part a block is.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError

__all__ = [
    "Affine",
    "Attend",
    "MapNorm",
    "Mlp",
    "Ranking",
    "Residual",
    "Sigmoid",
    "Softmax",
    "TokenNorm",
    "fold_affine",
    "fold_batch_norm",
    "linear",
    "merge_heads",
    "plain",
    "pointwise",
    "read_out",
    "reorder",
    "replace",
    "split_heads",
]

M = TypeVar("M", bound=nn.Module)
# The most axes that a tensor may have: Core ML's limit.
MAX_RANK = 5


class Affine(nn.Module):
    """`x * gamma + beta` over the last axis: a norm's affine that no projection can take."""

    part: ClassVar[str] = "norms"
    gamma: Tensor
    beta: Tensor

    def __init__(self, gamma: Tensor, beta: Tensor) -> None:
        super().__init__()
        self.register_buffer("gamma", gamma.detach().clone(), persistent=False)
        self.register_buffer("beta", beta.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to the same."""
        return x * self.gamma + self.beta


class MapNorm(nn.Module):
    """Normalise over all of a map, without affine: GroupNorm with one group on (1, T, D) tokens.

    The affine part belongs into the projection that follows (`fold_affine`).
    """

    part: ClassVar[str] = "norms"

    def __init__(self, tokens: int, width: int, eps: float) -> None:
        super().__init__()
        self.shape = (tokens, width)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D), mean 0 and variance 1 over T and D together."""
        return F.layer_norm(x, self.shape, eps=self.eps)


class TokenNorm(nn.Module):
    """Normalise each token, without affine: LayerNorm over the last axis of (1, T, D).

    The affine part belongs into the projections that follow (`fold_affine`).
    """

    part: ClassVar[str] = "norms"

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.width = width
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D), each token of mean 0 and variance 1."""
        return F.layer_norm(x, (self.width,), eps=self.eps)


class Residual(nn.Module):
    """The sum of a branch and what it branched off from."""

    part: ClassVar[str] = "residual adds"

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """Two tensors of one shape to their sum."""
        return x + branch


class Mlp(nn.Module):
    """A LayerNorm and the feed-forward network behind it, the norm's affine folded into its first layer.

    Raises: UnsupportedError where the network has no width.
    """

    def __init__(self, norm: nn.LayerNorm, expand: nn.Linear, activation: nn.Module, reduce: nn.Linear) -> None:
        super().__init__()
        if not expand.out_features:
            raise UnsupportedError("feed-forward network in the config: has a width of 0. Mend config.json.")
        self.norm = TokenNorm(expand.in_features, norm.eps)
        self.expand = fold_affine(linear(expand), norm.weight, norm.bias)
        self.activation = plain(activation)
        self.reduce = linear(reduce)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        return self.reduce(self.activation(self.expand(self.norm(x))))


class Softmax(nn.Module):
    """Softmax over the last axis.

    shown: the result is an output of the file; a target whose own softmax is rough has to compute this one well.
    """

    part: ClassVar[str] = "softmax"

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self.shown = shown

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same, each row of a sum of 1."""
        return F.softmax(x, dim=-1)


class Sigmoid(nn.Module):
    """The sigmoid of each number, as an output of a file: no steps of 1/256, and no rough kernel."""

    part: ClassVar[str] = "always float"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same, 0 to 1."""
        return torch.sigmoid(x)


class Attend(nn.Module):
    """Scaled dot-product attention. The scale belongs into the query's projection (`linear`).

    shown: the probabilities are an output of the file.
    """

    part: ClassVar[str] = "attention products"

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self.softmax = Softmax(shown)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, d), (B, S, d), (B, S, e) to the contexts (B, T, e) and the probabilities (B, T, S)."""
        probabilities = self.softmax(torch.bmm(query, key.transpose(1, 2)))
        return torch.bmm(probabilities, value), probabilities


class Ranking(nn.Module):
    """Rank distinct numbers by counting the smaller ones, and choose those of the least rank: no sort, no gather.

    Its arithmetic must stay in float32: rounded numbers tie, and the ranks of all behind them are wrong.
    """

    part: ClassVar[str] = "always float"
    before: Tensor
    places: Tensor

    def __init__(self, count: int, chosen: int) -> None:
        super().__init__()
        self.chosen = chosen
        self.register_buffer("before", torch.triu(torch.ones(count, count), 1), persistent=False)
        self.register_buffer("places", torch.arange(chosen, dtype=torch.float32).reshape(-1, 1), persistent=False)

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, N) to the ranks (1, N), ones where a number is chosen (1, N), and a matrix (M, N) that selects them.

        Equal numbers rank in their order. The matrix has a one a row, and keeps the order of what it selects.
        """
        column = numbers.reshape(-1, 1)
        smaller = (column < numbers).to(torch.float32) + (column == numbers).to(torch.float32) * self.before
        ranks = smaller.sum(0, keepdim=True)
        chosen = (ranks < self.chosen).to(torch.float32)
        # How many chosen ones stand before each.
        place = torch.mm(chosen, self.before)
        return ranks, chosen, (place == self.places).to(torch.float32) * chosen


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(1, T, H * d) to (H, T, d): rank 3 all the way, as batched products are everywhere."""
    return x.reshape(x.shape[1], heads, -1).permute(1, 0, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(H, T, d) to (1, T, H * d)."""
    return x.permute(1, 0, 2).reshape(1, x.shape[1], -1)


def reorder(x: Tensor, sizes: Sequence[int], order: Sequence[int]) -> Tensor:
    """View a tensor's elements as axes of the given sizes and permute those, through tensors of rank 5 at most.

    order: for each axis of the result, which one of `sizes` it is. Returns: the elements in their new order, of the
    shape of `x`, so that the caller views them as it likes.
    """
    shape = x.shape
    wanted = [axis for axis in order if sizes[axis] > 1]
    now = sorted(wanted)
    while now != wanted:
        runs = _runs(now, wanted)
        if len(runs) > MAX_RANK:
            # Bring what comes next to its place; the rest of the way is for another turn.
            first = next(i for i, axis in enumerate(wanted) if now[i] != axis)
            moved = next(run for run in runs if run[0] == wanted[first])
            start = now.index(moved[0])
            parts = (now[:first], now[first:start], moved, now[start + len(moved) :])
            runs = [part for part in parts if part]
            places = ((0, 2, 1, 3) if first else (1, 0, 2))[: len(runs)]
        else:
            places = tuple(sorted(range(len(runs)), key=lambda i: wanted.index(runs[i][0])))
        x = x.reshape([math.prod(sizes[axis] for axis in run) for run in runs]).permute(places)
        now = [axis for place in places for axis in runs[place]]
    return x.reshape(shape)


def _runs(now: list[int], wanted: list[int]) -> list[list[int]]:
    """Split the axes into runs that stay together."""
    runs = [now[:1]]
    for before, axis in itertools.pairwise(now):
        if wanted.index(axis) == wanted.index(before) + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def plain(activation: nn.Module) -> nn.Module:
    """Return torch's own GELU for Hugging Face's class of it: unpickled, that one imports all of transformers."""
    return nn.GELU() if type(activation).__name__ == "GELUActivation" else activation


def linear(layer: nn.Linear, rows: slice = slice(None), scale: float = 1.0) -> nn.Linear:
    """Return a copy of a linear layer with a bias, or of the given rows of its outputs, times a factor."""
    weight = layer.weight.detach()[rows]
    bias = torch.zeros(weight.shape[0]) if layer.bias is None else layer.bias.detach()[rows]
    return _filled(nn.Linear(weight.shape[1], weight.shape[0]), weight.double() * scale, bias.double() * scale)


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> nn.Conv2d:
    """Return a convolution with bias that computes `norm(conv(x))` with the norm's running statistics."""
    weight = conv.weight.detach().double()
    bias = torch.zeros(conv.out_channels).double() if conv.bias is None else conv.bias.detach().double()
    if norm is not None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        _pair(conv.kernel_size),
        stride=_pair(conv.stride),
        padding=conv.padding if isinstance(conv.padding, str) else _pair(conv.padding),
        dilation=_pair(conv.dilation),
        groups=conv.groups,
    )
    return _filled(folded, weight, bias)


def pointwise(conv: nn.Conv2d, rows: slice = slice(None)) -> nn.Linear:
    """Return the linear layer over (..., C) that a 1x1 convolution is, or the given rows of its outputs."""
    weight = conv.weight.detach()[rows, :, 0, 0]
    bias = torch.zeros(weight.shape[0]) if conv.bias is None else conv.bias.detach()[rows]
    return _filled(nn.Linear(weight.shape[1], weight.shape[0]), weight, bias)


def fold_affine(layer: M, gamma: Tensor, beta: Tensor) -> M:
    """Fold `x * gamma + beta` (per channel, before the layer) into a linear layer or 1x1 convolution, in place.

    Exact for a layer without padding only: a padded zero would have to be `beta`.
    """
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()  # type: ignore[operator]
    gamma, beta = gamma.detach().double(), beta.detach().double()
    matrix = weight.reshape(weight.shape[0], -1)
    return _filled(layer, (matrix * gamma).reshape(weight.shape), bias + matrix @ beta)


def read_out(norm: nn.LayerNorm, layer: nn.Module | None) -> nn.Module:
    """Return the linear layer behind a norm, with the norm's affine folded in; without one, the affine itself."""
    if isinstance(layer, nn.Linear):
        return fold_affine(linear(layer), norm.weight, norm.bias)
    return Affine(norm.weight, norm.bias)


def replace(model: nn.Module, kind: type[M], build: Callable[[M], nn.Module]) -> None:
    """Replace every submodule of a kind by what `build` makes of it, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, build(child))


def _filled(layer: M, weight: Tensor, bias: Tensor) -> M:
    layer.weight = nn.Parameter(weight.float().clone(), requires_grad=False)
    layer.bias = nn.Parameter(bias.float().clone(), requires_grad=False)
    return layer


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
