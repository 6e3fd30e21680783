"""Quantize a model for Core ML: weights and activations before its conversion, weights alone after it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.parts import KINDS, parts_of
from mobile_kit.pt2e import annotate, int8_activations, int8_weights, part_of, quantize
from mobile_kit.spec import CommonModel
from mobile_kit.target import Array, FloatPart

__all__ = ["quantize_weights", "quantized"]

# Smaller constants, such as biases, stay as they are: coremltools' own bound.
LEAST_VALUES = 2048


def quantized(
    model: CommonModel,
    inputs: tuple[Tensor, ...],
    samples: Sequence[Mapping[str, Array]],
    float_parts: Collection[str] = (),
) -> tuple[nn.Module, tuple[FloatPart, ...]]:
    """Return a model whose convolutions and linear layers take int8 and have int8 weights, and what stays in float.

    That is what Core ML computes in integers; the rest would be made into floats and back for nothing. inputs:
    examples. samples: inputs by name that the ranges are measured on. float_parts: names of parts that are to stay.
    """
    from torchao.quantization.pt2e.quantizer import Quantizer

    aten, parts = torch.ops.aten, parts_of(model)
    left, kinds = {"norms", "always float", *float_parts}, set[str]()

    class InputQuantizer(Quantizer):
        def annotate(self, model: Any) -> Any:
            """Annotate the inputs and weights of what is wanted."""
            for node in (node for node in model.graph.nodes if node.op == "call_function"):
                part = part_of(node, parts)
                if node.target in (aten.conv2d.default, aten.linear.default) and not part.among(left):
                    annotate(node, {node.args[0]: int8_activations(), node.args[1]: int8_weights()})
                else:
                    kinds.add(part.kind)
            return model

        def validate(self, model: Any) -> None:
            """Nothing to see to."""

    module = quantize(model, inputs, samples, InputQuantizer())
    return module, tuple(FloatPart(kind) for kind in KINDS if kind in kinds)


def quantize_weights(program: Any) -> None:
    """Make the large weights of a MIL program int8, a scale a channel, in place.

    That is coremltools' `linear_quantize_weights` before it is a package: read back from one, a classifier's labels are
    of a type that it can't write again.
    """
    from coremltools.converters.mil.mil.passes.graph_pass import PassOption
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
    from coremltools.optimize import coreml as optimize

    config = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=LEAST_VALUES)
    weights = PASS_REGISTRY["compression::linear_quantize_weights"]
    weights.set_options([PassOption("config", optimize.OptimizationConfig(global_config=config))])
    weights(program)
