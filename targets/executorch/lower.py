"""Lower a common model to a .pte: export, partition, serialise."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as with_changes
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from mobile_kit.models.layers import MapNorm, TokenNorm, replace
from mobile_kit.models.spec import Array, CommonModel, ModelSpec
from mobile_kit.quantization.parts import FloatPart
from mobile_kit.target_api.interface import Calibrated, Fallback, Lowered, ModelCard, Request
from targets.executorch.float16 import HalfModel, decompose
from targets.executorch.norms import HalfNorm, LinearNorm
from targets.executorch.quantize import calibrated, dynamic

if TYPE_CHECKING:
    from executorch.exir.backend.partitioner import Partitioner

__all__ = ["calibrate", "lower"]

CASTS = ("dim_order_ops._to_dim_order_copy.default", "aten._to_copy.default")
SCHEMES = {
    "dynamic_wi8_afp32": "int8 weights a channel of linear layers, which scale their inputs at each run",
    "static_wi8_ai8": "int8 weights a channel, int8 activations a tensor, affine, min-max",
    "static_wi8_ai8_mixed": "int8 weights a channel, int8 activations a tensor, affine, min-max",
}
CAST_REASON = "a conversion between number types is no operation of the delegate"
REASONS = {
    "_to_copy": CAST_REASON,
    "_to_dim_order_copy": CAST_REASON,
    "argmax": "XNNPACK has no argmax",
}


def lower(model: CommonModel, request: Request, path: Path) -> Lowered:
    """Write the .pte of a common model to `path`."""
    half = request.recipe.name == "fp16" and request.backend in {None, "xnnpack"}
    if request.backend != "coreml":
        _replace_norms(model, HalfNorm if half else LinearNorm)
    spec = model.spec
    if half:
        return _write(decompose(torch.export.export(HalfModel(model).eval(), _examples(spec))), spec, request, (), path)
    module, float_parts = dynamic(model, _examples(spec)) if request.recipe.quantized else (model.eval(), ())
    return _write(torch.export.export(module, _examples(spec)), spec, request, float_parts, path)


def calibrate(model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]]) -> Calibrated:
    """Measure a model's activations."""
    spec = model.spec
    _replace_norms(model, LinearNorm)

    def finish(module: nn.Module, float_parts: tuple[FloatPart, ...], path: Path) -> Lowered:
        return _write(torch.export.export(module, _examples(spec)), spec, request, float_parts, path)

    return calibrated(model, _examples(spec), samples, finish)


def _replace_norms(model: CommonModel, norm: type[nn.Module]) -> None:
    replace(model, MapNorm, norm)
    replace(model, TokenNorm, norm)


def _examples(spec: ModelSpec) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(x.shape, dtype=getattr(torch, x.dtype)) for x in spec.inputs)


def _write(
    program: ExportedProgram, spec: ModelSpec, request: Request, float_parts: tuple[FloatPart, ...], path: Path
) -> Lowered:
    """Write an exported program's .pte. spec: of its inputs and outputs. float_parts: what of it isn't quantized."""
    from executorch.exir import to_edge_transform_and_lower

    backend = request.backend or "xnnpack"
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[_PARTITIONERS[backend](spec, request)],
        constant_methods=_constants(spec, request.card),
    )
    ops, partitions, fallback = _graph(edge.exported_program())
    path.write_bytes(edge.to_executorch().buffer)
    return Lowered(
        recipe=with_changes(request.recipe, scheme=SCHEMES.get(request.recipe.name, request.recipe.scheme)),
        inputs=spec.inputs,
        outputs=spec.outputs,
        ops=ops,
        partitions=partitions,
        fallback_ops=fallback,
        tools={name: version(name) for name in ("executorch", "torch")},
        deployment_target=_deployment_target(request) if backend == "coreml" else None,
        float_parts=float_parts,
    )


def _xnnpack(spec: ModelSpec, request: Request) -> "Partitioner":
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def _coreml(spec: ModelSpec, request: Request) -> "Partitioner":
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend

    from targets.executorch.noise_partitioner import NoiseOutside

    half = request.recipe.weight_bits == 16
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=getattr(ct.target, _deployment_target(request)),
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
    )
    # The delegate's Core ML model has no uint8 inputs: the cast stays before it.
    noise = [place for place, x in enumerate(spec.inputs) if half and x.meaning == "noise"]
    return NoiseOutside(noise, skip_ops_for_coreml_delegation=list(CASTS), compile_specs=specs)


def _vulkan(spec: ModelSpec, request: Request) -> "Partitioner":
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return VulkanPartitioner()


_PARTITIONERS: "dict[str, Callable[[ModelSpec, Request], Partitioner]]" = {
    "coreml": _coreml,
    "vulkan": _vulkan,
    "xnnpack": _xnnpack,
}


def _deployment_target(request: Request) -> str:
    return request.deployment_target or "iOS17"


def _constants(spec: ModelSpec, card: ModelCard) -> dict[str, Any]:
    """Return what an app can ask the file itself, as methods without arguments."""
    return {
        "get_image_size": list(spec.image_size),
        "get_input_names": "\n".join(x.name for x in spec.inputs),
        "get_labels": "\n".join(spec.labels or ()),
        "get_license": card.license or "",
        "get_output_names": "\n".join(x.name for x in spec.outputs),
        "get_source": card.source,
    }


def _graph(program: ExportedProgram) -> tuple[dict[str, int], int, tuple[Fallback, ...]]:
    """Count the operations, those inside delegates too, the delegates, and what was left outside them."""
    outside = _count(program.graph_module)
    delegates = [module for name, module in program.graph_module.named_children() if name.startswith("lowered_module")]
    inside: Counter[str] = Counter()
    for module in delegates:
        inside += _count(module.original_module.graph_module)
    fallback = tuple(
        Fallback(op, count, REASONS.get(op, "not taken by the partitioner")) for op, count in sorted(outside.items())
    )
    return dict(inside + outside), len(delegates), fallback


def _count(module: fx.GraphModule) -> Counter[str]:
    calls = (node for node in module.graph.nodes if node.op == "call_function")
    return Counter(_op_name(node.target) for node in calls if hasattr(node.target, "_schema"))


def _op_name(target: Any) -> str:
    """Return `mean` for aten::mean.dim."""
    return str(target._schema.name).split("::")[-1]
