"""What to train, and how: one entry a family."""

from dataclasses import dataclass
from typing import Any

from transformers import BaseImageProcessor, MobileViTImageProcessor, MobileViTV2Config, PreTrainedConfig

from sample_apps.checkpoints.digits import LABELS, SIZE_PX

__all__ = ["RECIPES", "Recipe", "Stage"]


@dataclass(frozen=True)
class Stage:
    """A number of passes over the training scans at one image size."""

    size_px: int
    epochs: int


@dataclass(frozen=True)
class Recipe:
    """A family's configuration, its processor and its schedule. The last stage has the size that is shipped."""

    config: PreTrainedConfig
    processor: BaseImageProcessor
    stages: tuple[Stage, ...]
    batch_size: int
    peak_rate: float
    weight_decay: float = 0.02
    label_smoothing: float = 0.05

    @property
    def epochs(self) -> int:
        """Count the passes of all stages."""
        return sum(stage.epochs for stage in self.stages)


_CLASSES: dict[str, Any] = {
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: index for index, label in enumerate(LABELS)},
}
# As Apple's checkpoints have it: BGR of 0 to 1, without mean and standard deviation.
_BGR = MobileViTImageProcessor(
    size={"shortest_edge": SIZE_PX},
    crop_size={"height": SIZE_PX, "width": SIZE_PX},
    resample=2,
    do_flip_channel_order=True,
    do_normalize=False,
)

# The first passes are cheap ones at half the size. MobileViTV2 takes multiples of 64 px only: at an output stride of 32
# its last map is cut into patches of 2x2.
RECIPES = {
    "mobilevitv2": Recipe(
        MobileViTV2Config(image_size=SIZE_PX, width_multiplier=0.35, **_CLASSES),
        _BGR,
        stages=(Stage(64, 30), Stage(128, 40)),
        batch_size=32,
        peak_rate=3e-3,
    ),
}
