"""What a saved package takes and gives, and the same model with arrays alone, which coremltools' app needs."""

from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np

__all__ = ["Package"]

MIL, FEATURES = ct.proto.MIL_pb2, ct.proto.FeatureTypes_pb2
# A tensor's type as numpy has it, and as a model's description has it.
DTYPES = {MIL.FLOAT16: np.float16, MIL.FLOAT32: np.float32, MIL.INT32: np.int32}
ARRAYS = {
    MIL.FLOAT16: FEATURES.ArrayFeatureType.FLOAT16,
    MIL.FLOAT32: FEATURES.ArrayFeatureType.FLOAT32,
    MIL.INT32: FEATURES.ArrayFeatureType.INT32,
}


class Package:
    """A package as it is.

    images: names of the inputs that are. types: of every input and output in the program, by the feature's name.
    probabilities: the name of a classifier's; vector: theirs in the program; labels: their order. Empty for others.
    """

    def __init__(self, path: str) -> None:
        self.path, self.spec = path, ct.utils.load_spec(path)
        self.weights = str(Path(path, "Data/com.apple.CoreML/weights"))
        self._function = self.spec.mlProgram.functions["main"]
        self._block = self._function.block_specializations[self._function.opset]
        self.images = [each.name for each in self.spec.description.input if each.type.HasField("imageType")]
        self.types = {each.name: each.type.tensorType for each in self._function.inputs}
        made = {out.name: out.type.tensorType for op in self._block.operations for out in op.outputs}
        self.vector, self.labels, self._classify = "", [], None
        for op in self._block.operations:
            if op.type == "classify":
                self._classify, self.vector = op, op.inputs["probabilities"].arguments[0].name
                self.labels = _strings(self._block, op.inputs["classes"].arguments[0])
        self.probabilities = self.spec.description.predictedProbabilitiesName
        for each in self.spec.description.output:
            if each.name == self.probabilities or each.name in made:
                self.types[each.name] = made[self.vector if each.name == self.probabilities else each.name]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs that are tensors, a classifier's probabilities among them."""
        given = [each.name for each in self.spec.description.output]
        return [each for each in given if each != self.spec.description.predictedFeatureName]

    def array(self, key: str, content: bytes) -> Any:
        """Return the array that raw little-endian bytes are; those of an image are a pixel buffer's (H, W, C)."""
        kind = self.types[key]
        if key in self.images:
            _, channels, height, width = _shape(kind)
            return np.frombuffer(content, np.uint8).reshape(height, width, channels)
        dtype = np.dtype(DTYPES[kind.dataType])
        return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(_shape(kind))

    def content(self, key: str, values: Any) -> bytes:
        """Return an output as raw little-endian bytes of the type that the program gives it."""
        return np.asarray(values).astype(np.dtype(DTYPES[self.types[key].dataType]).newbyteorder("<")).tobytes()

    def zeros(self) -> dict[str, bytes]:
        """Return inputs of zeros."""
        found = {}
        for each in self.spec.description.input:
            kind = self.types[each.name]
            size = 1 if each.name in self.images else np.dtype(DTYPES[kind.dataType]).itemsize
            found[each.name] = bytes(int(np.prod(_shape(kind))) * size)
        return found

    def of_arrays(self) -> Any:
        """Return the description and program of the same model with arrays for images and dictionaries."""
        spec = ct.proto.Model_pb2.Model()
        spec.CopyFrom(self.spec)
        for each in spec.description.input:
            if each.name in self.images:
                _as_array(each, self.types[each.name])
        if self._classify is not None:
            function = spec.mlProgram.functions["main"]
            block = function.block_specializations[function.opset]
            gone = {out.name for op in block.operations if op.type == "classify" for out in op.outputs}
            _keep(block.operations, lambda op: op.type != "classify")
            left = [each for each in block.outputs if each not in gone]
            block.outputs[:] = [*left, self.vector]
            label = spec.description.predictedFeatureName
            _keep(spec.description.output, lambda each: each.name != label)
            for each in spec.description.output:
                if each.name == self.probabilities:
                    _as_array(each, self.types[each.name])
                    each.name = self.vector
            spec.description.predictedFeatureName = spec.description.predictedProbabilitiesName = ""
        return spec


def _keep(items: Any, wanted: Any) -> None:
    kept = [item for item in items if wanted(item)]
    del items[:]
    items.extend(kept)


def _as_array(feature: Any, kind: Any) -> None:
    feature.type.Clear()
    feature.type.multiArrayType.shape.extend(each.constant.size for each in kind.dimensions)
    feature.type.multiArrayType.dataType = ARRAYS[kind.dataType]


def _shape(kind: Any) -> tuple[int, ...]:
    return tuple(each.constant.size for each in kind.dimensions)


def _strings(block: Any, argument: Any) -> list[str]:
    """Return the strings of an argument, given as it is or as the name of a constant."""
    value = argument.value
    if argument.name:
        (constant,) = [op for op in block.operations if op.outputs and op.outputs[0].name == argument.name]
        value = constant.attributes["val"]
    inner = value.immediateValue
    if inner.HasField("list"):
        return [each.immediateValue.tensor.strings.values[0] for each in inner.list.values]
    return list(inner.tensor.strings.values)
