"""What XNNPACK's quantizer is let take: no more than was asked for, and what only moves it."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import pytest
import torch

from mobile_kit.checkpoints.load import load
from mobile_kit.models.outputs import select_outputs
from mobile_kit.preprocessing.in_graph import attach
from mobile_kit.quantization.parts import LAYERS, Part, parts_of
from mobile_kit.target_api.pt2e import is_annotated
from targets.executorch.quantize import NEVER, SLOW, quantizer_for
from tests.exports import CHECKPOINTS


@functools.cache
def exported() -> tuple[Any, dict[str, Part]]:
    """CvT with its class token, which joins the tokens of the map in the last stage."""
    checkpoint = load(str(CHECKPOINTS / "cvt-digits"))
    built = checkpoint.family.build(checkpoint.model, "classification", checkpoint.image_size, ())
    model = attach(select_outputs(built, checkpoint.head, ("logits",)), checkpoint.preprocess, "uint8_nhwc", False)
    image = torch.zeros(model.spec.inputs[0].shape, dtype=torch.uint8)
    return torch.export.export(model.eval(), (image,)), parts_of(model)


def annotated(wanted: Callable[[Part], bool]) -> tuple[Any, list[Any]]:
    """Return the quantizer and the operations that it took of those that are asked for."""
    program, parts = exported()
    module, quantizer = program.module(), quantizer_for(wanted, parts)
    quantizer.annotate(module)
    return quantizer, [node for node in module.graph.nodes if node.op == "call_function" and is_annotated(node)]


def joining(nodes: Collection[Any]) -> int:
    return sum(node.target is torch.ops.aten.cat.default for node in nodes)


@pytest.mark.parametrize("end", ["first layer", "last layer"])
def test_nothing_is_taken_but_what_was_asked_for(end: str) -> None:
    quantizer, nodes = annotated(lambda part: part.end == end)
    assert {part.end for part in quantizer.taken} == {end}
    # The quantizer's own takes every concatenation, those of the float stream of tokens too.
    assert joining(nodes) == 0
    assert {part.kind for part in quantizer.left} >= {*LAYERS, "norms", "softmax"}


def test_tokens_are_joined_in_integers_where_layers_want_them() -> None:
    # What goes to queries, keys and values in the three layers of the stage, the last of which has one query. The
    # stream itself begins with the result of a norm, which is float.
    for wanted in (lambda part: part.kind in LAYERS, lambda part: part.kind not in {*NEVER, *SLOW, "always float"}):
        quantizer, nodes = annotated(wanted)
        assert joining(nodes) == 8
    left = {part.kind for part in quantizer.left}
    assert {"softmax", "norms", "attention products", "activations"} <= left
    assert not {"residual adds", *LAYERS} & left
