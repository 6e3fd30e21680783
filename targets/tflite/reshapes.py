"""Reshapes that undo each other around an activation, taken out of a .tflite: XNNPACK copies the tensor for each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from targets.tflite.tflite_file import pack, unpack

__all__ = ["without_idle_reshapes"]

Kinds = schema.BuiltinOperator
# They give each value its own, whatever the shape.
ELEMENTWISE = frozenset(
    (Kinds.ADD, Kinds.GELU, Kinds.HARD_SWISH, Kinds.LOGISTIC, Kinds.MUL, Kinds.RELU, Kinds.SUB, Kinds.TANH)
)


@dataclass(frozen=True)
class _Span:
    """What stands between a reshape and those that undo it: tensors of its shape, by number."""

    first: Any
    last: tuple[Any, ...]
    tensors: frozenset[int]


def without_idle_reshapes(content: bytes) -> bytes:
    """Return a .tflite in which an activation between two linear layers computes in their shape, (1, T, 1, D).

    `PointwiseLinear` reshapes around each layer, which is right for what reads tokens, and idle for an activation.
    """
    container = unpack(content)
    codes = [code.builtinCode for code in container.model.operatorCodes]
    for number, graph in enumerate(container.model.subgraphs):
        for op in [op for op in graph.operators if codes[op.opcodeIndex] == Kinds.RESHAPE]:
            span = _span(graph, codes, op)
            if span is not None:
                _join(graph, span)
        _drop_unread(graph, [x for x in container.model.signatureDefs or () if x.subgraphIndex == number])
    return pack(container)


def _span(graph: Any, codes: list[int], first: Any) -> _Span | None:
    """Return what may compute in the shape in front of a reshape; None where anything there needs the shape behind."""
    wanted = _shape(graph, first.inputs[0])
    tensors, last = {first.outputs[0]}, []
    # Operators stand in the order in which they run: one pass meets each after what it reads.
    for op in graph.operators:
        if op is first or tensors.isdisjoint(op.inputs):
            continue
        kind = codes[op.opcodeIndex]
        if kind == Kinds.RESHAPE and _shape(graph, op.outputs[0]) == wanted:
            last.append(op)
        elif kind in ELEMENTWISE and all(i in tensors or _shape(graph, i) == [] for i in op.inputs):
            tensors.update(op.outputs)
        else:
            return None
    whole = bool(last) and tensors.union(op.outputs[0] for op in last).isdisjoint(graph.outputs)
    return _Span(first, tuple(last), frozenset(tensors)) if whole else None


def _join(graph: Any, span: _Span) -> None:
    """Let a span compute in the shape in front of it, and take its reshapes out."""
    source = span.first.inputs[0]
    for tensor in span.tensors:
        graph.tensors[tensor].shape = graph.tensors[source].shape
        graph.tensors[tensor].shapeSignature = graph.tensors[source].shapeSignature
    same = {span.first.outputs[0]: source}
    same |= {op.outputs[0]: same.get(op.inputs[0], op.inputs[0]) for op in span.last}
    gone = {id(op) for op in (span.first, *span.last)}
    graph.operators = [op for op in graph.operators if id(op) not in gone]
    for op in graph.operators:
        op.inputs = [same.get(tensor, tensor) for tensor in op.inputs]


def _drop_unread(graph: Any, signatures: Iterable[Any]) -> None:
    """Take the tensors out that no operator names any more; their buffers stay, as empty as before."""
    named = {*graph.inputs, *graph.outputs}
    named.update(tensor for op in graph.operators for tensor in (*op.inputs, *op.outputs))
    kept = [tensor for tensor in range(len(graph.tensors)) if tensor in named]
    graph.tensors = [graph.tensors[tensor] for tensor in kept]
    new = {old: number for number, old in enumerate(kept)} | {-1: -1}  # -1: an optional input left out

    for holder in (graph, *graph.operators):
        holder.inputs = [new[tensor] for tensor in holder.inputs]
        holder.outputs = [new[tensor] for tensor in holder.outputs]
    for signature in signatures:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = new[entry.tensorIndex]


def _shape(graph: Any, tensor: int) -> list[int]:
    return list(graph.tensors[tensor].shape)
