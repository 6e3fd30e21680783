"""What to train, and how: one entry a family."""

from dataclasses import dataclass
from typing import Any

from transformers import (
    BaseImageProcessor,
    BitImageProcessor,
    ConvNextImageProcessor,
    CvtConfig,
    HieraConfig,
    MobileViTImageProcessor,
    MobileViTV2Config,
    PreTrainedConfig,
    ViTImageProcessor,
    ViTMSNConfig,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

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
# The processors of the three transformers, as their published checkpoints have them but for the size. A digit is told
# from 64 px as well as from 128, and attention costs a sixteenth.
_SMALL_PX = 64
_SQUARE = {"height": _SMALL_PX, "width": _SMALL_PX}
_VIT = ViTImageProcessor(size=_SQUARE, resample=2, image_mean=IMAGENET_DEFAULT_MEAN, image_std=IMAGENET_DEFAULT_STD)
_BIT = BitImageProcessor(
    size={"shortest_edge": _SMALL_PX * 8 // 7},
    crop_size=_SQUARE,
    resample=3,
    image_mean=IMAGENET_DEFAULT_MEAN,
    image_std=IMAGENET_DEFAULT_STD,
)
_CONVNEXT = ConvNextImageProcessor(size={"shortest_edge": _SMALL_PX}, crop_pct=0.875, resample=3)

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
    "cvt": Recipe(
        CvtConfig(
            embed_dim=[32, 64, 112],
            num_heads=[1, 2, 4],
            depth=[1, 2, 3],  # a stage's must be greater than its number: Hugging Face reads drop rates by it
            mlp_ratio=[4.0, 4.0, 4.0],
            drop_path_rate=[0.0] * 5,
            **_CLASSES,
        ),
        _CONVNEXT,
        stages=(Stage(_SMALL_PX, 60),),
        batch_size=32,
        peak_rate=2e-3,
    ),
    "hiera": Recipe(
        HieraConfig(
            image_size=[_SMALL_PX, _SMALL_PX],
            embed_dim=24,
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 4, 8],
            mlp_ratio=3.0,
            **_CLASSES,
        ),
        _BIT,
        stages=(Stage(_SMALL_PX, 60),),
        batch_size=32,
        peak_rate=2e-3,
    ),
    "vit_msn": Recipe(
        ViTMSNConfig(
            image_size=_SMALL_PX,
            patch_size=8,
            hidden_size=96,
            num_hidden_layers=6,
            num_attention_heads=3,
            intermediate_size=288,
            **_CLASSES,
        ),
        _VIT,
        stages=(Stage(_SMALL_PX, 160),),
        batch_size=32,
        peak_rate=1.5e-3,
    ),
}
