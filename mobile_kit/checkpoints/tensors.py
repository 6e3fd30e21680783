"""The tensors of a checkpoint by name: of one file or several, safetensors, or pickles where those may be read."""

import stat
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from mobile_kit.errors import CheckpointError, one_line, shown
from mobile_kit.reading import ReadError, read_json_object

__all__ = ["PICKLES", "SAFETENSORS", "read_tensors", "shards"]

# One file, or the index of several.
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def read_tensors(source: str, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, or of those that an index names. source: what the checkpoint is called in messages.

    Raises: CheckpointError where a file is damaged, holds anything but tensors, or lies elsewhere.
    """
    tensors: dict[str, Tensor] = {}
    for file in shards(source, path):
        found = _read_safetensors(source, file) if file.suffix == ".safetensors" else _read_pickle(source, file)
        if twice := found.keys() & tensors.keys():
            raise CheckpointError(f"model {source!r}: tensor {min(twice)} is in two files. Save the checkpoint again.")
        tensors |= found
    return tensors


def shards(source: str, path: Path, there: bool = True) -> list[Path]:
    """Return the files of the weights: a file itself, or those that an index names, beside it.

    there: whether they have to be. Raises: CheckpointError.
    """
    if path.suffix != ".json":
        return [_regular(source, path)]
    try:
        listed = read_json_object(path).get("weight_map")
    except ReadError as exc:
        raise CheckpointError(f"model {source!r}: {path.name} {exc}. Save the checkpoint again.") from exc
    names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    suffix = ".safetensors" if path.name in SAFETENSORS else ".bin"
    for name in names:
        # A name with a folder in it would read files of anybody's.
        if Path(name).name != name or Path(name).suffix != suffix:
            raise CheckpointError(
                f"model {source!r}: {path.name} names {shown(name)}, which is no {suffix} file beside it. "
                "Save the checkpoint again."
            )
    if not names:
        raise CheckpointError(f"model {source!r}: {path.name} names no files. Save the checkpoint again.")
    files = [path.with_name(name) for name in names]
    return [_regular(source, file) for file in files] if there else files


def _regular(source: str, path: Path) -> Path:
    """Return a path that is a file's: a pipe would never end, nor would a device's zeros."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as exc:  # the latter of a zero byte in a name
        raise CheckpointError(f"model {source!r}: {shown(path.name)} is missing. Fetch it again.") from exc
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"model {source!r}: {path.name} is no file. Save the checkpoint again.")
    return path


def _read_safetensors(source: str, path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as exc:
        raise CheckpointError(
            f"model {source!r}: {path.name} is truncated or damaged ({one_line(exc)}). Fetch it again."
        ) from exc


def _read_pickle(source: str, path: Path) -> dict[str, Tensor]:
    try:
        _check_stored(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of the pickle's format
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # readers of pickles raise many kinds
        reason = "holds more than tensors" if isinstance(exc, UnpicklingError) else one_line(exc)
        raise CheckpointError(f"model {source!r}: {path.name} can't be read ({reason}). Save it again.") from exc
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise CheckpointError(
            f"model {source!r}: {path.name} holds more than a model's tensors. Save the model with save_pretrained()."
        )
    return {str(name): tensor for name, tensor in found.items()}


def _check_stored(path: Path) -> None:
    """Refuse what isn't as long as its file: torch writes tensors as they are."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
                raise ValueError("it is compressed, and torch.save compresses nothing")
