"""Run a .pte with ExecuTorch's own runtime."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mobile_kit.errors import ArtifactError, last_line
from mobile_kit.models.spec import Array, TensorSpec
from mobile_kit.target_api.captured_output import captured_stderr
from mobile_kit.target_api.interface import as_array

__all__ = ["ExecuTorchRuntime"]

# executorch/runtime/core/portable_type/scalar_type.h
DTYPES = {0: "uint8", 1: "int8", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 11: "bool"}


class ExecuTorchRuntime:
    """A loaded .pte. Its tensors have no names of their own: what its constant methods call them, in order."""

    native = True

    def __init__(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        with captured_stderr():  # the import brings torchao, which warns of its own compiled parts
            from executorch.runtime import Runtime

        self.name = f"ExecuTorch {version('executorch')}"
        self._outputs = outputs
        with captured_stderr() as words:
            try:
                program = Runtime.get().load_program(path)
                self._method = program.load_method("forward")
            except (RuntimeError, ValueError, OSError) as exc:
                reason = last_line(words().strip() or str(exc))
                raise ArtifactError(f"file {path.name}: ExecuTorch can't load it here ({reason}).") from exc
        meta = self._method.metadata
        self.labels = tuple(_lines(program, "get_labels")) or None
        self.inputs = _described(_lines(program, "get_input_names"), meta.num_inputs(), meta.input_tensor_meta)
        self.outputs = _described(_lines(program, "get_output_names"), meta.num_outputs(), meta.output_tensor_meta)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name."""
        results = self._method.execute([torch.from_numpy(inputs[name]) for name in self.inputs])
        values = {name: value.numpy() for name, value in zip(self.outputs, results, strict=True)}
        return {spec.name: as_array(values[spec.name], spec) for spec in self._outputs}


def _lines(program: Any, method: str) -> list[str]:
    """Return the lines that a constant method of the file gives, none where the file lacks it."""
    if method not in program.method_names:
        return []
    (text,) = program.load_method(method).execute([])
    return str(text).split("\n") if text else []


def _described(names: list[str], count: int, meta: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    names = names + [f"unnamed.{i}" for i in range(len(names), count)]
    tensors = [meta(i) for i in range(count)]
    return {
        name: (tuple(tensor.sizes()), DTYPES.get(int(tensor.dtype()), str(tensor.dtype())))
        for name, tensor in zip(names, tensors, strict=False)
    }
