"""Which operations of a .tflite become int8: a graph of a few named operations is enough to see the rules."""

from mobile_kit.quantization.parts import Part
from targets.tflite.operations import Operation
from targets.tflite.quantize import choose_int8, is_fast

IMAGE = 0


def operation(kind: str, number: int, reads: set[int], part: str = "other", block: str = "") -> Operation:
    """One that makes the tensor of its number."""
    return Operation(kind, f"{kind} {number}", Part(part, block), frozenset(reads), frozenset({number}), IMAGE in reads)


def chosen(*operations: Operation, float_parts: tuple[str, ...] = ()) -> list[int]:
    parts = {op.part for op in operations if is_fast(op) and not op.part.among(float_parts)}
    names = choose_int8(operations, parts)
    return [min(op.outputs) for op in operations if op.name in names]


def test_layers_are_int8_and_softmax_norms_and_products_are_not() -> None:
    assert chosen(
        operation("CONV_2D", 1, {IMAGE}, "convolutions"),
        operation("MUL", 2, {1}, "norms"),
        operation("FULLY_CONNECTED", 3, {2}, "linear layers"),
        operation("BATCH_MATMUL", 4, {3}, "attention products"),
        operation("FULLY_CONNECTED", 5, {3, 4}, "attention products"),
        operation("SOFTMAX", 6, {4}, "softmax"),
        operation("GELU", 7, {6}, "activations"),
        operation("ADD", 8, {3, 7}, "residual adds"),
    ) == [1, 3, 8]


def test_a_part_can_be_left_in_float_by_any_of_its_names() -> None:
    operations = (
        operation("CONV_2D", 1, {IMAGE}, "convolutions", "stages.0"),
        operation("ADD", 2, {1}, "residual adds", "stages.0"),
        operation("ADD", 3, {2}, "residual adds", "stages.1"),
    )
    assert chosen(*operations, float_parts=("residual adds",)) == [1]
    assert chosen(*operations, float_parts=("stages.0",)) == [3]
    assert chosen(*operations, float_parts=("residual adds of stages.1",)) == [1, 2]


def test_a_part_that_a_static_file_leaves_in_float_can_be_measured_in_int8() -> None:
    operations = (
        operation("CONV_2D", 1, {IMAGE}, "convolutions"),
        operation("MUL", 2, {1}, "norms"),
        operation("RSQRT", 3, {2}, "norms"),
        operation("GELU", 4, {3}, "activations"),
    )
    norms, gelu = ({op.part for op in operations if op.part.kind == kind} for kind in ("norms", "activations"))
    assert choose_int8(operations, norms) == {"MUL 2", "RSQRT 3"}
    assert choose_int8(operations, gelu) == {"GELU 4"}


def test_bytes_are_moved_as_bytes() -> None:
    """The image's padding before the first convolution must not be floats."""
    assert chosen(operation("PAD", 1, {IMAGE}), operation("CONV_2D", 2, {1}, "convolutions")) == [1, 2]


def test_values_are_moved_in_int8_where_they_come_so_or_all_go_where_they_are_wanted_so() -> None:
    assert chosen(
        operation("CONV_2D", 1, {IMAGE}, "convolutions"),
        operation("RESHAPE", 2, {1}),  # comes so, and goes to a norm
        operation("MUL", 3, {2}, "norms"),
        operation("TRANSPOSE", 4, {3}),  # comes in float, and goes to a layer only, through another
        operation("RESHAPE", 5, {4}),
        operation("FULLY_CONNECTED", 6, {5}, "linear layers"),
        operation("RESHAPE", 7, {3}),  # float to float
        operation("SOFTMAX", 8, {7}, "softmax"),
    ) == [1, 2, 4, 5, 6]


def test_what_ranked_noise_decides_stays_exact() -> None:
    assert chosen(
        operation("SUM", 1, {IMAGE}, "always float"),
        operation("SUB", 2, {1}),  # one minus what is kept
        operation("RESHAPE", 3, {2}),
        operation("CONV_2D", 4, {IMAGE}, "convolutions"),
        operation("MUL", 5, {3, 4}),
    ) == [4, 5]
