"""Our graphs as the converters get them: `python -m tests.benchmarks.handed TARGET CHECKPOINT MODULE.pt`.

Runs a target's own lowering up to the point where it hands a module to the toolchain, and saves what it hands over. So
the converters alone are timed on the very graphs that an export gives them.
"""

import sys
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from mobile_kit.checkpoints.load import load
from mobile_kit.models.outputs import select_outputs
from mobile_kit.preprocessing.in_graph import attach
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import ModelCard, Request
from mobile_kit.target_api.registry import find_target

__all__ = ["handed"]


class _Handed(BaseException):
    """Stops a lowering where the toolchain would begin."""

    def __init__(self, module: nn.Module, examples: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.module = module
        self.examples = examples


def _stop(module: nn.Module, examples: tuple[Tensor, ...], *_: Any, **__: Any) -> NoReturn:
    raise _Handed(module, examples)


def handed(target_name: str, folder: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the module and example inputs that a target hands over for a checkpoint in float32."""
    target, checkpoint = find_target(target_name), load(folder)
    built = checkpoint.family.build(checkpoint.model, checkpoint.head.name, checkpoint.image_size, ())
    model = attach(select_outputs(built, checkpoint.head, ()), checkpoint.preprocess, target.entry)
    card = ModelCard("benchmark", "", "", None, "", "0")
    request = Request(recipe("fp32"), target.backends[0] if target.backends else None, None, card)
    torch.export.export = _stop
    if target_name == "tflite":
        import litert_torch

        litert_torch.convert = _stop
    try:
        target.lower(model, request, Path("never-written"))
    except _Handed as found:
        return found.module, found.examples
    raise RuntimeError(f"target {target_name!r}: its lowering began no conversion that is known here.")


if __name__ == "__main__":
    torch.save(handed(sys.argv[1], sys.argv[2]), sys.argv[3])
