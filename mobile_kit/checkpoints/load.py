"""A checkpoint from the Hub, a folder or a known name: the Hugging Face model and processor that are the oracle."""

import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobile_kit.checkpoints.adapters import check_mergeable, merged
from mobile_kit.checkpoints.files import PROCESSOR, CheckpointFiles, find_files, find_weights
from mobile_kit.checkpoints.random_weights import randomize
from mobile_kit.checkpoints.weights import load_weights
from mobile_kit.errors import CheckpointError, UnsupportedError, one_line, shown
from mobile_kit.models.family import Family, Head, broken_families, families, find_family
from mobile_kit.preprocessing.preprocess import Preprocess

__all__ = ["CANT_COMPUTE", "IGNORED", "Checkpoint", "LabelMaps", "load"]

# Importing transformers imports torchao, which warns of its own compiled parts, and makes torch warn of it.
CHATTY = ("torchao", "torch.utils._pytree")
# The deepest of the known checkpoints has 48.
MOST_LAYERS = 1000
# What label maps have where a pixel is of no class, as `do_reduce_labels` leaves it.
IGNORED = 255
CANT_COMPUTE = "model {source!r}: Hugging Face can't compute with its config ({reason}). Mend config.json."


# Dtype belongs to the checkpoint's storage, and the oracle is float32 whatever it was; the form of the outputs, and the
# kernels of attention, to a call. Custom code is never run.
NOT_OURS = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_internal",
        "attn_implementation",
        "auto_map",
        "dtype",
        "model_type",
        "output_hidden_states",
        "return_dict",
        "torch_dtype",
        "transformers_version",
    }
)


@dataclass(frozen=True)
class LabelMaps:
    """What the numbers in label maps are. first: the first class. ignored: those that are no class."""

    first: int
    ignored: frozenset[int]


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    source: a Hub id, a known name, or the name of a local folder, whose path is nobody else's business. notes: what
    its user should know. model: the Hugging Face module, float32, eager, in evaluation mode. processor: its Pillow
    image processor. image_size: (height, width) in pixels that the export is for. resized: whether that isn't the
    processor's own.
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
    resized: bool = False
    notes: tuple[str, ...] = ()

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
    weights_prefix: str = "",
    any_channels: bool = False,
    check: Callable[[Head, int], None] | None = None,
) -> Checkpoint:
    """Load a checkpoint as the oracle.

    source: a Hub id, a folder as `save_pretrained` writes it, or, with random weights, a known name.
    head: overrides the one of the config's `architectures`. image_size: (height, width), None for the processor's own.
    weights_prefix: what the names of its tensors begin with, as those of a wrapped model. any_channels: take networks
    whose input no photo has, such as of 4 channels.
    check: called with the head and the number of parameters before weights are fetched, read or drawn.
    Raises: CheckpointError, UnsupportedError; what check does.
    """
    _quieten()
    files = find_files(source, revision, random_weights)
    family, chosen, config, processor, preprocess = _described(source, files, head, image_size, any_channels)
    parameters = _count_parameters(source, chosen, config)
    if check is not None:
        check(chosen, parameters)
    if random_weights:
        model = _with_random_weights(source, family, chosen, config, preprocess)
    else:
        loaded = _with_weights(source, files, family, chosen, config, allow_pickle, weights_prefix)
        model = family.at_size(loaded, chosen.name, preprocess.image_size)
    told = (files.name, files.revision, files.license)
    frozen = model.eval().requires_grad_(False)
    resized = image_size is not None and image_size != _own_size(source, family, files, preprocess.channels)
    return Checkpoint(*told, family, chosen, frozen, processor, preprocess, random_weights, resized, files.notes)


def _own_size(source: str, family: Family, files: CheckpointFiles, channels: int) -> tuple[int, int] | None:
    """Return (height, width) of the images that a checkpoint's own processor makes; None where it leaves that open."""
    processor = _hf_processor(source, family.model_type, files.processor, None)
    try:
        return Preprocess.from_processor(processor.to_dict(), channels).image_size
    except CheckpointError:
        return None


def _with_weights(
    source: str,
    files: CheckpointFiles,
    family: Family,
    head: Head,
    config: Any,
    allow_pickle: bool,
    prefix: str,
) -> nn.Module:
    """Return Hugging Face's model with a checkpoint's weights, and its adapter's where it has one, float32."""
    assert files.folder is not None
    check_mergeable(source, files.folder)
    path = find_weights(source, files, allow_pickle)
    loaded = load_weights(source, path, family, head, _architecture(head), config, prefix)
    return merged(source, loaded.float(), files.folder).float()


def _described(
    source: str,
    files: CheckpointFiles,
    head: str | None,
    image_size: tuple[int, int] | None,
    any_channels: bool,
) -> tuple[Family, Head, Any, Any, Preprocess]:
    """Return what the configs alone say: family, head, Hugging Face's config and processor, and the preprocessing."""
    family = _family(source, files.config)
    chosen = _head(source, family, files.config, head)
    config = _hf_config(source, family, files.config)
    _check_depth(source, files.config)
    family.check(config, chosen.name)
    processor = _hf_processor(source, family.model_type, files.processor, image_size)
    preprocess = _preprocess(source, processor, config.num_channels, image_size, any_channels)
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
        f"model {source!r}: its config is of model type {shown(model_type)}, which is no family of the kit. "
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
        f"model {source!r}: its config names the architectures {shown(named)}, none of the kit's. "
        f"Add --head {'|'.join(family.heads)}."
    )


def _hf_config(source: str, family: Family, config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    if config.get("quantization_config"):
        raise UnsupportedError(
            f"model {source!r}: its weights are quantized (quantization_config). Give it in float: "
            "model.dequantize().save_pretrained()."
        )
    settings = {key: value for key, value in config.items() if key not in NOT_OURS}
    settings |= {key: _named_labels(settings[key]) for key in ("id2label",) if isinstance(settings.get(key), dict)}
    try:
        return AutoConfig.for_model(family.model_type, **settings, attn_implementation="eager")
    except Exception as exc:  # each config class raises its own kinds
        raise CheckpointError(f"model {source!r}: {one_line(exc)}. Mend config.json.") from exc


def _named_labels(labels: dict[str, Any]) -> dict[str, Any]:
    """Return labels as text: numbers, as data sets have them, are names too."""
    return {key: str(name) if type(name) is int else name for key, name in labels.items()}


def _hf_processor(source: str, model_type: str, config: dict[str, Any], image_size: tuple[int, int] | None) -> Any:
    # Custom code is never run, and transformers would ask on the terminal whether it may.
    settings = {key: value for key, value in config.items() if key != "auto_map"}
    processor = _made_processor(source, model_type, settings)
    if image_size is None or image_size[0] == image_size[1] or getattr(processor, "crop_pct", None) is None:
        return processor
    # ConvNext's processor makes squares only. ViT's resizes to any size, as ConvNext's does from 384 px on.
    settings = {key: value for key, value in processor.to_dict().items() if key not in {"crop_pct", "size"}}
    return _made_processor(source, model_type, {**settings, "image_processor_type": "ViTImageProcessor"})


def _made_processor(source: str, model_type: str, settings: dict[str, Any]) -> Any:
    from transformers import AutoImageProcessor

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PROCESSOR).write_text(json.dumps(settings), encoding="utf-8")
        # By which transformers finds the class where the processor doesn't name its own.
        Path(folder, "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
        try:
            return AutoImageProcessor.from_pretrained(folder, backend="pil")
        except Exception as exc:  # each processor class raises its own kinds
            raise CheckpointError(f"model {source!r}: {one_line(exc)}. Mend {PROCESSOR}.") from exc


def _preprocess(
    source: str, processor: Any, channels: int, image_size: tuple[int, int] | None, any_channels: bool
) -> Preprocess:
    if channels not in ({1, 3, 4} if any_channels else {1, 3}):
        way = " Add --input pixel_values." if channels == 4 else " Give a checkpoint with num_channels 3 or 1."
        raise UnsupportedError(
            f"model {source!r}: takes images of {channels} channels, and a photo has 3, or 1 in gray.{way}"
        )
    if channels != 3:
        processor.do_convert_rgb = False  # Bit's would make three channels of them
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


def _check_depth(source: str, config: dict[str, Any]) -> None:
    """Raise UnsupportedError for more layers than any network has, which would be built one by one.

    Whatever a family calls them: depth, depths, num_hidden_layers, n_attn_blocks.
    """
    for key, value in config.items():
        if not any(word in key for word in ("depth", "layers", "blocks")):
            continue
        counts = value if isinstance(value, list) else [value]
        if any(isinstance(count, int | float) and count > MOST_LAYERS for count in counts):
            raise UnsupportedError(
                f"model {source!r}: its config says {key} {shown(value)}, and at most {MOST_LAYERS} layers are built. "
                "Mend config.json."
            )


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
