"""A checkpoint's tensors into Hugging Face's module. What doesn't fit is refused: gaps would get random numbers."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from mobile_kit.checkpoints.tensorflow_weights import TENSORFLOW, read_tensorflow
from mobile_kit.errors import CheckpointError, one_line
from mobile_kit.models.family import Family, Head

__all__ = ["PICKLE", "WEIGHTS", "load_weights", "weights_in"]

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLE = "pytorch_model.bin"


def weights_in(folder: Path, allow_pickle: bool) -> Path | None:
    """Return the file to read: safetensors or their index, else a pickle where it may be read, else TensorFlow's."""
    names = (*WEIGHTS, *([PICKLE] if allow_pickle else []), TENSORFLOW)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def load_weights(source: str, path: Path, family: Family, head: Head, architecture: Any, config: Any) -> nn.Module:
    """Return an architecture (a transformers class) with the tensors of a file or of those of an index, float32.

    source: what the checkpoint is called in messages. Raises: CheckpointError.
    """
    read: dict[str, Any] = {"pretrained_model_name_or_path": path.parent}
    if path.name in WEIGHTS:
        names = _check_safetensors(source, path.parent)
    elif path.name == PICKLE:
        names = _names_in_pickle(source, path)
    else:
        tensors = read_tensorflow(source, path, family, architecture, config)
        read, names = {"pretrained_model_name_or_path": None, "state_dict": tensors}, set(tensors)
    options = family.options(head.name, names)
    try:
        with _quiet():
            model, info = architecture.from_pretrained(
                **read,
                config=config,
                dtype=torch.float32,
                use_safetensors=path.name in WEIGHTS,
                weights_only=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
    except Exception as exc:  # readers of weights raise many kinds
        raise _unreadable(source, exc) from exc
    _check_fit(source, family, head, model, info)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of the pickle's format
        yield


def _unreadable(source: str, exc: Exception) -> CheckpointError:
    reason = "holds more than tensors" if isinstance(exc, UnpicklingError) else one_line(exc)
    return CheckpointError(f"model {source!r}: its weights can't be read ({reason}). Save it again.")


def _names_in_pickle(source: str, path: Path) -> set[str]:
    """Return the names of all tensors, without their values. Raises: CheckpointError."""
    try:
        with _quiet():
            return set(torch.load(path, map_location="meta", weights_only=True))
    except Exception as exc:  # so do readers of pickles
        raise _unreadable(source, exc) from exc


def _check_safetensors(source: str, folder: Path) -> set[str]:
    """Return the names of all tensors. Raises: CheckpointError where a file is damaged."""
    from safetensors import SafetensorError, safe_open

    names: set[str] = set()
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="pt") as tensors:
                names.update(tensors.keys())
        except (SafetensorError, OSError) as exc:
            raise CheckpointError(
                f"model {source!r}: {path.name} is truncated or damaged ({one_line(exc)}). Fetch it again."
            ) from exc
    return names


def _check_fit(source: str, family: Family, head: Head, model: nn.Module, info: Any) -> None:
    """Refuse weights that the config doesn't describe: Hugging Face would fill the gaps with random numbers."""
    for key, found, wanted in info["mismatched_keys"]:
        raise CheckpointError(
            f"model {source!r}: tensor {key} is {_shape(found)}, but its config asks for {_shape(wanted)}. "
            "Give the config that belongs to the weights."
        )
    missing = sorted(key for key in info["missing_keys"] if not key.endswith("num_batches_tracked"))
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


def _of_other_head(key: str, model: nn.Module, prefix: str) -> bool:
    """Tell whether a left-over tensor belongs to a head that wasn't asked for, not to the backbone."""
    top = key.removeprefix(prefix).split(".")[0]
    backbone = getattr(model, prefix.rstrip("."), model)
    return top not in {name for name, _ in backbone.named_children()}


def _shape(shape: Any) -> str:
    return "x".join(str(n) for n in tuple(shape))


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
