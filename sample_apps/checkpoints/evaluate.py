"""Measure a checkpoint folder on views of digits it has never seen: `python -m ...evaluate FOLDER`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from sample_apps.checkpoints.digits import held_out_views

__all__ = ["VIEWS", "Accuracy", "evaluate"]

# Four views of every held-out scan.
VIEWS = 1436
# Apart from the seeds of training, which are numbers of epochs.
_SEED = 10_000
_BATCH_SIZE = 64


@dataclass(frozen=True)
class Accuracy:
    """The share (0 to 1) of `views` whose class was found.

    A view with red and blue swapped keeps its expected class: a model that sees colour finds next to none of those.
    """

    views: int
    top1: float
    top1_swapped: float

    def __str__(self) -> str:
        return f"{self.views} held-out views: top-1 {self.top1:.2%}, with red and blue swapped {self.top1_swapped:.2%}"


@torch.no_grad()
def evaluate(folder: Path, count: int = VIEWS) -> Accuracy:
    """Measure a saved checkpoint with its own processor on PIL images."""
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    views = list(held_out_views(count, _SEED))
    hits, hits_swapped = 0, 0
    for start in range(0, count, _BATCH_SIZE):
        batch = views[start : start + _BATCH_SIZE]
        labels = torch.tensor([label for _, label in batch])
        images = [Image.fromarray(image) for image, _ in batch]
        swapped = [Image.merge("RGB", image.split()[::-1]) for image in images]
        hits += _hits(model(**processor(images=images, return_tensors="pt")).logits, labels)
        hits_swapped += _hits(model(**processor(images=swapped, return_tensors="pt")).logits, labels)
    return Accuracy(count, hits / count, hits_swapped / count)


def _hits(logits: torch.Tensor, labels: torch.Tensor) -> int:
    return int((logits.argmax(-1) == labels).sum())


def main() -> None:
    """Measure one folder and print the result."""
    parser = argparse.ArgumentParser(description="Measure a checkpoint on views of held-out digits.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=VIEWS, help="number of views")
    arguments = parser.parse_args()
    print(evaluate(arguments.folder, arguments.count))


if __name__ == "__main__":
    main()
