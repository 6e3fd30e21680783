"""Lower a common model to a .tflite: convert, cast weights, name, describe."""

from dataclasses import replace as with_changes
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.layers import Attend, MapNorm, TokenNorm, replace
from mobile_kit.quantization import QuantRecipe
from mobile_kit.spec import CommonModel, ModelSpec, TensorSpec
from mobile_kit.target import Lowered, ModelCard, Request, input_text
from targets.tflite.attention import SplitAttend
from targets.tflite.graph import read_graph
from targets.tflite.metadata import ModelNote, TensorNote, attach_metadata, set_tensor_names
from targets.tflite.quantize import to_float16_weights

__all__ = ["lower"]


class MeanNorm(nn.Module):
    """MapNorm or TokenNorm as means: litert-torch wraps each layer_norm in three reshapes."""

    def __init__(self, norm: MapNorm | TokenNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        self.axes = (1, 2) if isinstance(norm, MapNorm) else (2,)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        centred = x - x.mean(self.axes, keepdim=True)
        return centred * torch.rsqrt((centred * centred).mean(self.axes, keepdim=True) + self.eps)


def lower(model: CommonModel, request: Request, path: Path) -> Lowered:
    """Write the .tflite of a common model to `path`."""
    import litert_torch

    spec = model.spec
    replace(model, MapNorm, MeanNorm)
    replace(model, TokenNorm, MeanNorm)
    replace(model, Attend, SplitAttend)
    examples = tuple(torch.zeros(x.shape, dtype=getattr(torch, x.dtype)) for x in spec.inputs)
    litert_torch.convert(model.eval(), examples).export(str(path))
    recipe = request.recipe
    if recipe.name == "fp16":
        path.write_bytes(to_float16_weights(path))
        recipe = _float16_weights(recipe)
    named = set_tensor_names(path.read_bytes(), [x.name for x in spec.inputs], [y.name for y in spec.outputs])
    path.write_bytes(attach_metadata(named, _note(spec, request.card)))
    ops, partitions, fallback = read_graph(path)
    return Lowered(
        recipe=recipe,
        inputs=spec.inputs,
        outputs=spec.outputs,
        ops=ops,
        partitions=partitions,
        fallback_ops=fallback,
        tools={name: version(name) for name in ("ai-edge-litert", "ai-edge-quantizer", "litert-torch", "torch")},
    )


def _float16_weights(recipe: QuantRecipe) -> QuantRecipe:
    return with_changes(recipe, scheme="float16 weights, float32 arithmetic", activation_bits=32)


def _note(spec: ModelSpec, card: ModelCard) -> ModelNote:
    segmenter = any(out.name == "segmenter" for out in spec.outputs)
    return ModelNote(
        name=card.name,
        description=card.description,
        version=card.version,
        author=card.author,
        license=card.license,
        inputs=tuple(_input_note(x) for x in spec.inputs),
        outputs=tuple(_output_note(y, spec) for y in spec.outputs),
        activation="softmax" if segmenter else None,
    )


def _input_note(spec: TensorSpec) -> TensorNote:
    if spec.meaning != "image":
        return TensorNote(spec.name, input_text(spec))
    color: Any = "GRAY" if spec.color == "GRAY" else "RGB"
    return TensorNote(spec.name, input_text(spec), color=color)


def _output_note(out: TensorSpec, spec: ModelSpec) -> TensorNote:
    """MediaPipe reads the labels along the last axis, so the NCHW logits of a segmenter can't carry any."""
    labelled = out.meaning in {"logits", "probabilities"} and out.layout in {"NK", "NHWK"}
    return TensorNote(
        out.name, f"{out.meaning} {list(out.shape)}, {out.layout}", labels=spec.labels if labelled else None
    )
