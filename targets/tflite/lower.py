"""Lower a common model to a .tflite: convert, cast weights, name, describe."""

from collections.abc import Sequence
from dataclasses import replace as with_changes
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobile_kit.models.layers import Attend, MapNorm, TokenNorm, replace
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec
from mobile_kit.quantization.parts import FloatPart
from mobile_kit.target_api.interface import Lowered, ModelCard, Request, input_text
from targets.tflite.attention import SplitAttend
from targets.tflite.delegate_graph import read_graph
from targets.tflite.linear import PointwiseLinear
from targets.tflite.metadata import ModelNote, TensorNote, attach_metadata, set_tensor_names
from targets.tflite.norms import MeanNorm, factors_of
from targets.tflite.quantize import to_dynamic, to_float16_weights, to_int8_weights
from targets.tflite.reshapes import without_idle_reshapes

__all__ = ["convert", "describe", "lower"]

ONE_STEP = {
    "dynamic_wi8_afp32": to_dynamic,
    "fp16": to_float16_weights,
    "weight_only_wi8_afp32": to_int8_weights,
}
# What a recipe is carried out as.
CHANGES: dict[str, dict[str, Any]] = {
    "dynamic_wi8_afp32": {"scheme": "int8 weights; linear layers and convolutions scale their inputs at each run"},
    "fp16": {"scheme": "float16 weights, float32 arithmetic", "activation_bits": 32},
    "static_wi8_ai8": {"scheme": "int8 weights a channel, int8 activations a tensor, affine, min-max"},
    "static_wi8_ai8_mixed": {"scheme": "int8 weights a channel, int8 activations a tensor, affine, min-max"},
    "weight_only_wi8_afp32": {"scheme": "int8 weights a channel, symmetric; float32 arithmetic"},
}


def lower(model: CommonModel, request: Request, path: Path) -> Lowered:
    """Write the .tflite of a common model to `path`."""
    convert(model, [x.dtype for x in model.spec.inputs], path)
    change = ONE_STEP.get(request.recipe.name)
    return describe(path.read_bytes() if change is None else change(path), model.spec, request, (), path)


def convert(model: CommonModel, dtypes: Sequence[str], path: Path) -> None:
    """Write the float file of a common model, whose inputs are of some dtypes."""
    import litert_torch

    factors = factors_of(model)
    replace(model, MapNorm, lambda norm: MeanNorm(norm, factors[norm]))
    replace(model, TokenNorm, lambda norm: MeanNorm(norm, factors[norm]))
    replace(model, Attend, SplitAttend)
    replace(model, nn.Linear, PointwiseLinear)
    shapes = [x.shape for x in model.spec.inputs]
    examples = tuple(torch.zeros(shape, dtype=getattr(torch, t)) for shape, t in zip(shapes, dtypes, strict=True))
    litert_torch.convert(model.eval(), examples).export(str(path))
    path.write_bytes(without_idle_reshapes(path.read_bytes()))


def describe(
    content: bytes, spec: ModelSpec, request: Request, float_parts: tuple[FloatPart, ...], path: Path
) -> Lowered:
    """Write a converted file's content with the names of its tensors and what it says of itself."""
    named = set_tensor_names(content, [x.name for x in spec.inputs], [y.name for y in spec.outputs])
    path.write_bytes(attach_metadata(named, _note(spec, request.card)))
    ops, partitions, fallback = read_graph(path)
    recipe = request.recipe
    return Lowered(
        recipe=with_changes(recipe, **CHANGES.get(recipe.name, {})),
        inputs=spec.inputs,
        outputs=spec.outputs,
        ops=ops,
        partitions=partitions,
        fallback_ops=fallback,
        float_parts=float_parts,
        tools={name: version(name) for name in ("ai-edge-litert", "ai-edge-quantizer", "litert-torch", "torch")},
    )


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
