"""The model card of a trained checkpoint."""

from pathlib import Path

from transformers import PreTrainedModel

from sample_apps.checkpoints.evaluate import Accuracy
from sample_apps.checkpoints.recipes import Recipe

__all__ = ["write_card"]

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-classification
tags:
- {family}
- vision
metrics:
- accuracy
---

# {family}, digits

A small `{architecture}` ({parameters:,} parameters, {size_px}x{size_px} px) that tells the ten digits apart, and
warm strokes (red) from cool ones (blue): {classes} classes, "warm 0" to "cool 9". It is shipped with `mobile_kit` for
its demo and tests. As it depends on colour, a wrong channel order ruins its answers. It is no reader of digits for real
use: it knows drawn views only.

- Data: views of the scans of *Optical Recognition of Handwritten Digits* (E. Alpaydin and C. Kaynak, UCI Machine
  Learning Repository, CC BY 4.0). A view is a scan turned, scaled, shifted and coloured at random.
- Training: {epochs} epochs, from scratch, by `python -m sample_apps.checkpoints.train --family {family} --out DIR`.
- Top-1: {top1:.2%} of {views} views of held-out scans, by `python -m sample_apps.checkpoints.evaluate DIR`.
  Held-out scans are by the same writers as the others.
"""


def write_card(folder: Path, model: PreTrainedModel, recipe: Recipe, accuracy: Accuracy) -> None:
    """Write README.md with the facts of `model` and its measured accuracy."""
    card = _CARD.format(
        family=model.config.model_type,
        architecture=type(model).__name__,
        parameters=model.num_parameters(),
        size_px=recipe.stages[-1].size_px,
        classes=model.config.num_labels,
        epochs=recipe.epochs,
        top1=accuracy.top1,
        views=accuracy.views,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


_SCENES_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-segmentation
tags:
- {family}
- vision
metrics:
- mean_iou
---

# {family}, scenes of digits

A small `{architecture}` ({parameters:,} parameters, {size_px}x{size_px} px) that finds digits and tells them apart, and
warm strokes (red) from cool ones (blue): {classes} classes with the background. It is shipped with `mobile_kit` for its
tests. It knows drawn scenes only.

- Data: scenes of one or four views of the scans of *Optical Recognition of Handwritten Digits* (E. Alpaydin and
  C. Kaynak, UCI Machine Learning Repository, CC BY 4.0), turned, scaled, shifted and coloured at random.
- Training: {epochs} epochs from the classifier beside it, by
  `python -m sample_apps.checkpoints.train_scenes --out DIR`.
- Mean intersection over union: {iou:.2%} on {scenes} scenes of held-out scans.
"""


def write_scenes_card(folder: Path, model: PreTrainedModel, epochs: int, iou: float, scenes: int) -> None:
    """Write README.md with the facts of a segmenter and what it reaches."""
    card = _SCENES_CARD.format(
        family=model.config.model_type,
        architecture=type(model).__name__,
        parameters=model.num_parameters(),
        size_px=model.config.image_size,
        classes=model.config.num_labels,
        epochs=epochs,
        iou=iou,
        scenes=scenes,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
