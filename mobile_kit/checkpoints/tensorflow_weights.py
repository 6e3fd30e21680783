"""A `tf_model.h5`, as TensorFlow classes of transformers 4 wrote it: its tensors under PyTorch's names and layouts.

Transformers 5 has no TensorFlow classes. What theirs and PyTorch's compute is the same, so one model serves both.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobile_kit.errors import CheckpointError, MissingToolError
from mobile_kit.models.family import Family

__all__ = ["TENSORFLOW", "read_tensorflow"]

TENSORFLOW = "tf_model.h5"
# Keras's names of what PyTorch calls otherwise.
LEAVES = {
    "beta": "bias",
    "gamma": "weight",
    "kernel": "weight",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Keras's kernels have the outputs last: (in, out), and (h, w, in / groups, out). PyTorch's have them first.
LAYOUTS = {2: (1, 0), 4: (3, 2, 0, 1)}


def read_tensorflow(source: str, path: Path, family: Family, architecture: Any, config: Any) -> dict[str, Tensor]:
    """Return the tensors of a file by PyTorch's names, in PyTorch's layouts, float32.

    source: what the checkpoint is called in messages. architecture: the transformers class that they are for.
    Raises: CheckpointError where the file is damaged or of another family; MissingToolError without h5py.
    """
    if family.tensorflow is None:
        raise CheckpointError(
            f"model {source!r}: has only {path.name}, and Hugging Face had no TensorFlow classes of {family.name}. "
            "Give a checkpoint saved with save_pretrained()."
        )
    variables = _variables(source, path)
    own = architecture.base_model_prefix
    prefixes = sorted({name.split(".")[0] for name in variables})
    if own not in prefixes:
        held = f"holds tensors of {', '.join(prefixes)}" if prefixes else "holds no tensors as save_pretrained() does"
        raise CheckpointError(
            f"model {source!r}: {path.name} {held}, and {family.name}'s are of {own}. "
            "Give the config that belongs to the weights."
        )
    return dict(_tensor(family.tensorflow(name, config), array) for name, array in variables.items())


def _variables(source: str, path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return all variables by their dotted names in the model: `cvt.encoder.stages.0.embedding...kernel`."""
    try:
        import h5py
    except ImportError as exc:
        raise MissingToolError(
            f"model {source!r}: has only {path.name}, and h5py, which reads it, isn't installed. "
            "Run: pip install 'mobile-kit[h5]'"
        ) from exc
    found: dict[str, np.ndarray[Any, Any]] = {}

    def visit(place: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.dtype.kind != "f" or item.shape is None:
                raise CheckpointError(
                    f"model {source!r}: {place} in {path.name} holds no floating-point numbers. "
                    "Give a file as save_pretrained() wrote it."
                )
            # <layer>/<model>/<name in the model>:0, or <layer>/<name>:0 for what was added outside of all layers.
            parts = place.split(":")[0].split("/")
            name = ".".join(parts[2:] or parts[1:])
            if name in found:
                raise CheckpointError(
                    f"model {source!r}: {path.name} holds {name} twice. Give a file as save_pretrained() wrote it."
                )
            found[name] = item[()]

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError) as exc:  # h5py's words for a damaged file
        raise CheckpointError(f"model {source!r}: {path.name} is truncated or damaged. Fetch it again.") from exc
    return found


def _tensor(name: str, array: np.ndarray[Any, Any]) -> tuple[str, Tensor]:
    stem, _, leaf = name.rpartition(".")
    values = array.transpose(LAYOUTS[array.ndim]) if leaf == "kernel" and array.ndim in LAYOUTS else array
    return f"{stem}.{LEAVES.get(leaf, leaf)}", torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
