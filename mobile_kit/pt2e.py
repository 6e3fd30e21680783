"""Quantize an exported model with torchao's PT2E, as two targets do it: min-max, int8, a scale a channel and a tensor.

Only what a target's own quantizer says of a graph differs. torchao is imported when it is used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobile_kit.parts import Part
from mobile_kit.spec import CommonModel

__all__ = ["annotate", "int8_activations", "int8_weights", "is_annotated", "part_of", "quantize"]

# The least scale: nothing that a network's numbers come near. XNNPACK's quantizer has 2**-12, which costs up to 12 dB.
LEAST_SCALE = 1e-10
ANNOTATION = "quantization_annotation"


def quantize(
    model: CommonModel, inputs: tuple[Tensor, ...], samples: Sequence[Mapping[str, NDArray[Any]]], quantizer: Any
) -> nn.Module:
    """Return a model with what a quantizer annotates in integers.

    inputs: examples. samples: inputs by name that the ranges of activations are measured on, over all of them.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared: Any = prepare_pt2e(torch.export.export(model.eval(), inputs).module(), quantizer)
    names = [spec.name for spec in model.spec.inputs]
    with torch.no_grad():
        if not samples:
            prepared(*inputs)  # the weights are measured by a run too
        for sample in samples:
            prepared(*(torch.from_numpy(sample[name]) for name in names))
    converted: nn.Module = convert_pt2e(prepared)
    return converted


def part_of(node: Any, parts: Mapping[str, Part]) -> Part:
    """Return the part of the module that an operation of an exported graph comes from.

    parts: by the module's path, see `parts.parts_of`. What has no module is of the whole.
    """
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return parts[stack[-1][0] if stack and stack[-1][0] in parts else ""]


def int8_weights() -> Any:
    """Return how weights become int8: symmetric, a scale a channel."""
    from torchao.quantization.pt2e import PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=LEAST_SCALE),
    )


def int8_activations() -> Any:
    """Return how activations become int8: affine, a scale a tensor, from their least and greatest value."""
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=LEAST_SCALE),
    )


def annotate(node: Any, inputs: Mapping[Any, Any], output: Any = None) -> None:
    """Say how an operation's inputs, by the nodes that make them, and its output are quantized; null for not at all."""
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

    node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map=dict(inputs), output_qspec=output, _annotated=True)


def is_annotated(node: Any) -> bool:
    """Tell whether anything has been said of an operation."""
    return ANNOTATION in node.meta
