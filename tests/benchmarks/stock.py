"""The peer of every file of ours: Hugging Face's own model, as it is."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.checkpoints.load import Checkpoint, load

__all__ = ["CLASSIFIER", "Plain", "saved"]

CLASSIFIER = "apple/mobilevitv2-1.0-imagenet1k-256"


class Plain(nn.Module):
    """A Hugging Face model that returns its logits: converters take tensors, no ModelOutput."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(1, C, H, W) to logits."""
        logits: Tensor = self.model(pixel_values).logits
        return logits


def saved(name: str, folder: Path, head: str | None = None) -> Checkpoint:
    """Write a known name with random weights as `save_pretrained` does; return what the folder holds.

    All paths of one run then read the same weights from disk.
    """
    torch.manual_seed(0)
    checkpoint = load(name, head=head, random_weights=True)
    checkpoint.model.save_pretrained(folder)
    checkpoint.processor.save_pretrained(folder)
    return load(str(folder))
