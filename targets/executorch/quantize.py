"""Quantize a model with XNNPACK's quantizer."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mobile_kit.layers import replace
from mobile_kit.parts import KINDS, Part, parts_of
from mobile_kit.pt2e import annotate, int8_activations, int8_weights, is_annotated, part_of, quantize
from mobile_kit.spec import CommonModel
from mobile_kit.target import Array, FloatPart

__all__ = ["quantized"]

# XNNPACK has no int8 product of two activations, no int8 softmax, GELU or reciprocal root.
FLOAT_KINDS = ("softmax", "norms", "always float")


class Silu(nn.Module):
    """SiLU as a product, which the quantizer knows, and a sigmoid."""

    part: ClassVar[str] = "activations"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return x * torch.sigmoid(x)


def quantized(
    model: CommonModel,
    inputs: tuple[Tensor, ...],
    samples: Sequence[Mapping[str, Array]],
    float_parts: Collection[str] = (),
) -> tuple[nn.Module, tuple[FloatPart, ...]]:
    """Return a model with int8 weights and activations, and what of it stays in float.

    inputs: examples. samples: inputs by name that the ranges of activations are measured on. Without any, linear layers
    scale their inputs at each run, and everything else stays in float. float_parts: names of parts that are to stay.
    """
    replace(model, nn.SiLU, lambda silu: Silu())
    parts = parts_of(model)
    quantizer = _quantizer(parts, {*FLOAT_KINDS, *float_parts}, dynamic=not samples)
    module = quantize(model, inputs, samples, quantizer)
    return module, tuple(FloatPart(kind) for kind in KINDS if kind in quantizer.float_kinds)


def _quantizer(parts: Mapping[str, Part], left: Collection[str], dynamic: bool) -> Any:
    """Return XNNPACK's quantizer for all but some parts; its `float_kinds` are those of which it took nothing."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import propagate_annotation

    aten = torch.ops.aten

    class PartQuantizer(XNNPACKQuantizer):
        float_kinds: set[str]

        def annotate(self, model: Any) -> Any:
            """Annotate what is wanted, and what only moves its values."""
            self._annotate_for_quantization_config(model)
            computing = [node for node in model.graph.nodes if node.op == "call_function"]
            taken = {part_of(node, parts).kind for node in computing if is_annotated(node)}
            self.float_kinds = {part_of(node, parts).kind for node in computing} - taken
            for node in computing:
                if not dynamic and node.target is aten.mean.dim and wanted(node):
                    # A scale of its own: that of what it is the mean of is far too coarse.
                    annotate(node, {node.args[0]: int8_activations()}, int8_activations())
                if node.target is aten.upsample_bilinear2d.vec:
                    # ExecuTorch 1.4 mixes up the axes of a map that becomes integers and floats again before it.
                    node.args[0].meta.pop("quantization_annotation", None)
            propagate_annotation(model)
            while sum(_shared(node) for node in computing if node.target is aten.slice.Tensor):
                propagate_annotation(model)
            return model

    def wanted(node: Any) -> bool:
        return not part_of(node, parts).among(left) and (not dynamic or node.target is aten.linear.default)

    return PartQuantizer().set_global(_config(dynamic)).set_filter_function(wanted)


def _shared(node: Any) -> bool:
    """Let a slice share the scale of what it is a slice of, as XNNPACK wants it; tell whether that is new."""
    from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec

    whole = node.args[0]
    if is_annotated(node) or not is_annotated(whole) or whole.meta["quantization_annotation"].output_qspec is None:
        return False
    annotate(node, {whole: SharedQuantizationSpec(whole)}, SharedQuantizationSpec(whole))
    return True


def _config(dynamic: bool) -> Any:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e.quantizer import QuantizationConfig

    if dynamic:
        at_each_run = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True).input_activation
        return QuantizationConfig(at_each_run, None, int8_weights(), None)
    return QuantizationConfig(int8_activations(), int8_activations(), int8_weights(), None)
