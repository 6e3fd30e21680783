"""A checkpoint from the Hub, a folder or a known name: the Hugging Face model and processor that are the oracle."""

import json
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobile_kit.checkpoints.files import PROCESSOR, CheckpointFiles, find_files, find_weights
from mobile_kit.checkpoints.random_weights import randomize
from mobile_kit.checkpoints.weights import load_weights
from mobile_kit.errors import CheckpointError, UnsupportedError, one_line
from mobile_kit.models.family import Family, Head, broken_families, families, find_family
from mobile_kit.preprocessing.preprocess import Preprocess

__all__ = ["CANT_COMPUTE", "IGNORED", "Checkpoint", "LabelMaps", "load"]

# Importing transformers imports torchao, which warns of its own compiled parts, and makes torch warn of it.
CHATTY = ("torchao", "torch.utils._pytree")
# What label maps have where a pixel is of no class, as `do_reduce_labels` leaves it.
IGNORED = 255
CANT_COMPUTE = "model {source!r}: Hugging Face can't compute with its config ({reason}). Mend config.json."


@dataclass(frozen=True)
class LabelMaps:
    """What the numbers in label maps are. first: the first class. ignored: those that are no class."""

    first: int
    ignored: frozenset[int]


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    source: a Hub id, a known name, or the name of a local folder, whose path is nobody else's business.
    model: the Hugging Face module, float32, eager, in evaluation mode. processor: its Pillow image processor.
    image_size: (height, width) in pixels that the export is for.
    """

    source: str
    revision: str | None
    license: str | None
    family: Family
    head: Head
    model: Any = field(repr=False)
    processor: Any = field(repr=False)
    preprocess: Preprocess
    random_weights: bool

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels that the network takes."""
        return self.preprocess.image_size

    @property
    def label_maps(self) -> "LabelMaps":
        """How a segmentation's label maps are read, as its training read them."""
        first = int(bool(getattr(self.processor, "do_reduce_labels", False)))
        untrained = getattr(self.model.config, "semantic_loss_ignore_index", IGNORED)
        ignored = {IGNORED, *range(first), *([] if untrained == IGNORED else [untrained + first])}
        return LabelMaps(first, frozenset(ignored))


def load(
    source: str,
    *,
    head: str | None = None,
    revision: str | None = None,
    image_size: tuple[int, int] | None = None,
    random_weights: bool = False,
    allow_pickle: bool = False,
    check: Callable[[Head, int], None] | None = None,
) -> Checkpoint:
    """Load a checkpoint as the oracle.

    source: a Hub id, a folder as `save_pretrained` writes it, or, with random weights, a known name.
    head: overrides the one of the config's `architectures`. image_size: (height, width), None for the processor's own.
    check: called with the head and the number of parameters before weights are fetched, read or drawn.
    Raises: CheckpointError, UnsupportedError; what check does.
    """
    _quieten()
    files = find_files(source, revision, random_weights)
    family, chosen, config, processor, preprocess = _described(source, files, head, image_size)
    parameters = _count_parameters(source, chosen, config)
    if check is not None:
        check(chosen, parameters)
    if random_weights:
        model = _with_random_weights(source, family, chosen, config, preprocess)
    else:
        weights = find_weights(source, files, allow_pickle)
        loaded = load_weights(source, weights, family, chosen, _architecture(chosen), config)
        model = family.at_size(loaded.float(), chosen.name, preprocess.image_size)
    name = Path(source).resolve().name if os.path.isdir(source) else source
    frozen = model.eval().requires_grad_(False)
    return Checkpoint(
        name, files.revision, files.license, family, chosen, frozen, processor, preprocess, random_weights
    )


def _described(
    source: str, files: CheckpointFiles, head: str | None, image_size: tuple[int, int] | None
) -> tuple[Family, Head, Any, Any, Preprocess]:
    """Return what the configs alone say: family, head, Hugging Face's config and processor, and the preprocessing."""
    family = _family(source, files.config)
    chosen = _head(source, family, files.config, head)
    config = _hf_config(source, family, files.config)
    family.check(config, chosen.name)
    processor = _hf_processor(source, files.processor, image_size)
    preprocess = _preprocess(source, processor, config.num_channels, image_size)
    if family.fixed_size and image_size is None:
        _check_size(source, config, preprocess.image_size)
    return family, chosen, config, processor, preprocess


def _quieten() -> None:
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    # By its own function: on its first use it sets its level anew.
    set_verbosity_error()
    disable_progress_bar()


def _family(source: str, config: dict[str, Any]) -> Family:
    model_type = config.get("model_type")
    found = find_family(str(model_type))
    if found is not None:
        return found
    unusable = "".join(f" Not to be used: {broken.reason}" for broken in broken_families())
    raise CheckpointError(
        f"model {source!r}: its config is of model type {model_type!r}, which is no family of the kit. "
        f"Known: {', '.join(families())}.{unusable}"
    )


def _head(source: str, family: Family, config: dict[str, Any], asked: str | None) -> Head:
    if asked is not None:
        if asked not in family.heads:
            raise UnsupportedError(f"head {asked!r}: {family.name} has none. Known: {', '.join(family.heads)}.")
        return family.heads[asked]
    listed = config.get("architectures") or []
    named = [str(name) for name in listed] if isinstance(listed, list) else [str(listed)]
    for head in family.heads.values():
        # Apple's own configs write MobileViTv2ForImageClassification.
        if head.architecture.lower() in (name.lower() for name in named):
            return head
    raise CheckpointError(
        f"model {source!r}: its config names the architectures {named}, none of the kit's. "
        f"Add --head {'|'.join(family.heads)}."
    )


def _hf_config(source: str, family: Family, config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    settings = {key: value for key, value in config.items() if key not in {"model_type", "auto_map"}}
    # Dtype belongs to the checkpoint's storage, and the oracle is float32 whatever it was; the form of the outputs
    # belongs to a call.
    for key in ("dtype", "torch_dtype", "transformers_version", "return_dict", "output_hidden_states"):
        settings.pop(key, None)
    try:
        return AutoConfig.for_model(family.model_type, **settings, attn_implementation="eager")
    except Exception as exc:  # each config class raises its own kinds
        raise CheckpointError(f"model {source!r}: {one_line(exc)}. Mend config.json.") from exc


def _hf_processor(source: str, config: dict[str, Any], image_size: tuple[int, int] | None) -> Any:
    # Custom code is never run, and transformers would ask on the terminal whether it may.
    processor = _made_processor(source, {key: value for key, value in config.items() if key != "auto_map"})
    if image_size is None or image_size[0] == image_size[1] or getattr(processor, "crop_pct", None) is None:
        return processor
    # ConvNext's processor makes squares only. ViT's resizes to any size, as ConvNext's does from 384 px on.
    settings = {key: value for key, value in processor.to_dict().items() if key not in {"crop_pct", "size"}}
    return _made_processor(source, {**settings, "image_processor_type": "ViTImageProcessor"})


def _made_processor(source: str, settings: dict[str, Any]) -> Any:
    from transformers import AutoImageProcessor

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PROCESSOR).write_text(json.dumps(settings), encoding="utf-8")
        try:
            return AutoImageProcessor.from_pretrained(folder, backend="pil")
        except Exception as exc:  # each processor class raises its own kinds
            raise CheckpointError(f"model {source!r}: {one_line(exc)}. Mend {PROCESSOR}.") from exc


def _preprocess(source: str, processor: Any, channels: int, image_size: tuple[int, int] | None) -> Preprocess:
    if channels not in {1, 3}:
        raise UnsupportedError(
            f"model {source!r}: takes images of {channels} channels, and a photo has 3, or 1 in gray. "
            "Give a checkpoint with num_channels 3 or 1."
        )
    if channels == 1:
        processor.do_convert_rgb = False  # of a gray image Bit's would make three channels
    if image_size is not None and not processor.do_center_crop:  # then the size is the resize's
        processor.do_resize = True
        height, width = image_size
        square = getattr(processor, "crop_pct", None) is not None and height == width
        size = {"shortest_edge": height} if square else {"height": height, "width": width}
        processor.size = type(processor.size)(**size)
    own = Preprocess.from_processor(processor.to_dict(), channels)
    if image_size is None or own.image_size == image_size:
        return own
    preprocess = own.resized_to(image_size)
    height, width = image_size
    if preprocess.crop is not None:
        processor.crop_size = type(processor.crop_size)(height=height, width=width)
    if preprocess.resize is not None:
        processor.size = type(processor.size)(**preprocess.resize)
    return preprocess


def _check_size(source: str, config: Any, given: tuple[int, int]) -> None:
    """Raise CheckpointError where the processor's images aren't of the network's size, as Hugging Face does."""
    size = config.image_size
    wanted = (size, size) if isinstance(size, int) else tuple(size)
    if wanted != given:
        own, other = (f"{height}x{width}" for height, width in (wanted, given))
        raise CheckpointError(
            f"model {source!r}: its processor makes images of {other}, and its network takes {own}. Add --image-size "
            f"{own}, or {other} to resample the network's positions."
        )


def _architecture(head: Head) -> Any:
    import transformers

    return getattr(transformers, head.architecture)


def _count_parameters(source: str, head: Head, config: Any) -> int:
    """Build the model without memory, so that no one blames the weights for a config."""
    try:
        with torch.device("meta"):
            outline: nn.Module = _architecture(head)(config)
    except Exception as exc:  # constructors raise many kinds
        raise CheckpointError(f"model {source!r}: its config builds no model ({one_line(exc)}). Mend it.") from exc
    return sum(parameter.numel() for parameter in outline.parameters())


def _with_random_weights(source: str, family: Family, head: Head, config: Any, preprocess: Preprocess) -> nn.Module:
    # In float32, whatever dtype the config was saved in.
    made: nn.Module = _architecture(head)(config).float()
    model = family.at_size(made, head.name, preprocess.image_size)
    # Refuses an image size that the pass over images, which sets the batch norms, would fail at.
    family.build(model, head.name, preprocess.image_size, ())
    try:
        randomize(model, preprocess)
    except Exception as exc:  # a batch norm needs a pass, which a config may not allow
        raise CheckpointError(CANT_COMPUTE.format(source=source, reason=one_line(exc))) from exc
    return model
