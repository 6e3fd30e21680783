"""MobileViTV2 checkpoints of a few hundred kilobytes, with weights on which a comparison proves something."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from mobile_kit.checkpoints.random_weights import randomize
from mobile_kit.models.mobilevitv2 import FAMILY
from mobile_kit.preprocessing.preprocess import Preprocess

LABELS = ("apple", "birch", "cedar", "daisy", "elder")
CONFIG: dict[str, Any] = {"width_multiplier": 0.25, "image_size": 64, "aspp_out_channels": 32}
# Its crop is larger than the resized short side of no image, and images smaller than the crop are padded.
PROCESSOR: dict[str, Any] = {
    "image_processor_type": "MobileViTImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 72},
    "do_center_crop": True,
    "crop_size": {"height": 64, "width": 64},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_flip_channel_order": True,
    "resample": 2,
}


def small_config(**changes: Any) -> Any:
    """Return a MobileViTV2Config; labels only where the changes name none."""
    named = {} if {"num_labels", "id2label"} & changes.keys() else {"id2label": dict(enumerate(LABELS))}
    return transformers.MobileViTV2Config(**{**CONFIG, **named, **changes}, attn_implementation="eager")


def small_model(head: str, image_size: tuple[int, int] = (64, 64), **changes: Any) -> Any:
    """Return Hugging Face's model for a head, with random weights made for an image size (height, width)."""
    config = small_config(**changes)
    model = getattr(transformers, FAMILY.heads[head].architecture)(config)
    randomize(model, preprocess_for(image_size, config.num_channels))
    return model.eval().requires_grad_(False)


def preprocess_for(image_size: tuple[int, int], channels: int = 3) -> Preprocess:
    """Return the preprocessing of `PROCESSOR` at another size."""
    return Preprocess.from_processor(PROCESSOR, channels).resized_to(image_size)


def save(model: Any, folder: Path, processor: dict[str, Any] = PROCESSOR) -> Path:
    """Write a checkpoint as save_pretrained does, with its processor config beside it."""
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return folder


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON object on disk; null removes one."""
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors of a checkpoint by name (with `__` for dots); None removes one."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = {**load_file(path), **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, {"format": "pt"})
