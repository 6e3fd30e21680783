"""A PEFT adapter beside a checkpoint's weights: without it, the network is another one, the base model."""

from pathlib import Path
from typing import Any

from torch import nn

from mobile_kit.checkpoints.tensors import read_tensors
from mobile_kit.errors import CheckpointError, MissingToolError, one_line, shown
from mobile_kit.reading import ReadError, read_json_object

__all__ = ["ADAPTER_CONFIG", "ADAPTER_WEIGHTS", "alone", "check_mergeable", "merged"]

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Kinds whose config names neither other files nor other models, and which become weights.
KINDS = frozenset({"BOFT", "IA3", "LOHA", "LOKR", "LORA", "OFT"})
WAY = "Merge it (PeftModel.merge_and_unload()), and save the result with save_pretrained()."


def check_mergeable(source: str, folder: Path) -> None:
    """Raise CheckpointError or MissingToolError where a folder's adapter, if it has one, can't be merged.

    Its weights may still have to be fetched.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        return
    kind = _config(source, folder).get("peft_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"model {source!r}: its adapter is of the kind {shown(kind)}. {WAY}")
    try:
        import peft  # noqa: F401
    except ImportError as exc:
        raise MissingToolError(
            f"model {source!r}: has an adapter beside its weights, and peft, which merges it, isn't installed. "
            f"Run: pip install 'mobile-kit[peft]'. Or merge it yourself (PeftModel.merge_and_unload()), and save the "
            "result with save_pretrained()."
        ) from exc


def merged(source: str, model: nn.Module, folder: Path) -> nn.Module:
    """Return a model with a folder's adapter merged into its weights; itself where there is none.

    Raises: CheckpointError where the adapter isn't of that model, or isn't whole.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        return model
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise CheckpointError(
            f"model {source!r}: has an {ADAPTER_CONFIG}, and no {ADAPTER_WEIGHTS}. Save the adapter again, or take "
            "that file away for the base model."
        )
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    given = read_tensors(source, folder / ADAPTER_WEIGHTS).keys()
    # Of the base model, which is here, nothing is to be looked up.
    settings = {**_config(source, folder), "base_model_name_or_path": None, "inference_mode": True}
    try:
        config = PeftConfig.from_peft_type(**settings)
        tuned = PeftModel.from_pretrained(model, folder, config=config, local_files_only=True)
        # What the file lacks, peft would fill with random numbers.
        apart = sorted(get_peft_model_state_dict(tuned, save_embedding_layers=False).keys() ^ given)
        whole: nn.Module = tuned.merge_and_unload(safe_merge=True)
    except KeyError as exc:
        apart = [str(exc.args[0])]
    except Exception as exc:  # peft raises many kinds for a config or tensors that don't fit
        raise CheckpointError(f"model {source!r}: its adapter can't be merged ({one_line(exc)}). {WAY}") from exc
    if apart:
        which = "has a tensor that its config has no place for" if apart[0] in given else "lacks a tensor"
        raise CheckpointError(f"model {source!r}: its adapter {which} ({apart[0]}). Save the adapter again, whole.")
    return whole


def _config(source: str, folder: Path) -> dict[str, Any]:
    try:
        return read_json_object(folder / ADAPTER_CONFIG)
    except ReadError as exc:
        raise CheckpointError(f"model {source!r}: {ADAPTER_CONFIG} {exc}. Save the adapter again.") from exc


def alone(source: str) -> CheckpointError:
    """Return the error for an adapter without its base model."""
    return CheckpointError(f"model {source!r}: holds an adapter alone, without its base model. {WAY}")
