"""Quantize a model with XNNPACK's quantizer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, fx, nn

from mobile_kit.models.layers import replace
from mobile_kit.models.spec import Array, CommonModel
from mobile_kit.quantization.parts import FloatPart, Part, parts_of
from mobile_kit.target_api.interface import Calibrated, Lowered
from mobile_kit.target_api.pt2e import (
    ANNOTATION,
    CalibratedGraph,
    PartQuantizer,
    annotate,
    computes,
    float_parts,
    int8_activations,
    int8_weights,
    is_annotated,
    part_of,
    quantized_dynamically,
)

if TYPE_CHECKING:
    from torchao.quantization.pt2e.quantizer import QuantizationConfig

__all__ = ["calibrated", "dynamic"]

# XNNPACK has no int8 product of two activations, no int8 softmax, GELU or reciprocal root.
NEVER, SLOW = ("softmax", "always float"), ("norms",)


class Silu(nn.Module):
    """SiLU as a product, which the quantizer knows, and a sigmoid."""

    part: ClassVar[str] = "activations"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return x * torch.sigmoid(x)


def calibrated(
    model: CommonModel,
    inputs: tuple[Tensor, ...],
    samples: Sequence[Mapping[str, Array]],
    finish: Callable[[nn.Module, tuple[FloatPart, ...], Path], Lowered],
) -> Calibrated:
    """Return a model with its ranges, measured on samples. finish: writes what it becomes, told what stays in float."""
    replace(model, nn.SiLU, lambda silu: Silu())
    return CalibratedGraph(model, inputs, samples, quantizer_for, NEVER, SLOW, finish)


def dynamic(model: CommonModel, inputs: tuple[Tensor, ...]) -> tuple[nn.Module, tuple[FloatPart, ...]]:
    """Return a model whose linear layers scale their inputs at each run, and what of it stays in float."""
    quantizer = quantizer_for(lambda part: part.kind not in {*NEVER, *SLOW}, parts_of(model), at_each_run=True)
    module = quantized_dynamically(model, inputs, quantizer)
    return module, float_parts(quantizer)


def quantizer_for(
    wanted: Callable[[Part], bool], parts: Mapping[str, Part], at_each_run: bool = False
) -> PartQuantizer:
    """Return XNNPACK's quantizer for some parts. parts: of modules by their path."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import propagate_annotation

    aten = torch.ops.aten

    class XNNPACKPartQuantizer(XNNPACKQuantizer):
        taken: frozenset[Part]
        left: frozenset[Part]

        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            """Annotate what is wanted, and what only moves its values."""
            self._annotate_for_quantization_config(model)
            nodes = [node for node in model.graph.nodes if node.op == "call_function"]
            for node in nodes:
                if not at_each_run and node.target is aten.mean.dim and takes(node):
                    # A scale of its own: that of what it is the mean of is far too coarse.
                    annotate(node, {node.args[0]: int8_activations()}, int8_activations())
                if node.target is aten.upsample_bilinear2d.vec:
                    # ExecuTorch 1.4 mixes up the axes of a map that becomes integers and floats again before it.
                    node.args[0].meta.pop(ANNOTATION, None)
            # Of concatenations, the quantizer takes all, whatever is wanted.
            joining = {n: n.meta.pop(ANNOTATION) for n in nodes if n.target is aten.cat.default and is_annotated(n)}
            self.taken = frozenset(part_of(node, parts) for node in nodes if is_annotated(node))
            self.left = frozenset(part_of(node, parts) for node in nodes if computes(node) and not is_annotated(node))
            propagate_annotation(model)
            while any([*map(_shared, nodes), *(_joined(node, joining) for node in [*joining])]):
                propagate_annotation(model)
            return model

    def takes(node: fx.Node) -> bool:
        if node.op != "call_function":
            return True  # a layer's weights, which have no part, are asked about with it
        return wanted(part_of(node, parts)) and (not at_each_run or node.target is aten.linear.default)

    return XNNPACKPartQuantizer().set_global(_config(at_each_run)).set_filter_function(takes)


def _shared(node: fx.Node) -> bool:
    """Let a slice share the scale of what it is a slice of, as XNNPACK wants it; tell whether that is new."""
    from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec

    if node.target is not torch.ops.aten.slice.Tensor or is_annotated(node):
        return False
    whole = node.all_input_nodes[0]
    if not _gives_int8(whole):
        return False
    annotate(node, {whole: SharedQuantizationSpec(whole)}, SharedQuantizationSpec(whole))
    return True


def _joined(node: fx.Node, annotations: dict[fx.Node, Any]) -> bool:
    """Let a concatenation join integers where all that it joins are, or all that read it want them; tell if it does.

    annotations: of those that don't yet, by node.
    """
    sources = [source for source in node.all_input_nodes if source.op == "call_function"]
    comes = bool(sources) and all(map(_gives_int8, sources))
    goes = all(is_annotated(reader) and node in reader.meta[ANNOTATION].input_qspec_map for reader in node.users)
    if comes or goes:
        node.meta[ANNOTATION] = annotations.pop(node)
    return comes or goes


def _gives_int8(node: fx.Node) -> bool:
    return is_annotated(node) and node.meta[ANNOTATION].output_qspec is not None


def _config(at_each_run: bool) -> "QuantizationConfig":
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e.quantizer import QuantizationConfig

    if at_each_run:
        inputs = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True).input_activation
        return QuantizationConfig(inputs, None, int8_weights(), None)
    return QuantizationConfig(int8_activations(), int8_activations(), int8_weights(), None)
