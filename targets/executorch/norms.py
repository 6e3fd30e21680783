"""Norms as operations that XNNPACK takes."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_kit.models.layers import MapNorm, TokenNorm

__all__ = ["FEW_TOKENS", "HalfNorm", "LinearNorm", "MeanInTurns"]

# The most addends of a mean in float16. HalfNorm's squares are about 0.024 on average, and a 256th of that is still a
# normal number; a kernel whose sums are float16 too flushes smaller ones to 0, as Arm's do.
MOST_ADDENDS = 256
# Of so few tokens, one turn has no such addend even where numbers are about 0.01.
FEW_TOKENS = 64


class Mean(nn.Module):
    """A mean over tokens as one product with a constant vector."""

    weights: Tensor

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((1, tokens), 1 / tokens), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1, 1, T) to (1, 1, 1)."""
        return F.linear(x, self.weights)


class MeanInTurns(nn.Module):
    """A mean over tokens as two products: over the columns of each row that they stand in, and over the rows.

    In one, each addend is a token's number by T: beyond 400 tokens, squares become subnormal in float16 so, and 0 on
    Arm.
    """

    columns: Tensor
    rows: Tensor

    def __init__(self, tokens: int) -> None:
        super().__init__()
        columns, rows = _rows_of(tokens)
        self.empty = rows * columns - tokens
        self.register_buffer("columns", torch.full((1, columns), 1 / columns), persistent=False)
        self.register_buffer("rows", torch.full((1, rows), columns / tokens), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1, 1, T) to (1, 1, 1)."""
        x = F.pad(x, (0, self.empty)) if self.empty else x
        by_row = F.linear(x.reshape(1, -1, self.columns.shape[1]), self.columns)
        return F.linear(by_row.reshape(1, 1, -1), self.rows)


class LinearNorm(nn.Module):
    """MapNorm or TokenNorm with its means as products with constant vectors.

    XNNPACK takes no layer_norm, and its mean over all of a map runs over a single channel, without vectors: it is
    slower and loses 20 times the precision of these two linear layers.
    """

    part: ClassVar[str] = "norms"
    over_width: Tensor

    def __init__(self, norm: MapNorm | TokenNorm) -> None:
        super().__init__()
        tokens, width = norm.shape if isinstance(norm, MapNorm) else (0, norm.width)
        self.eps = norm.eps
        self.register_buffer("over_width", torch.full((1, width), 1 / width), persistent=False)
        self.token_mean = self.over_tokens(tokens) if tokens else None

    @staticmethod
    def over_tokens(tokens: int) -> nn.Module:
        """Return what takes the mean over tokens."""
        return Mean(tokens)

    def mean(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, 1, 1), or (1, T, 1) for tokens by themselves."""
        by_token = F.linear(x, self.over_width)
        if self.token_mean is None:
            return by_token
        mean: Tensor = self.token_mean(by_token.reshape(1, 1, -1))
        return mean

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        centred = x - self.mean(x)
        return centred * torch.rsqrt(self.mean(centred * centred) + self.eps)


class HalfNorm(LinearNorm):
    """LinearNorm in float16: within its range, and as near to the float32 one as three roundings let it.

    Residual streams of trained checkpoints pass 256, and the squares of such numbers are infinite in float16. Divided
    by eight times their mean magnitude, no square of 2048 numbers is, even where one of them outweighs the others.
    """

    root: Tensor
    one: Tensor
    two: Tensor
    eight: Tensor
    least: Tensor

    def __init__(self, norm: MapNorm | TokenNorm) -> None:
        super().__init__(norm)
        # As tensors: a number over a tensor becomes a reciprocal, which XNNPACK lacks, and one added to a half tensor
        # a cast outside the delegate. Least is float16's least normal number: a flat map stays 0.
        numbers = {"root": norm.eps**0.5, "one": 1.0, "two": 2.0, "eight": 8.0, "least": 2.0**-14}
        for name, number in numbers.items():
            self.register_buffer(name, torch.full((1, 1, 1), number), persistent=False)

    @staticmethod
    def over_tokens(tokens: int) -> nn.Module:
        """Return what takes the mean over tokens, as exactly as float16 can."""
        return Mean(tokens) if tokens <= FEW_TOKENS else MeanInTurns(tokens)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        centred = x - self.mean(x)
        magnitude = self.mean(centred.abs()) * self.eight + self.least
        scaled, floor = centred / magnitude, self.root / magnitude
        deviation = magnitude * torch.sqrt(self.mean(scaled * scaled) + floor * floor)
        rough = centred / deviation
        # One number for all of a token is rounded too, and shifts or scales the whole of it. What is left of the mean
        # and of the variance after the first turn is small, so that float16 has it exactly enough to take it away.
        floor = self.root / deviation
        excess = self.mean(rough * rough - self.one) + floor * floor
        return rough - (rough * (excess / self.two) + self.mean(rough))


def _rows_of(tokens: int) -> tuple[int, int]:
    """Return in how many columns and rows tokens stand, near a square; where they fill none, some columns are empty."""
    root = math.isqrt(tokens - 1) + 1
    fitting = (columns for columns in range(root, 0, -1) if tokens % columns == 0)
    columns = next(fitting)
    if tokens // columns <= MOST_ADDENDS:
        return columns, tokens // columns
    return root, -(-tokens // root)
