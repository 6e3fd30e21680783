"""Attention of a single head as LiteRT's delegate takes it."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from mobile_kit.models.layers import Attend

__all__ = ["SplitAttend"]


class SplitAttend(nn.Module):
    """Attend, with the queries of a single head in two batches.

    Of a product of one batch litert-torch makes a FULLY_CONNECTED, which XNNPACK takes with constant weights only:
    LiteRT's own kernel would compute it, between two delegates.
    """

    part: ClassVar[str] = "attention products"

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, d), (B, S, d), (B, S, e) to the contexts (B, T, e) and the probabilities (B, T, S)."""
        if query.shape[0] > 1:
            return self.attend(query, key, value)
        tokens = query.shape[1]
        even = query if tokens % 2 == 0 else torch.cat([query, query[:, :1]], dim=1)
        halves = even.reshape(2, -1, query.shape[2])
        context, probabilities = self.attend(halves, torch.cat([key, key]), torch.cat([value, value]))
        context, probabilities = (part.reshape(1, even.shape[1], -1)[:, :tokens] for part in (context, probabilities))
        return context, probabilities
