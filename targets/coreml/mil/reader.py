"""An .mlpackage folder to a `Program`.

The protobuf is walked as it is: coremltools' own loader rebuilds the program and infers its types anew, this keeps
what the file declares.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any  # protobuf's generated classes have no types

import numpy as np

from mobile_kit.errors import one_line, shown
from mobile_kit.reading import ReadError, read_bytes, read_json_object
from targets.coreml.mil.blob import STORAGE, BlobFile, count_bytes, restore
from targets.coreml.mil.program import Argument, Const, Feature, FeatureKind, MilError, Op, Port, Program, Ref
from targets.coreml.mil.proto import load_proto

__all__ = ["read_program"]

MODEL_PATH = "@model_path/"
# Of the program; the weights lie beside it.
MOST_MODEL_BYTES = 1 << 30


def read_program(package: Path) -> Program:
    """Read the main function of an .mlpackage.

    Raises: MilError for a folder that isn't a package, a model that isn't an mlprogram, or damaged weights.
    """
    model_file = _find_model(package)
    from google.protobuf.message import DecodeError

    model: Any = load_proto().Model_pb2.Model()
    try:
        model.ParseFromString(read_bytes(model_file, MOST_MODEL_BYTES))
    except (DecodeError, ReadError) as exc:
        raise MilError(
            f"package {package}: {model_file.name} isn't a Core ML model ({one_line(exc)}). Export again."
        ) from exc
    if model.WhichOneof("Type") != "mlProgram":
        raise MilError(f"package {package}: it holds a {model.WhichOneof('Type')}, not an mlProgram. Known: mlProgram.")
    return ProgramReader(package, model_file.parent).read(model)


def _find_model(package: Path) -> Path:
    manifest = package / "Manifest.json"
    try:
        entries = read_json_object(manifest)
        path = entries["itemInfoEntries"][entries["rootModelIdentifier"]]["path"]
        model_file = package / "Data" / path
    except (ReadError, KeyError, TypeError) as exc:
        raise MilError(f"package {package}: Manifest.json doesn't lead to a model ({exc!r}). Export again.") from exc
    inside = model_file.resolve().is_relative_to(package.resolve())
    if not inside or not model_file.is_file():
        raise MilError(
            f"package {package}: its model {shown(path)} isn't there. Copy the whole folder, or export again."
        )
    return model_file


class ProgramReader:
    """Reads the protobuf of one package, whose weight files are opened once each."""

    def __init__(self, package: Path, model_folder: Path) -> None:
        self.package = package
        self.model_folder = model_folder
        self._blobs: dict[str, BlobFile] = {}
        self._dtypes: dict[int, str] = {number: name.lower() for name, number in load_proto().MIL_pb2.DataType.items()}

    def read(self, model: Any) -> Program:
        """Read a Model message. Raises: MilError."""
        description = model.description
        function = self._main(model)
        block = function.block_specializations[function.opset]
        inputs = {port.name: port for port in map(self._port, function.inputs)}
        ops = tuple(self._op(op) for op in block.operations)
        ports = inputs | {port.name: port for op in ops for port in op.outputs}
        main = next((f for f in description.functions if f.name == description.defaultFunctionName), description)
        return Program(
            inputs=tuple(self._feature(feature, inputs, description) for feature in main.input),
            outputs=tuple(self._feature(feature, ports, description) for feature in main.output),
            ops=ops,
            opset=function.opset,
            spec_version=model.specificationVersion,
            metadata=_metadata(description.metadata),
        )

    def _main(self, model: Any) -> Any:
        functions = model.mlProgram.functions
        name = model.description.defaultFunctionName or "main"
        if name not in functions:
            raise MilError(
                f"package {self.package}: it has no function {name!r}. Known: {', '.join(sorted(functions))}."
            )
        function = functions[name]
        if function.opset not in function.block_specializations:
            raise MilError(
                f"package {self.package}: function {name!r} has no block for {function.opset!r}. Export again."
            )
        return function

    def _feature(self, feature: Any, ports: Mapping[str, Port], description: Any) -> Feature:
        if feature.name not in ports:
            raise MilError(f"package {self.package}: {feature.name!r} isn't a value of its program. Export again.")
        port = ports[feature.name]
        kind = feature.type.WhichOneof("Type")
        kinds: dict[str, FeatureKind] = {
            "dictionaryType": "probabilities",
            "imageType": "image",
            "int64Type": "label",
            "multiArrayType": "array",
            "stringType": "label",
        }
        if kind not in kinds:
            raise MilError(f"package {self.package}: {feature.name!r} is a {kind}. Known: {', '.join(sorted(kinds))}.")
        color = None
        if kind == "imageType":
            spaces = load_proto().FeatureTypes_pb2.ImageFeatureType.ColorSpace
            color = spaces.Name(feature.type.imageType.colorSpace)
        return Feature(port.name, kinds[kind], port.dtype, port.shape, color)

    def _op(self, op: Any) -> Op:
        attributes = {name: (self._value(value),) for name, value in op.attributes.items() if name != "name"}
        inputs = {name: tuple(map(self._binding, argument.arguments)) for name, argument in op.inputs.items()}
        return Op(op.type, attributes | inputs, tuple(map(self._port, op.outputs)))

    def _binding(self, binding: Any) -> Argument:
        return Ref(binding.name) if binding.WhichOneof("binding") == "name" else self._value(binding.value)

    def _port(self, named: Any) -> Port:
        kind = named.type.WhichOneof("type")
        if kind != "tensorType":
            return Port(named.name, str(kind).removesuffix("Type"), ())
        tensor = named.type.tensorType
        if tensor.rank < 0:
            return Port(named.name, self._dtypes[tensor.dataType], None)
        sizes = (int(d.constant.size) if d.WhichOneof("dimension") == "constant" else None for d in tensor.dimensions)
        return Port(named.name, self._dtypes[tensor.dataType], tuple(sizes))

    def _value(self, value: Any) -> Const:
        if value.type.WhichOneof("type") == "listType":
            return _label_list(value.immediateValue.list.values)
        if value.type.WhichOneof("type") != "tensorType":
            kind = value.type.WhichOneof("type")
            raise MilError(f"package {self.package}: a constant is a {kind}. Known: listType, tensorType.")
        tensor = value.type.tensorType
        dtype = self._dtypes[tensor.dataType]
        shape = tuple(int(dimension.constant.size) for dimension in tensor.dimensions)
        if dtype != "string" and dtype not in STORAGE:
            raise MilError(f"package {self.package}: a constant is {dtype}. Known: {', '.join(sorted(STORAGE))}.")
        if value.WhichOneof("value") == "blobFileValue":
            return self._blob(value.blobFileValue.fileName).read(value.blobFileValue.offset, dtype, shape)
        return self._immediate(value.immediateValue.tensor, dtype, shape)

    def _immediate(self, tensor: Any, dtype: str, shape: tuple[int, ...]) -> Const:
        kind = tensor.WhichOneof("value")
        values: Any = getattr(tensor, kind).values if kind else ()
        if dtype == "string":
            return tuple(map(str, values)) if shape else str(values[0])
        found = len(values)
        expected = count_bytes(dtype, shape) if kind == "bytes" else int(np.prod(shape))
        if found != expected:
            raise MilError(f"package {self.package}: a constant {dtype}{list(shape)} has {found} values. Export again.")
        if kind == "bytes":
            return restore(np.frombuffer(bytearray(values), np.uint8), dtype, shape)
        return np.array(values).astype(STORAGE[dtype]).reshape(shape)

    def _blob(self, name: str) -> BlobFile:
        path = self.model_folder / name.removeprefix(MODEL_PATH)
        if ".." in path.parts:
            raise MilError(f"package {self.package}: its weight file {name!r} is outside of it. Export again.")
        if name not in self._blobs:
            self._blobs[name] = BlobFile(path)
        return self._blobs[name]


def _label_list(values: Any) -> tuple[str, ...] | tuple[int, ...]:
    tensors = [value.immediateValue.tensor for value in values]
    if all(tensor.WhichOneof("value") == "strings" for tensor in tensors):
        return tuple(str(tensor.strings.values[0]) for tensor in tensors)
    return tuple(int(getattr(tensor, tensor.WhichOneof("value")).values[0]) for tensor in tensors)


def _metadata(metadata: Any) -> dict[str, str]:
    fields = {
        "author": metadata.author,
        "license": metadata.license,
        "short_description": metadata.shortDescription,
        "version": metadata.versionString,
    }
    return {name: text for name, text in fields.items() if text} | dict(sorted(metadata.userDefined.items()))
