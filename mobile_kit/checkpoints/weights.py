"""A checkpoint's tensors into Hugging Face's module. What doesn't fit is refused: gaps would get random numbers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.checkpoints.tensorflow_weights import TENSORFLOW, read_tensorflow
from mobile_kit.checkpoints.tensors import PICKLES, SAFETENSORS, read_tensors
from mobile_kit.errors import CheckpointError, one_line
from mobile_kit.models.family import Family, Head

__all__ = ["load_weights", "weights_in"]


def weights_in(folder: Path, allow_pickle: bool) -> Path | None:
    """Return the file to read: safetensors or their index, else a pickle where it may be read, else TensorFlow's."""
    names = (*SAFETENSORS, *(PICKLES if allow_pickle else ()), TENSORFLOW)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def load_weights(
    source: str, path: Path, family: Family, head: Head, architecture: Any, config: Any, prefix: str = ""
) -> nn.Module:
    """Return an architecture (a transformers class) with the tensors of a file or of those of an index, float32.

    source: what the checkpoint is called in messages. prefix: what the tensors' names begin with, as those of a
    wrapped model do. Raises: CheckpointError.
    """
    if path.name == TENSORFLOW:
        tensors = read_tensorflow(source, path, family, architecture, config)
    else:
        tensors = _without(prefix, source, read_tensors(source, path))
    try:
        # By tensors and not by folder: there, transformers would look for adapters and other files by itself.
        model, info = architecture.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **family.options(head.name, tensors.keys()),
        )
    except Exception as exc:  # loading raises many kinds
        raise CheckpointError(f"model {source!r}: its weights can't be read ({one_line(exc)}). Save it again.") from exc
    _check_fit(source, family, head, model, info, tensors)
    return model


def _without(prefix: str, source: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not all(name.startswith(prefix) for name in tensors):
        other = next(name for name in tensors if not name.startswith(prefix))
        raise CheckpointError(
            f"model {source!r}: its tensor {other} doesn't begin with --weights-prefix {prefix}. Leave that out."
        )
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _check_fit(source: str, family: Family, head: Head, model: nn.Module, info: Any, names: Iterable[str]) -> None:
    """Refuse weights that the config doesn't describe: Hugging Face would fill the gaps with random numbers."""
    for key, found, wanted in info["mismatched_keys"]:
        raise CheckpointError(
            f"model {source!r}: tensor {key} is {_shape(found)}, but its config asks for {_shape(wanted)}. "
            "Give the config that belongs to the weights."
        )
    missing = sorted(key for key in info["missing_keys"] if not key.endswith("num_batches_tracked"))
    if missing and (wrapped := _wrapped_in(names, model)):
        raise CheckpointError(
            f"model {source!r}: its tensors' names begin with {wrapped!r}, as those of a wrapped model do. "
            f"Add --weights-prefix {wrapped}"
        )
    if missing:
        raise CheckpointError(
            f"model {source!r}: its weights lack {missing[0]}{_more(missing)}, which the {head.name} head needs. "
            "Choose another --head, give the config that belongs to the weights, or --random-weights for latency alone."
        )
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    inside = head.architecture.endswith(("Model", "Backbone"))
    unused = sorted(key for key in info["unexpected_keys"] if inside or key.startswith(prefix))
    unused = [key for key in unused if not (key.endswith(family.surplus) or _of_other_head(key, model, prefix))]
    if unused:
        raise CheckpointError(
            f"model {source!r}: its weights hold {unused[0]}{_more(unused)}, for which its config has no place. "
            "Give the config that belongs to the weights."
        )
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"model {source!r}: tensor {name} holds values that aren't finite. Fetch it again.")


def _wrapped_in(names: Iterable[str], model: nn.Module) -> str:
    """Return what all names begin with before those of the model, empty where that is nothing."""
    known = {name.partition(".")[0] for name in model.state_dict()} | {getattr(model, "base_model_prefix", "")}
    found = ""
    for parts in zip(*(name.split(".") for name in names), strict=False):
        if len(set(parts)) > 1 or parts[0] in known:
            break
        found += f"{parts[0]}."
    return found


def _of_other_head(key: str, model: nn.Module, prefix: str) -> bool:
    """Tell whether a left-over tensor belongs to a head that wasn't asked for, not to the backbone."""
    top = key.removeprefix(prefix).split(".")[0]
    backbone = getattr(model, prefix.rstrip("."), model)
    return top not in {name for name, _ in backbone.named_children()}


def _shape(shape: Any) -> str:
    return "x".join(str(n) for n in tuple(shape))


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
