"""Quantize a model for Core ML: weights and activations before its conversion, weights alone after it."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from mobile_kit.models.spec import Array, CommonModel
from mobile_kit.quantization.parts import FloatPart, Part
from mobile_kit.target_api.interface import Calibrated, Lowered
from mobile_kit.target_api.pt2e import (
    CalibratedGraph,
    PartQuantizer,
    annotate,
    computes,
    int8_activations,
    int8_weights,
    is_annotated,
    part_of,
)

__all__ = ["calibrated", "quantize_weights"]

# Smaller constants, such as biases, stay as they are: coremltools' own bound.
LEAST_VALUES = 2048
# Input channels that share the scale of a 4-bit weight.
BLOCK = 16


def calibrated(
    model: CommonModel,
    inputs: tuple[Tensor, ...],
    samples: Sequence[Mapping[str, Array]],
    finish: Callable[[nn.Module, tuple[FloatPart, ...], Path], Lowered],
) -> Calibrated:
    """Return a model with its ranges, measured on samples. finish: writes what it becomes, told what stays in float.

    Its convolutions and linear layers take int8 and have int8 weights. That is what Core ML computes in integers; the
    rest would be made into floats and back for nothing.
    """
    return CalibratedGraph(model, inputs, samples, _quantizer, never=(), slow=("norms",), finish=finish)


def _quantizer(wanted: Callable[[Part], bool], parts: Mapping[str, Part]) -> PartQuantizer:
    """Return a quantizer of the inputs and weights of layers. parts: of modules by their path."""
    from torchao.quantization.pt2e.quantizer import Quantizer

    layers = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)

    class InputQuantizer(Quantizer):
        taken: frozenset[Part]
        left: frozenset[Part]

        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            """Annotate the layers of what is wanted."""
            nodes = [node for node in model.graph.nodes if node.op == "call_function"]
            taken = [node for node in nodes if node.target in layers and wanted(part_of(node, parts))]
            for node in taken:
                annotate(node, {node.args[0]: int8_activations(), node.args[1]: int8_weights()})
            left = [node for node in nodes if computes(node) and not is_annotated(node)]
            self.taken, self.left = (frozenset(part_of(node, parts) for node in chosen) for chosen in (taken, left))
            return model

        def validate(self, model: fx.GraphModule) -> None:
            """Nothing to see to."""

    return InputQuantizer()


def quantize_weights(program: Any, bits: int, deployment: str) -> str:
    """Make the large weights of a MIL program small, in place; return how: int8 a channel, or 4 bits.

    That is coremltools' own passes before it is a package: read back from one, a classifier's labels are of a type that
    it can't write again. Of 4 bits, iOS 18 knows integers with a scale a block, which keep more than the palettes of
    the systems before it.
    """
    from coremltools.converters.mil.mil.passes.graph_pass import PassOption
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
    from coremltools.optimize import coreml as optimize

    config: Any
    whole = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=LEAST_VALUES)
    by_name: dict[str, Any] = {}
    if bits == 4 and deployment < "iOS18":
        name, scheme = "palettize_weights", "a palette of 16 values a tensor, by k-means"
        config = optimize.OpPalettizerConfig(mode="kmeans", nbits=4, weight_threshold=LEAST_VALUES)
    elif bits == 4:
        odd = [op for op in _layers(program) if op.weight.shape[1] % BLOCK]
        by_name = {op.name: whole for op in odd}
        part = _values(odd) / _values(_layers(program))
        name = "linear_quantize_weights"
        scheme = f"int4 weights a block of {BLOCK} input channels, {part:.1%} that don't divide so in int8; symmetric"
        config = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric",
            dtype="int4",
            granularity="per_block",
            block_size=BLOCK,
            weight_threshold=LEAST_VALUES,
        )
    else:
        name, scheme = "linear_quantize_weights", "int8 weights a channel, symmetric"
        config = whole
    weights = PASS_REGISTRY[f"compression::{name}"]
    weights.set_options([PassOption("config", optimize.OptimizationConfig(config, None, by_name))])
    weights(program)
    left = _values([op for op in _layers(program) if op.weight.op.op_type == "const"]) / _values(_layers(program))
    return f"{scheme}; {left:.1%} of the layers' weights in float" if left else scheme


def _layers(program: Any) -> list[Any]:
    """Return a program's convolutions and linear layers."""
    return [op for op in program.functions["main"].operations if op.op_type in {"conv", "linear"}]


def _values(layers: list[Any]) -> int:
    """Return how many values the weights of layers have."""
    return sum(math.prod(op.weight.shape) for op in layers)
