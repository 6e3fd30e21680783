"""Run a .mlpackage: with Core ML on a Mac, with the interpreter elsewhere."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mobile_kit.errors import ArtifactError
from mobile_kit.models.spec import Array, TensorSpec
from mobile_kit.target_api.interface import as_array
from targets.coreml.mil import Feature, Interpreter, MilError, Op, Port, Program, Ref, read_program

__all__ = ["CoreMLRuntime", "MilRuntime"]

Described = dict[str, tuple[tuple[int, ...], str]]


class MilRuntime:
    """The package executed with torch, in the precision that it declares."""

    native = False

    def __init__(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        try:
            self.program = read_program(path)
            self._interpreter = Interpreter(self.program)
        except MilError as exc:
            raise ArtifactError(str(exc)) from exc
        self.name = "mil interpreter (torch; no Core ML on this machine)"
        self._outputs, self._specs, self.labels = outputs, inputs, _labels(self.program)
        self.inputs, self.outputs = _inputs(self.program), _outputs(self.program)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name; a classifier's probabilities are in the order of its labels."""
        planes = {spec.name: _planes(inputs[spec.name], spec) for spec in self._specs}
        threads = torch.get_num_threads()
        # These small operations run 10 times slower on more threads where the cores are shared.
        torch.set_num_threads(1)
        try:
            results = self._interpreter.run(planes).outputs
        finally:
            torch.set_num_threads(threads)
        return {spec.name: _as_output(results[spec.name], spec, self.labels) for spec in self._outputs}


class CoreMLRuntime:
    """The package run by Core ML itself. Needs a Mac."""

    native = True

    def __init__(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        import coremltools as ct

        self.name = f"Core ML, macOS {platform.mac_ver()[0]}"
        program = read_program(path)
        self._outputs, self._specs, self.labels = outputs, inputs, _labels(program)
        self._model = ct.models.MLModel(str(path))
        self.inputs, self.outputs = _inputs(program), _outputs(program)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name; a classifier's probabilities are in the order of its labels."""
        results = self._model.predict({spec.name: _feature(inputs[spec.name], spec) for spec in self._specs})
        return {spec.name: _as_output(results[spec.name], spec, self.labels) for spec in self._outputs}


def _feature(value: Array, spec: TensorSpec) -> Any:
    """Return what Core ML takes: a picture for an image input."""
    if spec.meaning != "image":
        return value
    return Image.fromarray(value[0, :, :, 0] if spec.color == "GRAY" else value[0])


def _planes(value: Array, spec: TensorSpec) -> Array:
    """Return what Core ML makes of a pixel buffer: (1, C, H, W), 0..255."""
    return value.transpose(0, 3, 1, 2) if spec.meaning == "image" else value


def _labels(program: Program) -> tuple[str, ...] | None:
    """Return a classifier's labels in the order of its probabilities, None for another model."""
    classify = _classify(program)
    return None if classify is None else tuple(classify.inputs["classes"][0])  # type: ignore[arg-type]


def _classify(program: Program) -> Op | None:
    """Return the operation that makes a label and a dictionary of probabilities, None where there is none."""
    return next((op for op in program.ops if op.type == "classify"), None)


def _as_output(value: Any, spec: TensorSpec, labels: tuple[str, ...] | None) -> Array:
    if isinstance(value, Mapping):  # by label; Core ML's own dictionary has no order
        value = np.array([value[label] for label in labels or ()]).reshape(spec.shape)
    return as_array(value, spec)


def _inputs(program: Program) -> Described:
    return {feature.name: _described(feature) for feature in program.inputs}


def _outputs(program: Program) -> Described:
    """A dictionary of probabilities counts as the tensor that it is made of; the label is no tensor."""
    return {
        feature.name: _vector(program) if feature.kind == "probabilities" else _described(feature)
        for feature in program.outputs
        if feature.kind != "label"
    }


def _vector(program: Program) -> tuple[tuple[int, ...], str]:
    classify = _classify(program)
    assert classify is not None, "only a classifier has an output of that kind"
    names = {argument.name for argument in classify.inputs["probabilities"] if isinstance(argument, Ref)}
    return next(_described(port) for op in program.ops for port in op.outputs if port.name in names)


def _described(feature: Feature | Port) -> tuple[tuple[int, ...], str]:
    """An image counts as the bytes (1, H, W, C) of its pixel buffer."""
    shape = tuple(size or 0 for size in feature.shape or ())
    if isinstance(feature, Feature) and feature.kind == "image":
        return (shape[0], shape[2], shape[3], shape[1]), "uint8"
    return shape, feature.dtype
