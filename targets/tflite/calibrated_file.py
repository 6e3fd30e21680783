"""A float .tflite with the ranges of its tensors, of which any parts can be made int8."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mobile_kit.models.spec import Array, CommonModel
from mobile_kit.quantization.parts import KINDS, FloatPart, Part
from mobile_kit.target_api.interface import Lowered, Request
from targets.tflite.lower import convert, describe
from targets.tflite.metadata import set_tensor_names
from targets.tflite.operations import read_operations, scopes
from targets.tflite.quantize import choose_int8, is_fast, measure_ranges, to_int8
from targets.tflite.runtime import TFLiteRuntime

__all__ = ["CalibratedFile"]


class CalibratedFile:
    """See `target.Calibrated`. What it computes is what a file of the same parts does: it is one, run by LiteRT."""

    def __init__(
        self, model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]], folder: Path
    ) -> None:
        self._spec, self._request = model.spec, request
        self._float, self._tried = folder / "float.tflite", folder / "tried.tflite"
        # Bytes that are to be quantized numbers must be numbers first.
        convert(model, ["float32"] * len(model.spec.inputs), self._float)
        self._operations = read_operations(self._float, scopes(model))
        self._ranges = measure_ranges(self._float, samples, model.spec.inputs)
        self.static = frozenset(op.part for op in self._operations if is_fast(op))
        known = frozenset(op.part for op in self._operations if not op.is_layout)
        self.parts = frozenset(part for part in known if part.kind != "always float")

    def run(self, int8: Collection[Part], samples: Sequence[Mapping[str, Array]]) -> Iterator[Mapping[str, Array]]:
        """Compute the outputs by name with some parts in int8, one mapping a sample."""
        content = self._quantized(choose_int8(self._operations, int8), image=False) if int8 else None
        names = [[tensor.name for tensor in tensors] for tensors in (self._spec.inputs, self._spec.outputs)]
        self._tried.write_bytes(set_tensor_names(content or self._float.read_bytes(), *names))
        runtime = TFLiteRuntime(self._tried, threads=1)
        for sample in samples:
            yield runtime.run({name: np.asarray(value, dtype=np.float32) for name, value in sample.items()})

    def write(self, int8: Collection[Part], path: Path) -> Lowered:
        """Write the file with some of the parts `static` in int8."""
        chosen = choose_int8(self._operations, int8)
        computing = [op for op in self._operations if not op.is_layout]
        content = self._quantized(chosen, image=self._spec.inputs[0].meaning == "image")
        left = {op.part.kind for op in computing if op.name not in chosen}
        float_parts = tuple(FloatPart(kind) for kind in KINDS if kind in left)
        return describe(content, self._spec, self._request, float_parts, path)

    def _quantized(self, chosen: frozenset[str], image: bool) -> bytes:
        return to_int8(self._float, chosen, self._operations, self._ranges, image)
