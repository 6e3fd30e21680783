"""Where the time of a full-size classifier goes: by kernel in the .tflite, by part of the network in the .pte.

ExecuTorch's wheel has no tracer, so each part is lowered to a file of its own and timed beside the whole.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.models.layers import Mlp
from mobile_kit.models.outputs import select_outputs
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import ModelCard, Request
from mobile_kit.target_api.registry import find_target
from targets.tflite.on_device.tracer import trace
from tests.benchmarks.engines import LOADERS
from tests.benchmarks.process import Workshop
from tests.benchmarks.stock import saved
from tests.benchmarks.table import Section
from tests.benchmarks.turns import Plan, interleave

__all__ = ["measure"]

WHOLE = "all of the file"
CARD = ModelCard("benchmark", "", None, None, "", None)
# Kernels below this part of the whole are left out of the table.
SMALL = 0.01


def measure(model: str, shop: Workshop, rounds: int) -> Section:
    """Lower a known model and its parts in fp32, and time them."""
    slug = model.rpartition("/")[2]
    source = shop.scratch / f"kernels-{slug}"
    checkpoint = saved(model, source, "classification")
    rows = [*_tflite_rows(shop, source, rounds), *_pte_rows(shop, checkpoint, source, rounds)]
    notes = [
        f"fp32, pixel_values, {shop.threads} threads. Share: of the whole file's time. The .tflite's kernels by "
        "LiteRT's own profiler; the .pte's parts as files of their own, what stands between them by difference."
    ]
    return Section(f"kernels of {slug}", f"Where the time of {slug} goes", rows, notes)


def _tflite_rows(shop: Workshop, source: Path, rounds: int) -> list[dict[str, Any]]:
    arguments = ("--target", "tflite", "--input", "pixel_values", "--outputs", "logits")
    (folder,) = shop.export(source.name, source, *arguments)
    kernels: dict[str, tuple[float, int]] = {}
    for name, us in trace(str(folder / "model.tflite"), shop.threads, rounds)["kernels"]:
        ms, calls = kernels.get(name, (0.0, 0))
        kernels[name] = (ms + us / 1e3, calls + 1)
    whole = sum(ms for ms, _ in kernels.values())
    rows = [_row("LiteRT", WHOLE, sum(calls for _, calls in kernels.values()), whole, whole)]
    for name, (ms, calls) in sorted(kernels.items(), key=lambda item: -item[1][0]):
        if ms >= SMALL * whole:
            rows.append(_row("LiteRT", name, calls, ms, whole))
    return rows


def _pte_rows(shop: Workshop, checkpoint: Checkpoint, source: Path, rounds: int) -> list[dict[str, Any]]:
    built = checkpoint.family.build(checkpoint.model, checkpoint.head.name, checkpoint.image_size, ())
    model = select_outputs(built, checkpoint.head, ("logits",))
    parts = _parts(model, torch.zeros(model.spec.inputs[0].shape))
    files = {WHOLE: (model, 1)} | {name: (part, count) for name, (part, count) in parts.items()}
    runs = {}
    for number, (name, (part, _)) in enumerate(files.items()):
        path = shop.scratch / f"{source.name}-{number}.pte"
        find_target("executorch").lower(part, Request(recipe("fp32"), "xnnpack", None, CARD), path)
        runs[name] = LOADERS["ExecuTorch"](path, np.ones(part.spec.inputs[0].shape, np.float32), shop.threads)
    timing = interleave(runs, Plan(rounds=rounds, tries=5 * rounds))
    whole = timing.median_ms(WHOLE)
    counts = {name: count for name, (_, count) in files.items()}
    rows = [_row("ExecuTorch", name, count, timing.median_ms(name) * count, whole) for name, count in counts.items()]
    rows[1:] = sorted(rows[1:], key=lambda row: -row["ms"])
    between = whole - sum(row["ms"] for row in rows[1:])
    return [*rows, _row("ExecuTorch", "between the parts: residual additions, tokens' order", 1, between, whole)]


def _row(engine: str, part: str, calls: int, ms: float, whole_ms: float) -> dict[str, Any]:
    return {"engine": engine, "kernel or part": part, "calls": calls, "ms": ms, "share": ms / whole_ms}


class Part(CommonModel):
    """A module of a model, on one input of the shape that it has there."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        outputs = tuple(
            TensorSpec(f"output_{index}", tuple(tensor.shape))
            for index, tensor in enumerate(_tensors(module(torch.zeros(shape))))
        )
        inputs = (TensorSpec("input", shape),)
        super().__init__(ModelSpec("part", "base", (1, 1), 1, None, 0, inputs, outputs))
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The part's input to its outputs."""
        return _tensors(self.module(*inputs))


def _tensors(result: Any) -> tuple[Tensor, ...]:
    parts = result if isinstance(result, tuple) else (result,)
    return tuple(part for part in parts if part is not None)


def _parts(model: nn.Module, values: Tensor) -> dict[str, tuple[Part, int]]:
    """Return the parts of one input each, by class and shape, with how often they occur.

    A part is a module that holds no feed-forward network, inside of one that does: an attention, a feed-forward
    network, a stem, a head.
    """
    modules: dict[str, nn.Module] = {}
    counts: Counter[str] = Counter()
    shapes: dict[str, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            given, made = (_text(tensor) for tensor in (inputs[0], _tensors(result)[0]))
            name = f"{type(module).__name__} {given} to {made}"
            counts[name] += 1
            modules.setdefault(name, module)
            shapes[name] = tuple(inputs[0].shape)

    networks = [module for module in model.modules() if isinstance(module, Mlp)]
    holders = [m for m in model.modules() if not isinstance(m, Mlp) and any(n in networks for n in m.modules())]
    children = [child for holder in holders for child in holder.children() if child not in holders]
    handles = [child.register_forward_hook(note) for child in children]
    with torch.no_grad():
        model(values)
    for handle in handles:
        handle.remove()
    return {name: (Part(modules[name], shapes[name]), count) for name, count in counts.items()}


def _text(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape[1:])
