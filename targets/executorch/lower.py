"""Lower a common model to a .pte: export, partition, serialise."""

from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_kit.layers import MapNorm, Ranking, Softmax, TokenNorm, replace
from mobile_kit.spec import CommonModel, ModelSpec
from mobile_kit.target import Fallback, Lowered, Request

__all__ = ["lower"]

CASTS = ("dim_order_ops._to_dim_order_copy.default", "aten._to_copy.default")
CAST_REASON = "a conversion between number types is no operation of the delegate"
REASONS = {
    "_to_copy": CAST_REASON,
    "_to_dim_order_copy": CAST_REASON,
    "argmax": "XNNPACK has no argmax",
}


class LinearNorm(nn.Module):
    """MapNorm or TokenNorm with its means as products with constant vectors.

    XNNPACK takes no layer_norm, and its mean over all of a map runs over a single channel, without vectors: it is
    slower and loses 20 times the precision of these two linear layers.
    """

    over_width: Tensor
    over_tokens: Tensor | None

    def __init__(self, norm: MapNorm | TokenNorm) -> None:
        super().__init__()
        tokens, width = norm.shape if isinstance(norm, MapNorm) else (0, norm.width)
        self.eps = norm.eps
        self.register_buffer("over_width", torch.full((1, width), 1 / width), persistent=False)
        self.register_buffer("over_tokens", torch.full((1, tokens), 1 / tokens) if tokens else None, persistent=False)

    def mean(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, 1, 1), or (1, T, 1) for tokens by themselves."""
        by_token = F.linear(x, self.over_width)
        return by_token if self.over_tokens is None else F.linear(by_token.reshape(1, 1, -1), self.over_tokens)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        centred = x - self.mean(x)
        return centred * torch.rsqrt(self.mean(centred * centred) + self.eps)


class HalfNorm(LinearNorm):
    """LinearNorm within float16's range.

    Residual streams of trained checkpoints pass 256, and the squares of such numbers are infinite in float16. Divided
    by their mean magnitude first, they stay around 1 whatever the map's scale.
    """

    epsilon: Tensor
    least: Tensor

    def __init__(self, norm: MapNorm | TokenNorm) -> None:
        super().__init__(norm)
        # As tensors: a number over a tensor becomes a reciprocal, which XNNPACK lacks, and one added to a half tensor
        # a cast outside the delegate.
        self.register_buffer("epsilon", torch.full((1, 1, 1), norm.eps), persistent=False)
        # Float16's least normal number: a flat map stays 0.
        self.register_buffer("least", torch.full((1, 1, 1), 2.0**-14), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, D) to (1, T, D)."""
        centred = x - self.mean(x)
        magnitude = self.mean(centred.abs()) + self.least
        scaled = centred / magnitude
        # A root halves the error of its argument, and XNNPACK's half reciprocal root adds one of its own.
        return scaled / torch.sqrt(self.mean(scaled * scaled) + self.epsilon / (magnitude * magnitude))


class Swish(nn.Module):
    """SiLU as sigmoid and product: torch's own decomposition of a half SiLU casts to float32, outside the delegate."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return x * torch.sigmoid(x)


class FloatSoftmax(nn.Module):
    """Softmax in float32: XNNPACK's half kernel loses 3 dB, which shows where the result is an output."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softmax(x.float(), dim=-1).to(x.dtype)


class HalfRanking(nn.Module):
    """A ranking in float32 between a float32 input and what float16 layers take."""

    def __init__(self, ranking: Ranking) -> None:
        super().__init__()
        self.ranking = ranking.float()

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, N) float32 to the ranks in float32 and the choice in float16."""
        ranks, chosen, matrix = self.ranking(numbers)
        return ranks, chosen.half(), matrix.half()


class HalfModel(nn.Module):
    """A model in float16 between float32 or uint8 inputs and float32 outputs; noise stays in float32."""

    def __init__(self, model: CommonModel) -> None:
        super().__init__()
        replace(model, nn.SiLU, lambda _: Swish())
        replace(model, Softmax, lambda softmax: FloatSoftmax() if softmax.shown else softmax)
        self.noise = [x.meaning == "noise" for x in model.spec.inputs]
        self.model = model.half()
        replace(self.model, Ranking, HalfRanking)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The model's inputs to its outputs, in the dtypes of its spec."""
        outputs = self.model(*(x if noise else x.half() for x, noise in zip(inputs, self.noise, strict=True)))
        return tuple(y.float() if y.is_floating_point() else y for y in outputs)


def lower(model: CommonModel, request: Request, path: Path) -> Lowered:
    """Write the .pte of a common model to `path`."""
    from executorch.exir import to_edge_transform_and_lower

    backend = request.backend or "xnnpack"
    spec = model.spec
    inputs = tuple(torch.zeros(x.shape, dtype=getattr(torch, x.dtype)) for x in spec.inputs)
    module: nn.Module = model
    half = request.recipe.name == "fp16" and backend == "xnnpack"
    if backend != "coreml":
        norm = HalfNorm if half else LinearNorm
        replace(module, MapNorm, norm)
        replace(module, TokenNorm, norm)
    if half:
        module = HalfModel(model)
    program = torch.export.export(module.eval(), inputs)
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[_PARTITIONERS[backend](spec, request)],
        constant_methods=_constants(model, request),
    )
    ops, partitions, fallback = _graph(edge.exported_program())
    path.write_bytes(edge.to_executorch().buffer)
    return Lowered(
        recipe=request.recipe,
        inputs=spec.inputs,
        outputs=spec.outputs,
        ops=ops,
        partitions=partitions,
        fallback_ops=fallback,
        tools={name: version(name) for name in ("executorch", "torch")},
        deployment_target=_deployment_target(request) if backend == "coreml" else None,
    )


def _xnnpack(spec: ModelSpec, request: Request) -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def _coreml(spec: ModelSpec, request: Request) -> Any:
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend

    from targets.executorch.noise import NoiseOutside

    half = request.recipe.weight_bits == 16
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=getattr(ct.target, _deployment_target(request)),
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
    )
    # The delegate's Core ML model has no uint8 inputs: the cast stays before it.
    noise = [place for place, x in enumerate(spec.inputs) if half and x.meaning == "noise"]
    return NoiseOutside(noise, skip_ops_for_coreml_delegation=list(CASTS), compile_specs=specs)


def _vulkan(spec: ModelSpec, request: Request) -> Any:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return VulkanPartitioner()


_PARTITIONERS: dict[str, Callable[[ModelSpec, Request], Any]] = {
    "coreml": _coreml,
    "vulkan": _vulkan,
    "xnnpack": _xnnpack,
}


def _deployment_target(request: Request) -> str:
    return request.deployment_target or "iOS17"


def _constants(model: CommonModel, request: Request) -> dict[str, Any]:
    """Return what an app can ask the file itself, as methods without arguments."""
    spec, card = model.spec, request.card
    return {
        "get_image_size": list(spec.image_size),
        "get_input_names": "\n".join(x.name for x in spec.inputs),
        "get_labels": "\n".join(spec.labels or ()),
        "get_license": card.license or "",
        "get_output_names": "\n".join(x.name for x in spec.outputs),
        "get_source": card.source,
    }


def _graph(program: Any) -> tuple[dict[str, int], int, tuple[Fallback, ...]]:
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


def _count(module: Any) -> Counter[str]:
    calls = (node for node in module.graph.nodes if node.op == "call_function")
    return Counter(_op_name(node.target) for node in calls if hasattr(node.target, "_schema"))


def _op_name(target: Any) -> str:
    """Return `mean` for aten::mean.dim."""
    return str(target._schema.name).split("::")[-1]
