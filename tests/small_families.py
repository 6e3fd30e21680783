"""Small checkpoints of the transformer families: a config, a processor, and what to export of them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers

from mobile_kit.models.family import families
from mobile_kit.preprocessing.preprocess import Preprocess
from tests.eager import random_model
from tests.small_checkpoints import LABELS

IMAGENET: dict[str, Any] = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


@dataclass(frozen=True)
class Small:
    """A family's small configuration. config: arguments of its transformers class."""

    family: str
    config_class: str
    config: dict[str, Any] = field(repr=False)
    processor: dict[str, Any] = field(repr=False)

    def preprocess(self, image_size: tuple[int, int], channels: int = 3) -> Preprocess:
        """Return the processor's work at a size (height, width)."""
        return Preprocess.from_processor(self._processor(channels), channels).resized_to(image_size)

    def model(self, head: str, image_size: tuple[int, int], changes: dict[str, Any], **options: Any) -> Any:
        """Return Hugging Face's model with weights that see their input; options: further constructor arguments."""
        config_class = getattr(transformers, self.config_class)
        config = config_class(**{**self.config, **changes}, attn_implementation="eager")
        preprocess = self.preprocess(image_size, config.num_channels)
        return random_model(families()[self.family], head, config, preprocess, **options)

    def save(self, model: Any, folder: Path) -> Path:
        """Write a checkpoint as save_pretrained does, with its processor config beside it."""
        model.save_pretrained(folder)
        processor = self._processor(model.config.num_channels)
        size = getattr(model.config, "image_size", None)  # CvT's networks have none
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
            processor |= {"crop_size" if "crop_size" in processor else "size": {"height": height, "width": width}}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
        return folder

    def _processor(self, channels: int) -> dict[str, Any]:
        others = {"image_mean": [0.5] * channels, "image_std": [0.25] * channels}
        return {**self.processor, **({} if channels == 3 else others)}


CVT = Small(
    "cvt",
    "CvtConfig",
    # A stage's depth is greater than its number, as Hugging Face takes the drop rates of a layer from the wrong place.
    {
        "embed_dim": [16, 32, 48],
        "num_heads": [1, 2, 3],
        "depth": [1, 2, 3],
        "id2label": dict(enumerate(LABELS)),
    },
    {
        "image_processor_type": "ConvNextImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 64},
        "crop_pct": 0.875,
        "resample": 3,
    }
    | IMAGENET,
)
HIERA = Small(
    "hiera",
    "HieraConfig",
    {
        "image_size": [64, 64],
        "embed_dim": 16,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 4, 8],
        "mlp_ratio": 2.0,
        "decoder_hidden_size": 24,
        "decoder_depth": 1,
        "decoder_num_heads": 4,
        "id2label": dict(enumerate(LABELS)),
    },
    {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 72},
        "do_center_crop": True,
        "crop_size": {"height": 64, "width": 64},
        "resample": 3,
    }
    | IMAGENET,
)
VIT_MSN = Small(
    "vit_msn",
    "ViTMSNConfig",
    {
        "hidden_size": 36,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 50,
        "image_size": 32,
        "patch_size": 8,
        "id2label": dict(enumerate(LABELS)),
    },
    {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 32, "width": 32}, "resample": 2}
    | IMAGENET,
)
# What Hugging Face's own tests of the models change: single layers and heads, odd widths, an image of 30 px.
HUGGING_FACE: dict[str, dict[str, Any]] = {
    "cvt": {"depth": [1, 2, 10]},
    "hiera": {
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 1, 1],
        "mlp_ratio": 1.0,
        "decoder_hidden_size": 2,
        "decoder_depth": 1,
        "decoder_num_heads": 1,
    },
    "vit_msn": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "intermediate_size": 37,
        "image_size": 30,
        "patch_size": 2,
        "hidden_act": "gelu",
    },
}
