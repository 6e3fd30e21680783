"""Run a .tflite with LiteRT or tflite-runtime for the kit's runner: numpy and the runtime are all that it needs.

It is put on devices, so it imports nothing of the kit.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
NAMES = {"ai-edge-litert": "LiteRT", "tflite-runtime": "tflite-runtime"}


def _installed() -> tuple[str, Any]:
    for package, module in MODULES.items():
        try:
            return package, importlib.import_module(module).Interpreter
        except ModuleNotFoundError as exc:
            if exc.name != module.partition(".")[0]:
                sys.exit(package + " needs " + str(exc.name) + ", which isn't installed for " + sys.executable)
        except ImportError as exc:
            sys.exit(package + " doesn't start: " + str(exc))
    sys.exit("neither ai-edge-litert nor tflite-runtime is installed for " + sys.executable)


PACKAGE, Interpreter = _installed()


def name() -> str:
    """Return the runtime's name, with the version where it is known."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return NAMES[PACKAGE] + " " + version(PACKAGE)
    except PackageNotFoundError:
        return NAMES[PACKAGE]  # from a package of another name, such as a nightly one


def _described(detail: dict[str, Any]) -> list[Any]:
    return [detail["name"], [int(size) for size in detail["shape"]], np.dtype(detail["dtype"]).name]


class Model:
    """A loaded file. threads: None for the runtime's own choice."""

    def __init__(self, path: str, threads: int | None) -> None:
        self._interpreter = Interpreter(path, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    def described(self) -> tuple[list[list[Any]], list[list[Any]]]:
        """Return name, shape and dtype of each input, and of each output."""
        ins, outs = ([_described(detail) for detail in details] for details in (self._inputs, self._outputs))
        return ins, outs

    def partitions(self) -> int | None:
        """Return in how many pieces the delegate has the graph, None where the runtime doesn't say."""
        try:
            operations = self._interpreter._get_ops_details()
        except AttributeError:
            return None
        return sum(each["op_name"] == "DELEGATE" for each in operations)

    def enter(self, inputs: dict[str, bytes]) -> None:
        """Set the inputs, raw little-endian bytes by name."""
        for detail in self._inputs:
            values = np.frombuffer(inputs[detail["name"]], np.dtype(detail["dtype"]).newbyteorder("<"))
            self._interpreter.set_tensor(detail["index"], values.astype(detail["dtype"]).reshape(detail["shape"]))

    def run(self) -> None:
        """Compute once."""
        self._interpreter.invoke()

    def outputs(self) -> dict[str, bytes]:
        """Return the outputs, raw little-endian bytes by name."""
        values = {each["name"]: self._interpreter.get_tensor(each["index"]) for each in self._outputs}
        return {key: value.astype(value.dtype.newbyteorder("<")).tobytes() for key, value in values.items()}
