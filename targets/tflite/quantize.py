"""Apply a recipe to a float .tflite with ai-edge-quantizer."""

from pathlib import Path
from typing import Any

__all__ = ["to_float16_weights"]


def to_float16_weights(path: Path) -> bytes:
    """Return the file with the weights of convolutions and linear layers in float16; it computes in float32."""
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
    )
    engine: Any = quantizer.Quantizer(str(path))
    for op in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
        engine.update_quantization_recipe(".*", qtyping.TFLOperationName[op], config, AlgorithmName.FLOAT_CASTING)
    return bytes(engine.quantize().quantized_model)
