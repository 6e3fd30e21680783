"""The operations of a float .tflite, each with the part of the network that it computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mobile_kit.models.spec import CommonModel
from mobile_kit.quantization.parts import LAST, LAYERS, OTHER, Part, parts_of

__all__ = ["Operation", "read_operations", "scopes"]

# They move values and change none.
LAYOUT = frozenset({"CONCATENATION", "PACK", "PAD", "RESHAPE", "SLICE", "SPLIT", "STRIDED_SLICE", "TRANSPOSE"})

CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})  # linear layers are among them
PRODUCTS = frozenset({"BATCH_MATMUL", "FULLY_CONNECTED"})  # of two activations
# Behind a linear layer stands a RESHAPE: the convolution that gives an output is one of the model.
LAST_KINDS = {"CONV_2D": "convolutions", "SOFTMAX": "softmax"}


@dataclass(frozen=True)
class Operation:
    """One operation. name: of its first output, as the quantizer knows it. inputs, outputs: tensors by number.

    reads_entry: whether it reads an input of the file.
    """

    kind: str
    name: str
    part: Part
    inputs: frozenset[int]
    outputs: frozenset[int]
    reads_entry: bool

    @property
    def is_layout(self) -> bool:
        """Whether it moves values only."""
        return self.kind in LAYOUT


def scopes(model: CommonModel) -> dict[str, Part]:
    """Return the parts of a model by what litert-torch calls its modules: the classes and names on the way to each."""
    parts = parts_of(model)
    found: dict[str, Part] = {}
    scope_of: dict[str, str] = {}
    for path, module in model.named_modules():
        outer, _, attribute = path.rpartition(".")
        kind = f"{type(module).__module__}.{type(module).__qualname__}"
        # A list is never called, and leaves no trace in the names.
        listed = isinstance(module, nn.ModuleList)
        scope_of[path] = scope_of[outer] if listed else f"{scope_of[outer]}/{kind}_{attribute}" if path else kind
        found.setdefault(scope_of[path], parts[path])
        # Of what is around a module, only what is called too is in the names.
        found.setdefault(f"{kind}_{attribute}", parts[path])
    return found


def read_operations(path: Path, parts: Mapping[str, Part]) -> list[Operation]:
    """Read a .tflite that litert-torch wrote. parts: by scope, see `scopes`."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    names = {int(tensor["index"]): str(tensor["name"]) for tensor in interpreter.get_tensor_details()}
    entries = {int(detail["index"]) for detail in interpreter.get_input_details()}
    made: dict[int, Operation] = {}
    for detail in interpreter._get_ops_details():
        inputs, outputs = (frozenset(int(tensor) for tensor in detail[role]) for role in ("inputs", "outputs"))
        name = names[int(detail["outputs"][0])]
        before = next((made[tensor].part for tensor in inputs if tensor in made), None)
        part = _part_of(detail["op_name"], name, parts) or _part_of_output(detail["op_name"], before)
        made |= dict.fromkeys(
            outputs, Operation(detail["op_name"], name, part, inputs, outputs, bool(inputs & entries))
        )
    return list(dict.fromkeys(made.values()))


def _part_of(kind: str, name: str, parts: Mapping[str, Part]) -> Part | None:
    """Return the part of an operation by its name; None for one that is called after an output of the file.

    What was fused from several operations is called after all of them, the last one first: a convolution after the
    activation behind it, a product after the reshape in front of the linear layer that reads it.
    """
    found = (parts.get(scope) or parts.get(scope.rpartition("/")[2]) for scope in name.split(";"))
    named = [part for part in found if part is not None]
    computing = [part for part in named if (part.kind in LAYERS) == (kind in CONVOLUTIONS)]
    return next(iter((computing if kind in CONVOLUTIONS | PRODUCTS else []) or named), None)


def _part_of_output(kind: str, before: Part | None) -> Part:
    """Return the part of an operation that gives an output of the file, and is called after that."""
    if kind in LAST_KINDS:
        return Part(LAST_KINDS[kind], "", LAST)
    return before or Part(OTHER, "")
