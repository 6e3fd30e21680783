"""Which operation of a .tflite, and which module of the model, each of XNNPACK's kernels comes from.

The delegate fuses, drops and adds kernels but keeps their order, so kernels and operations are two sequences to align.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mobile_kit.measurements.result import Op

__all__ = ["read_trace"]

# What a kernel computes, by the first words of its name. A product that was fused into another has no kernel.
COMPUTES = {
    "Add": {"ADD"},
    "Average Pooling": {"AVERAGE_POOL_2D"},
    "Batch Matrix Multiply": {"BATCH_MATMUL"},
    "Clamp": {"RELU", "RELU6"},
    "Constant Pad": {"PAD"},
    "Convert": {"CAST", "DEQUANTIZE", "QUANTIZE"},
    "Convolution": {"CONV_2D", "DEPTHWISE_CONV_2D"},
    "Copy": {"CONCATENATION"},
    "Fully Connected": {"BATCH_MATMUL", "CONV_2D", "FULLY_CONNECTED"},
    "GELU": {"GELU"},
    "Invalid Unary Op": {"GELU", "LOGISTIC"},
    "Maximum": {"MAXIMUM"},
    "Mean": {"MEAN"},
    "Mean Squared": {"MEAN"},
    "Multiply": {"MUL"},
    "Reciprocal Square Root": {"RSQRT"},
    "Sigmoid": {"LOGISTIC"},
    "Slice": {"SLICE"},
    "Softmax": {"SOFTMAX"},
    "Static Reshape": {"RESHAPE"},
    "Subtract": {"SUB"},
    "Transpose": {"TRANSPOSE"},
}
# A module in the names of litert-torch: its class, with its package or without, and what it is called in the module
# around it.
SCOPE = re.compile(r"(?:[\w.]*\.)?_?[A-Z][A-Za-z0-9]*_(\w+)")
# What the kit puts around a model calls it so.
AROUND = ("model", "front")


def read_trace(said: Mapping[str, Any]) -> tuple[Op, ...]:
    """Return the kernels of a model with their times. said: what tracer.py printed."""
    kernels, operations = said["kernels"], said["operations"]
    whole = sum(us for _, us in kernels) or 1.0
    places = _aligned([name for name, _ in kernels], [kind for kind, _ in operations])
    found, module = [], None
    for (name, us), place in reversed(list(zip(kernels, places, strict=True))):
        # A kernel that was added stands in front of what it is for.
        module = module if place is None else module_of(operations[place][1])
        kind = name if place is None else operations[place][0]
        delegate = None if name == kind and place is not None else "XNNPACK"
        found.append(Op(name, kind, mean_us=us, percent=100 * us / whole, calls=1, delegate=delegate, module=module))
    return tuple(reversed(found))


def module_of(tensor: str) -> str | None:
    """Return the path of the module that makes a tensor, by its name; None where the name has none.

    Lists of modules leave no trace in the names: stages.2.layers.0 is 2.0 here.
    """
    parts = [SCOPE.fullmatch(part) for part in tensor.partition(";")[0].split("/")[1:]]
    names = [part[1] for part in parts if part]
    while names and names[0] in AROUND:
        names.pop(0)
    return ".".join(names) or None


def _aligned(kernels: Sequence[str], kinds: Sequence[str]) -> list[int | None]:
    """Return the place of each kernel's operation, None for one that was added: a longest common subsequence."""
    wanted = [COMPUTES.get(name.partition(" (")[0], {name}) for name in kernels]
    most = [[0] * (len(kinds) + 1) for _ in range(len(kernels) + 1)]
    for row in range(len(kernels) - 1, -1, -1):
        for column in range(len(kinds) - 1, -1, -1):
            same = most[row + 1][column + 1] + 1 if kinds[column] in wanted[row] else 0
            most[row][column] = max(same, most[row + 1][column], most[row][column + 1])
    places: list[int | None] = []
    column = 0
    for row in range(len(kernels)):
        # The first operation that keeps the alignment as long as it can be.
        left = most[row][column]
        place = next(
            (
                each
                for each in range(column, len(kinds))
                if kinds[each] in wanted[row] and most[row + 1][each + 1] + 1 == left
            ),
            None,
        )
        places.append(place)
        column = column if place is None else place + 1
    return places
