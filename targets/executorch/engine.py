"""Run a .pte with ExecuTorch's Python runtime for the kit's runner: torch and the runtime are all that it needs.

It is put on devices, so it imports nothing of the kit.
"""

from __future__ import annotations

import sys

import torch
from executorch.runtime import Runtime

# executorch/runtime/core/portable_type/scalar_type.h
DTYPES = {
    0: torch.uint8,
    1: torch.int8,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    11: torch.bool,
}


def name() -> str:
    """Return the runtime's name and version."""
    from importlib.metadata import version

    return "ExecuTorch " + version("executorch")


def _set_threads(count: int) -> None:
    # The only way to it from Python; a runtime that lacks it has its own choice, which is the big cores.
    try:
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    except ImportError:
        sys.exit("this ExecuTorch can't be told how many threads to use: give --threads auto")
    _unsafe_reset_threadpool(count)


class Model:
    """A loaded file. threads: None for the runtime's own choice."""

    def __init__(self, path: str, threads: int | None) -> None:
        if threads is not None:
            _set_threads(threads)
        self._program = Runtime.get().load_program(path)
        self._method = self._program.load_method("forward")
        self._names: dict[str, list[str]] = {}
        self._values: list[torch.Tensor] = []
        self._results: list[torch.Tensor] = []

    def partitions(self) -> int | None:
        """Return None: the runtime doesn't say in how many pieces the delegate has the graph."""
        return None

    def enter(self, inputs: dict[str, bytes]) -> None:
        """Set the inputs, raw little-endian bytes by name."""
        meta = self._method.metadata
        self._values = []
        for number, key in enumerate(self._lines("get_input_names")):
            tensor = meta.input_tensor_meta(number)
            values = torch.frombuffer(bytearray(inputs[key]), dtype=DTYPES[int(tensor.dtype())])
            self._values.append(values.reshape(tuple(tensor.sizes())))

    def run(self) -> None:
        """Compute once."""
        self._results = self._method.execute(self._values)

    def outputs(self) -> dict[str, bytes]:
        """Return the outputs, raw little-endian bytes by name."""
        return {
            key: value.numpy().tobytes()
            for key, value in zip(self._lines("get_output_names"), self._results, strict=True)
        }

    def _lines(self, method: str) -> list[str]:
        """Return the lines that a constant method of the file gives, asked for once."""
        if method not in self._names:
            (text,) = self._program.load_method(method).execute([])
            self._names[method] = str(text).split("\n")
        return self._names[method]
