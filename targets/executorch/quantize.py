"""Apply a recipe to a model with torchao's PT2E and XNNPACK's quantizer."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mobile_kit.layers import replace
from mobile_kit.parts import KINDS, Part, parts_of
from mobile_kit.spec import CommonModel
from mobile_kit.target import Array, FloatPart

__all__ = ["quantized"]

# XNNPACK has no int8 product of two activations, no int8 softmax, GELU or reciprocal root.
FLOAT_KINDS = ("softmax", "norms", "always float")
# The least scale: nothing that a network's numbers come near, where XNNPACK's quantizer has 2**-12, which costs up to
# 12 dB.
LEAST_SCALE = 1e-10


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

    samples: inputs by name that the ranges of activations are measured on. Without any, linear layers scale their
    inputs at each run, and everything else stays in float. float_parts: names of parts that are to stay in float.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    replace(model, nn.SiLU, lambda silu: Silu())
    parts = parts_of(model)
    left = {*FLOAT_KINDS, *float_parts}
    quantizer = _quantizer(parts, left, dynamic=not samples)
    prepared: Any = prepare_pt2e(torch.export.export(model.eval(), inputs).module(), quantizer)
    computed = {_part(node, parts).kind for node in prepared.graph.nodes if node.op == "call_function"}
    names = [spec.name for spec in model.spec.inputs]
    with torch.no_grad():
        prepared(*inputs) if not samples else None  # the weights are measured by a run too
        for sample in samples:
            prepared(*(torch.from_numpy(sample[name]) for name in names))
    return convert_pt2e(prepared), tuple(FloatPart(kind) for kind in KINDS if kind in computed - quantizer.kinds)


def _part(node: Any, parts: Mapping[str, Part]) -> Part:
    """Return the part of the module that an operation comes from; what the quantizer adds is of the whole."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return parts[stack[-1][0] if stack and stack[-1][0] in parts else ""]


def _quantizer(parts: Mapping[str, Part], left: Collection[str], dynamic: bool) -> Any:
    """Return XNNPACK's quantizer for all but some parts; its `kinds` are those that it has annotated."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import propagate_annotation
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    aten, config = torch.ops.aten, _config(dynamic)

    class PartQuantizer(XNNPACKQuantizer):
        kinds: set[str]

        def annotate(self, model: Any) -> Any:
            """Annotate what is wanted, and what only moves its values."""
            self._annotate_for_quantization_config(model)
            self.kinds = {_part(n, parts).kind for n in model.graph.nodes if Q_ANNOTATION_KEY in n.meta}
            for node in model.graph.nodes:
                if not dynamic and node.target is aten.mean.dim and wanted(node):
                    # A scale of its own: that of what it is the mean of is far too coarse.
                    _annotate(node, config.input_activation, config.output_activation)
            propagate_annotation(model)
            while sum(_shared(node) for node in model.graph.nodes if node.target is aten.slice.Tensor):
                propagate_annotation(model)
            return model

    def wanted(node: Any) -> bool:
        return not _part(node, parts).among(left) and (not dynamic or node.target is aten.linear.default)

    return PartQuantizer().set_global(config).set_filter_function(wanted)


def _annotate(node: Any, given: Any, result: Any) -> None:
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
        input_qspec_map={node.args[0]: given}, output_qspec=result, _annotated=True
    )


def _shared(node: Any) -> bool:
    """Let a slice share the scale of what it is a slice of, as XNNPACK wants it; tell whether that is new."""
    from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    before = node.args[0].meta.get(Q_ANNOTATION_KEY)
    if Q_ANNOTATION_KEY in node.meta or before is None or before.output_qspec is None:
        return False
    _annotate(node, SharedQuantizationSpec(node.args[0]), SharedQuantizationSpec(node.args[0]))
    return True


def _config(dynamic: bool) -> Any:
    """Return how weights and activations become int8: min-max, a scale a channel and a tensor."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationConfig, QuantizationSpec

    weight = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=LEAST_SCALE),
    )
    if dynamic:
        activation = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True).input_activation
        return QuantizationConfig(activation, None, weight, None)
    activation = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=LEAST_SCALE),
    )
    return QuantizationConfig(activation, activation, weight, None)
