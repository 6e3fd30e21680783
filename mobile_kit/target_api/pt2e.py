"""Quantize an exported model with torchao's PT2E, as two targets do it: min-max, int8, a scale a channel and a tensor.

Only what a target's own quantizer says of a graph differs. torchao is imported when it is used.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from mobile_kit.errors import LoweringError
from mobile_kit.models.spec import CommonModel
from mobile_kit.quantization.parts import KINDS, FloatPart, Part, parts_of
from mobile_kit.target_api.interface import Lowered

if TYPE_CHECKING:
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

__all__ = [
    "ANNOTATION",
    "CalibratedGraph",
    "PartQuantizer",
    "annotate",
    "computes",
    "float_parts",
    "int8_activations",
    "int8_weights",
    "is_annotated",
    "part_of",
    "quantized_dynamically",
]

# The least scale: nothing that a network's numbers come near. XNNPACK's quantizer has 2**-12, which costs up to 12 dB.
LEAST_SCALE = 1e-10
ANNOTATION = "quantization_annotation"
# Operations of an exported graph that compute nothing.
MOVES = re.compile(
    "_assert_tensor_metadata|alias|cat|chunk|clone|constant_pad_nd|contiguous|detach|dropout|expand|flatten|full|getitem|"
    "index_select|lift_fresh_copy|ones|pad|permute|reshape|select|slice|split|split_with_sizes|squeeze|stack|to|transpose|"
    "unbind|unsqueeze|view|zeros"
)
ModelInputs = Mapping[str, NDArray[Any]]


class PartQuantizer(Protocol):
    """A quantizer of torchao's that also says what it did, once it has annotated a graph.

    taken: the parts of which it took some operation. left: those of which it left some that computes.
    """

    taken: frozenset[Part]
    left: frozenset[Part]

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Say of a graph's operations how they are quantized."""
        ...


class CalibratedGraph:
    """An exported model with the ranges of its values, of which any parts can be made int8 (`target.Calibrated`).

    quantizer: makes one for the parts that a function names. never: kinds that the target can't compute in int8. slow:
    kinds that it can, but that its static recipes leave in float. finish: writes a quantized module's file, told what
    of it stays in float.
    """

    def __init__(
        self,
        model: CommonModel,
        inputs: tuple[Tensor, ...],
        samples: Sequence[ModelInputs],
        quantizer: "Callable[[Callable[[Part], bool], Mapping[str, Part]], PartQuantizer]",
        never: Collection[str],
        slow: Collection[str],
        finish: Callable[[nn.Module, tuple[FloatPart, ...], Path], Lowered],
    ) -> None:
        self._inputs, self._quantizer, self._finish = inputs, quantizer, finish
        self._named = [spec.name for spec in model.spec.inputs], [spec.name for spec in model.spec.outputs]
        self._paths = parts_of(model)
        self._program = torch.export.export(model.eval(), inputs)
        self._ranges = _ranges(self._program.module(), (self._values(sample) for sample in samples))
        quantizer_of_all = quantizer(lambda part: part.kind not in {*never, "always float"}, self._paths)
        quantizer_of_all.annotate(self._program.module())
        self.parts = quantizer_of_all.taken
        self.static = frozenset(part for part in self.parts if part.kind not in slow)

    def run(self, int8: Collection[Part], samples: Sequence[ModelInputs]) -> Iterator[dict[str, NDArray[Any]]]:
        """Compute the outputs by name with some parts in int8, a mapping a sample."""
        module = self._quantized(self._quantizer(int8.__contains__, self._paths)) if int8 else self._program.module()
        for sample in samples:
            with torch.no_grad():
                results = module(*self._values(sample))
            yield {name: value.numpy() for name, value in zip(self._named[1], results, strict=True)}

    def write(self, int8: Collection[Part], path: Path) -> Lowered:
        """Write the file with some parts in int8."""
        quantizer = self._quantizer(int8.__contains__, self._paths)
        module = self._quantized(quantizer)
        if missing := {*int8} - quantizer.taken:
            raise LoweringError(
                f"int8 of {sorted(map(str, missing))}: wasn't taken. Report it with the checkpoint's config."
            )
        return self._finish(module, float_parts(quantizer), path)

    def _values(self, sample: ModelInputs) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(sample[name]) for name in self._named[0])

    def _quantized(self, quantizer: PartQuantizer) -> nn.Module:
        return _quantized(self._program, quantizer, self._ranges)


def float_parts(quantizer: PartQuantizer) -> tuple[FloatPart, ...]:
    """Return the kinds of which a quantizer left something."""
    left = {part.kind for part in quantizer.left}
    return tuple(FloatPart(kind) for kind in KINDS if kind in left)


def quantized_dynamically(model: CommonModel, inputs: tuple[Tensor, ...], quantizer: PartQuantizer) -> nn.Module:
    """Return a model that scales at each run what a quantizer annotates."""
    return _quantized(torch.export.export(model.eval(), inputs), quantizer, {})


def _quantized(program: ExportedProgram, quantizer: PartQuantizer, ranges: Mapping[str, Tensor]) -> nn.Module:
    """Return a module with what a quantizer annotates in integers. ranges: by node, see `_ranges`.

    torchao's observers see the ends of each range rather than the samples again: a graph is measured once for all that
    is made of it.
    """
    from torchao.quantization.pt2e import ObserverBase, PlaceholderObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared: fx.GraphModule = prepare_pt2e(program.module(), quantizer)
    for node in prepared.graph.nodes:
        if node.op != "call_module" or not isinstance(observer := prepared.get_submodule(node.target), ObserverBase):
            continue
        (seen,) = node.args
        if isinstance(observer, PlaceholderObserver):
            continue  # measured at each run
        observer(attrgetter(seen.target)(prepared) if seen.op == "get_attr" else ranges[seen.name])
    converted: nn.Module = convert_pt2e(prepared)
    return converted


def _ranges(module: fx.GraphModule, samples: Iterable[tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """Return the least and the greatest value (2,) of every float tensor of a graph over samples, by its node."""
    found: dict[str, Tensor] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, node: fx.Node) -> Any:
            """Compute as ever, and look at the result."""
            value = super().run_node(node)
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                ends = torch.stack(torch.aminmax(value.detach()))
                old = found.get(node.name, ends)
                found[node.name] = torch.stack((torch.minimum(old[0], ends[0]), torch.maximum(old[1], ends[1])))
            return value

    recorder = Recorder(module)
    with torch.no_grad():
        for sample in samples:
            recorder.run(*sample)
    return found


def part_of(node: fx.Node, parts: Mapping[str, Part]) -> Part:
    """Return the part of the module that an operation of an exported graph comes from.

    parts: by the module's path, see `parts.parts_of`. What has no module is of the whole.
    """
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return parts[stack[-1][0] if stack and stack[-1][0] in parts else ""]


def computes(node: fx.Node) -> bool:
    """Tell whether an operation of an exported graph computes anything."""
    called: Any = getattr(node.target, "overloadpacket", node.target)
    return MOVES.fullmatch(called.__name__) is None


def int8_weights() -> "QuantizationSpec":
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


def int8_activations() -> "QuantizationSpec":
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


def annotate(node: fx.Node, inputs: Mapping[fx.Node, Any], output: Any = None) -> None:
    """Say how an operation's inputs, by the nodes that make them, and its output are quantized; None for not at all."""
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

    node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map=dict(inputs), output_qspec=output, _annotated=True)


def is_annotated(node: fx.Node) -> bool:
    """Tell whether anything has been said of an operation."""
    return ANNOTATION in node.meta
