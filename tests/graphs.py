"""What no graph of ours may hold, on any target."""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from mobile_kit.models.spec import CommonModel

# What one delegate or another lacks, or computes element by element; boolean masks become these too. Names as torch,
# Core ML, LiteRT and ExecuTorch write them: Core ML's slice_by_index is a plain slice.
SHATTERING = re.compile(
    r"as_strided|col2im|fold|gather|im2col|(?<!slice_by_)index|non_?zero|repeat|scatter|sort|split|stack|tile|top_?k"
    r"|unbind|where"
)


def shattering(ops: Iterable[str]) -> list[str]:
    """Return those of the operations that no graph may hold."""
    return [op for op in ops if SHATTERING.search(op.lower())]


def assert_plain(model: CommonModel, inputs: tuple[Tensor, ...], rank: int) -> set[str]:
    """Hold a common model's graph against that list, and its tensors against the most axes; return its operations."""
    # Core ATen, as the converters see it, where a composite could still unfold.
    program = torch.export.export(model, inputs).run_decompositions()
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    # What has no schema is Python's getitem, which takes the first result of native_layer_norm.
    ops = {node.target._schema.name.split("::")[1] for node in calls if hasattr(node.target, "_schema")}
    assert {"convolution", "permute"} <= ops
    assert not shattering(ops)
    values = [node.meta.get("val") for node in calls]
    assert max(value.dim() for value in values if isinstance(value, Tensor)) <= rank
    return ops
