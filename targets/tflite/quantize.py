"""Apply a recipe to a float .tflite with ai-edge-quantizer."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit.errors import LoweringError
from mobile_kit.models.spec import Array, TensorSpec
from mobile_kit.quantization.parts import Part
from targets.tflite.operations import Operation
from targets.tflite.tflite_file import pack, unpack

__all__ = [
    "Ranges",
    "choose_int8",
    "is_fast",
    "measure_ranges",
    "to_dynamic",
    "to_float16_weights",
    "to_int8",
    "to_int8_weights",
]

Ranges = dict[str, Any]
"""The least and greatest value of tensors by name, as the quantizer has them."""
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# What LiteRT's XNNPACK delegate computes in int8. The rest, such as GELU or a product of two activations, would run on
# LiteRT's own kernels between two delegates: a whole ViTMSN in int8 takes 1.5 times as long as in float.
INT8 = frozenset({*WEIGHTED, "ADD", "LOGISTIC", "MEAN", "MUL", "RELU", "SUB"})
FLOAT_KINDS = ("softmax", "norms", "always float")


def to_float16_weights(path: Path) -> bytes:
    """Return the file with the weights of convolutions and linear layers in float16; it computes in float32."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
    )
    engine = _engine(path)
    for kind in WEIGHTED:
        engine.update_quantization_recipe(".*", qtyping.TFLOperationName[kind], config, AlgorithmName.FLOAT_CASTING)
    return _quantized(engine)


def to_int8_weights(path: Path) -> bytes:
    """Return the file with the weights of convolutions and linear layers in int8; it computes in float32."""
    engine = _engine(path)
    for kind in WEIGHTED:
        engine.add_weight_only_config(".*", kind, 8)
    return _quantized(engine)


def to_dynamic(path: Path) -> bytes:
    """Return the file with int8 weights whose linear layers and convolutions scale their inputs at each run.

    A depthwise convolution stays with int8 weights: no delegate takes it so.
    """
    engine = _engine(path)
    for kind in ("CONV_2D", "FULLY_CONNECTED"):
        engine.add_dynamic_config(".*", kind, 8)
    engine.add_weight_only_config(".*", "DEPTHWISE_CONV_2D", 8)
    return _quantized(engine)


def choose_int8(operations: Sequence[Operation], parts: Collection[Part]) -> frozenset[str]:
    """Return the names of the operations to compute in int8: those of some parts, and what moves values between them.

    Of a part that the delegate knows, those operations that it takes; of another, all that the quantizer takes.
    """
    makers = {tensor: op for op in operations for tensor in op.outputs}
    exact = _exact(operations, makers)
    known = {op.part for op in operations if is_fast(op)}
    computing = [op for op in operations if not op.is_layout and op.part in parts and not op.outputs <= exact]
    chosen = {op.name for op in computing if is_fast(op) or op.part not in known}
    int8 = {tensor for op in computing if op.name in chosen for tensor in op.outputs}
    layouts = [op for op in operations if op.is_layout and not op.outputs <= exact]
    return frozenset(chosen | _moving(layouts, makers, int8, _wanted(operations, chosen)))


def _moving(
    layouts: Sequence[Operation], makers: Mapping[int, Operation], int8: set[int], wanted: set[int]
) -> set[str]:
    """Return what moves values in int8: where they come so, or go where they are wanted so. int8: those that are."""
    chosen, int8 = set(), set(int8)
    for op in layouts:
        sources = [tensor for tensor in op.inputs if tensor in makers]
        if (sources and all(tensor in int8 for tensor in sources)) or op.outputs <= wanted:
            chosen.add(op.name)
            int8 |= op.outputs
    return chosen


def is_fast(op: Operation) -> bool:
    """Whether an operation is faster in int8 than in float."""
    # A product of two activations may come as a linear layer, whose weights then aren't constant.
    product = op.kind == "FULLY_CONNECTED" and op.part.kind == "attention products"
    return op.kind in INT8 and op.part.kind not in FLOAT_KINDS and not product


def _exact(operations: Sequence[Operation], makers: Mapping[int, Operation]) -> set[int]:
    """Return the tensors that depend on nothing but what is always float, such as a mask that ranked noise gives."""
    exact: set[int] = set()
    for op in operations:
        sources = [] if op.reads_entry else [tensor for tensor in op.inputs if tensor in makers]
        if op.part.kind == "always float" or (sources and all(tensor in exact for tensor in sources)):
            exact |= op.outputs
    return exact


def _wanted(operations: Sequence[Operation], chosen: set[str]) -> set[int]:
    """Return the tensors that none but int8 operations read, through operations that move values."""
    readers: dict[int, list[Operation]] = {}
    for op in operations:
        for tensor in op.inputs:
            readers.setdefault(tensor, []).append(op)
    wanted: set[int] = set()
    for op in reversed(operations):
        for tensor in op.outputs:
            reads = readers.get(tensor, [])
            if reads and all(r.outputs <= wanted if r.is_layout else r.name in chosen for r in reads):
                wanted.add(tensor)
    return wanted


def measure_ranges(path: Path, samples: Sequence[Mapping[str, Array]], inputs: Sequence[TensorSpec]) -> Ranges:
    """Return the least and greatest values of all tensors over all samples; a byte's are 0 and 255.

    The quantizer's own way to calibrate is a moving average of each, which costs 13 to 17 dB.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    everything = recipe_manager.RecipeManager()
    everything.load_quantization_recipe(recipe.static_wi8_ai8())
    measuring = calibrator.Calibrator(str(path), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    interpreter = Interpreter(str(path))
    signatures = interpreter.get_signature_list()
    (signature,) = signatures
    for sample in samples:
        values = (np.asarray(sample[spec.name], dtype=np.float32) for spec in inputs)
        named = dict(zip(sorted(signatures[signature]["inputs"]), values, strict=True))
        measuring.calibrate({signature: [named]}, everything)
    ranges: Ranges = measuring.get_model_qsvs()
    if inputs[0].dtype == "uint8":
        name = interpreter.get_input_details()[0]["name"]
        ranges[name] = {"min": np.zeros((1, 1, 1, 1)), "max": np.full((1, 1, 1, 1), 255.0)}
    return ranges


def to_int8(path: Path, int8: frozenset[str], operations: Sequence[Operation], ranges: Ranges, image: bool) -> bytes:
    """Return the file with the operations of some names in int8.

    image: its first input becomes the bytes of an image, with nothing in front that would turn them into floats.
    """
    from ai_edge_quantizer import qtyping

    kinds = qtyping.TFLOperationName
    engine = _engine(path)
    engine.add_static_config(".*", kinds.ALL_SUPPORTED, 8, 8)
    left = "|".join(re.escape(op.name) for op in operations if op.name not in int8)
    engine.update_quantization_recipe(f"^({left});?$", kinds.ALL_SUPPORTED, None, "no_quantize")
    for role in (kinds.INPUT, kinds.OUTPUT):
        engine.update_quantization_recipe(".*", role, None, "no_quantize")
    model = _quantized(engine, ranges)
    return _taking_bytes(model) if image else model


def _taking_bytes(model: bytes) -> bytes:
    """Let a file whose first input is made integers at once take the bytes of an image instead.

    Raises: LoweringError where something else reads it too.
    """
    from ai_edge_litert import schema_py_generated as schema

    container = unpack(model)
    graph, codes = container.model.subgraphs[0], container.model.operatorCodes
    image = graph.inputs[0]
    readers = {codes[op.opcodeIndex].builtinCode for op in graph.operators if image in op.inputs}
    if readers != {schema.BuiltinOperator.QUANTIZE}:
        raise LoweringError("image of an int8 file: is read as floats. Report it with the checkpoint's config.")
    # A byte is the number that it was measured as, 0 to 255.
    numbers = schema.QuantizationParametersT()
    numbers.scale, numbers.zeroPoint = [1.0], [0]
    graph.tensors[image].type, graph.tensors[image].quantization = schema.TensorType.UINT8, numbers
    return pack(container)


def _engine(path: Path) -> Any:
    from ai_edge_quantizer import quantizer

    return quantizer.Quantizer(str(path))


def _quantized(engine: Any, ranges: Ranges | None = None) -> bytes:
    return bytes(engine.quantize(ranges).quantized_model)
