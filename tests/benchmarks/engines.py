"""Inference engines behind one signature: (file, example input, threads) to a function that runs it once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["LOADERS", "Run", "eager"]

Run = Callable[[], NDArray[Any]]
"""Runs the engine once; returns the first output."""


def eager(model: nn.Module, values: NDArray[np.float32]) -> Run:
    """Torch without any compilation. Threads are those of `torch.set_num_threads`."""
    pixel_values = torch.from_numpy(values)

    def run() -> NDArray[Any]:
        with torch.inference_mode():
            output: NDArray[Any] = model(pixel_values).numpy()
        return output

    return run


def executorch(path: Path, values: NDArray[np.float32], threads: int) -> Run:
    """ExecuTorch's own runtime."""
    from executorch.extension.pybindings.portable_lib import _load_for_executorch

    _set_executorch_threads(threads)
    module = _load_for_executorch(str(path))
    inputs = (torch.from_numpy(values),)
    return lambda: module.forward(inputs)[0].numpy()


def litert(path: Path, values: NDArray[np.float32], threads: int) -> Run:
    """LiteRT's interpreter with its default XNNPACK delegate."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run() -> NDArray[Any]:
        interpreter.set_tensor(entry, values)
        interpreter.invoke()
        output: NDArray[Any] = interpreter.get_tensor(result)
        return output

    return run


def onnx_runtime(path: Path, values: NDArray[np.float32], threads: int) -> Run:
    """ONNX Runtime on the CPU. All but the number of threads is its default, spinning included."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: values})[0]


def openvino(path: Path, values: NDArray[np.float32], threads: int) -> Run:
    """OpenVINO on the CPU, tuned for latency, in float32 (by default it takes bfloat16 where the CPU has it)."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
    return lambda: request.infer([values])[0]


LOADERS: dict[str, Callable[[Path, NDArray[np.float32], int], Run]] = {
    "ExecuTorch": executorch,
    "LiteRT": litert,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
}


@cache
def _set_executorch_threads(threads: int) -> None:
    """Once only: the pool is one for the process, and loaded programs go on using it."""
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool

    _unsafe_reset_threadpool(threads)
