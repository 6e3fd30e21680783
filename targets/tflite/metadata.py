"""TFLite Metadata: what a .tflite file says of itself, so that clients that we did not write can open it.

MediaPipe Tasks, the TFLite Task Library and Android Studio read it: names, descriptions and licence, which input is an
image, and the labels of the outputs. It is a flatbuffer of its own inside the model, with the slot numbers of
`mediapipe/tasks/metadata/metadata_schema.fbs` 1.5.0; the labels are files in a zip behind the model.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, TypeAlias

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from mobile_kit.errors import ArtifactError, LoweringError, UnsupportedError
from targets.tflite.tflite_file import Container, pack, unpack

__all__ = [
    "LABELS_FILE",
    "Activation",
    "Color",
    "ModelNote",
    "TensorNote",
    "attach_metadata",
    "read_labels",
    "read_metadata",
    "set_tensor_names",
]

Activation = Literal["none", "sigmoid", "softmax"]
Color = Literal["RGB", "GRAY"]

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
SEGMENTER_ENTRY = "SEGMENTER_METADATA"
SEGMENTER_IDENTIFIER = b"V001"
LABELS_FILE = "labels.txt"
# The package of a class in the name of a tensor: `torch.nn.modules.container.` of Sequential_transformer.
PACKAGES = re.compile(rb"\b(?:[a-z_]\w*\.)+(?=_?[A-Z])")


@dataclass(frozen=True)
class TensorNote:
    """What the metadata say of one input or output.

    `color` is set where the tensor is an image; MediaPipe takes RGB only. `labels` names the entries along the last
    axis: give them to all outputs of a classifier, as MediaPipe's lists of allowed and denied categories ask for them
    on each.
    """

    name: str
    description: str
    color: Color | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelNote:
    """What the metadata say of a model; inputs and outputs are in the file's order.

    `activation` is for segmenters only: what MediaPipe applies to the output to get its confidence masks, `softmax` to
    logits. Its category masks are the argmax with `none` and `softmax`, up to 256 classes.
    """

    name: str
    description: str
    inputs: tuple[TensorNote, ...]
    outputs: tuple[TensorNote, ...]
    version: str | None = None
    author: str | None = None
    license: str | None = None
    activation: Activation | None = None


def attach_metadata(model: bytes, note: ModelNote) -> bytes:
    """Return the .tflite file with the note as its metadata, in place of any that it had.

    Raises: LoweringError where the note and the file differ in their tensors, UnsupportedError where a label can't be
    a line of a file.
    """
    container = unpack(model)
    graph = container.model.subgraphs[0]
    _check_tensors(graph, graph.inputs, note.inputs, "input")
    _check_tensors(graph, graph.outputs, note.outputs, "output")
    container.files = {file: _write_labels(labels) for labels, file in _files_by_labels(note).items()}
    _set_entry(container, _finish(_model_table(note), IDENTIFIER))
    return pack(container)


def read_metadata(model: bytes) -> ModelNote:
    """Read back the note that was attached to a .tflite file.

    Raises: ArtifactError where the file has none.
    """
    container = unpack(model)
    index = _entry_buffer(container)
    if index is None:
        raise ArtifactError(f"metadata of a model of {len(model)} bytes: the file has none. Export the model again.")
    root = _Reader.of(container.model.buffers[index].data.tobytes())
    graph = root.tables(_Model.SUBGRAPHS)[0]
    return ModelNote(
        name=root.string(_Model.NAME) or "",
        description=root.string(_Model.DESCRIPTION) or "",
        inputs=tuple(_read_tensor(tensor, container.files) for tensor in graph.tables(_SubGraph.INPUTS)),
        outputs=tuple(_read_tensor(tensor, container.files) for tensor in graph.tables(_SubGraph.OUTPUTS)),
        version=root.string(_Model.VERSION),
        author=root.string(_Model.AUTHOR),
        license=root.string(_Model.LICENSE),
        activation=_read_activation(graph),
    )


def set_tensor_names(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return the .tflite file with these names, in the file's order, on its tensors and as its signatures' keys.

    litert-torch 0.10 calls its tensors `serving_default_args_0` and the like, and the keys `args_0` and `output_0`, by
    their places. Where another operation reads an output too, ai-edge-quantizer 0.10 leaves its key with the integers.
    Inner tensors it calls after the classes and names of the modules on the way to them: the classes' packages, a tenth
    of a small file, tell its reader nothing, and would change with the kit's folders.

    Raises: LoweringError where the numbers of names and tensors differ, or one tensor would get two names.
    """
    container = unpack(model)
    graph = container.model.subgraphs[0]
    names = _name_tensors(graph.inputs, inputs, "input") | _name_tensors(graph.outputs, outputs, "output")
    if len(names) != len(inputs) + len(outputs) or len(set(names.values())) != len(names):
        raise LoweringError(f"tensor names {[*inputs, *outputs]}: each tensor of the file takes one name of its own.")
    for index, tensor in enumerate(graph.tensors):
        tensor.name = names.get(index) or PACKAGES.sub(b"", bytes(tensor.name or b""))
    for signature in container.model.signatureDefs or []:
        if signature.subgraphIndex == 0:
            for tensors, indices in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs)):
                for tensor in tensors:
                    if tensor.tensorIndex not in names:
                        tensor.tensorIndex = indices[int(bytes(tensor.name).rpartition(b"_")[2])]
                    tensor.name = names[tensor.tensorIndex]
    return pack(container)


def _name_tensors(indices: Sequence[int], names: Sequence[str], role: str) -> dict[int, str]:
    if len(indices) != len(names):
        raise LoweringError(f"{role} names {list(names)}: the file has {len(indices)} {role}s.")
    return {int(index): name for index, name in zip(indices, names, strict=True)}


def _check_tensors(graph: Any, indices: Sequence[int], notes: Sequence[TensorNote], role: str) -> None:
    if len(indices) != len(notes):
        raise LoweringError(f"{role} notes {[note.name for note in notes]}: the file has {len(indices)} {role}s.")
    for index, note in zip(indices, notes, strict=True):
        if note.labels is not None and len(note.labels) != (size := int(graph.tensors[index].shape[-1])):
            raise LoweringError(f"{len(note.labels)} labels of {note.name!r}: its last axis has {size} entries.")


def _files_by_labels(note: ModelNote) -> dict[tuple[str, ...], str]:
    """Name one file for each distinct list of labels: outputs with the same labels share it."""
    files: dict[tuple[str, ...], str] = {}
    for tensor in (*note.inputs, *note.outputs):
        if tensor.labels is not None and tensor.labels not in files:
            files[tensor.labels] = LABELS_FILE if not files else f"labels-{tensor.name}.txt"
    return files


def _write_labels(labels: tuple[str, ...]) -> bytes:
    content = "".join(f"{label}\n" for label in labels).encode()
    if read_labels(content) != labels:
        raise UnsupportedError(
            f"{len(labels)} labels: one has a line break or the last is empty, and a .tflite file keeps one a line. "
            "Rename it in the checkpoint's id2label."
        )
    return content


def read_labels(content: bytes) -> tuple[str, ...]:
    """Read as MediaPipe does: lines end at line feeds only, and empty ones at the end don't count."""
    return tuple(content.decode().rstrip("\n").split("\n"))


def _entry_buffer(container: Container) -> int | None:
    entries = [entry for entry in container.model.metadata or [] if entry.name == ENTRY.encode()]
    return entries[0].buffer if entries else None


def _set_entry(container: Container, content: bytes) -> None:
    model = container.model
    index = _entry_buffer(container)
    if index is None:
        index = len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.metadata = [*(model.metadata or []), schema.MetadataT(name=ENTRY, buffer=index)]
    model.buffers[index].data = np.frombuffer(content, np.uint8)


# The tables of metadata_schema.fbs, with the slots that are used here.


class _Model(IntEnum):
    NAME = 0
    DESCRIPTION = 1
    VERSION = 2
    SUBGRAPHS = 3
    AUTHOR = 4
    LICENSE = 5
    MIN_PARSER_VERSION = 7


class _SubGraph(IntEnum):
    INPUTS = 2
    OUTPUTS = 3
    CUSTOM = 9


class _Tensor(IntEnum):
    NAME = 0
    DESCRIPTION = 1
    CONTENT = 3
    FILES = 6


class _Content(IntEnum):
    TYPE = 0
    PROPERTIES = 1


class _Image(IntEnum):
    COLOR_SPACE = 0


class _File(IntEnum):
    NAME = 0
    DESCRIPTION = 1
    TYPE = 2


class _Custom(IntEnum):
    NAME = 0
    DATA = 1


class _Segmenter(IntEnum):
    """ImageSegmenterOptions of image_segmenter_metadata_schema.fbs."""

    ACTIVATION = 0


IMAGE_PROPERTIES = 2  # ContentProperties
TENSOR_AXIS_LABELS = 2  # AssociatedFileType
COLOR_SPACES: dict[Color, int] = {"RGB": 1, "GRAY": 2}  # ColorSpaceType
ACTIVATIONS: tuple[Activation, ...] = ("none", "sigmoid", "softmax")  # Activation

_Value: TypeAlias = "str | int | bytes | _Fields | list[_Fields]"
_Fields: TypeAlias = "dict[IntEnum, _Value | None]"


def _model_table(note: ModelNote) -> _Fields:
    files = _files_by_labels(note)
    graph: _Fields = {
        _SubGraph.INPUTS: [_tensor_table(tensor, files) for tensor in note.inputs],
        _SubGraph.OUTPUTS: [_tensor_table(tensor, files) for tensor in note.outputs],
    }
    if note.activation is not None:
        options = _finish({_Segmenter.ACTIVATION: ACTIVATIONS.index(note.activation)}, SEGMENTER_IDENTIFIER)
        graph[_SubGraph.CUSTOM] = [{_Custom.NAME: SEGMENTER_ENTRY, _Custom.DATA: options}]
    return {
        _Model.NAME: note.name,
        _Model.DESCRIPTION: note.description,
        _Model.VERSION: note.version,
        _Model.SUBGRAPHS: [graph],
        _Model.AUTHOR: note.author,
        _Model.LICENSE: note.license,
        # The schema's version that brought the newest field in use: custom metadata came with 1.5.0.
        _Model.MIN_PARSER_VERSION: "1.0.0" if note.activation is None else "1.5.0",
    }


def _tensor_table(note: TensorNote, files: dict[tuple[str, ...], str]) -> _Fields:
    fields: _Fields = {_Tensor.NAME: note.name, _Tensor.DESCRIPTION: note.description}
    if note.color is not None:
        image: _Fields = {_Image.COLOR_SPACE: COLOR_SPACES[note.color]}
        fields[_Tensor.CONTENT] = {_Content.TYPE: IMAGE_PROPERTIES, _Content.PROPERTIES: image}
    if note.labels is not None:
        description = f"Labels of {note.name}, one a line."
        file: _Fields = {_File.NAME: files[note.labels], _File.DESCRIPTION: description, _File.TYPE: TENSOR_AXIS_LABELS}
        fields[_Tensor.FILES] = [file]
    return fields


def _finish(fields: _Fields, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write_table(builder, fields), identifier)
    return bytes(builder.Output())


def _write_table(builder: Any, fields: _Fields) -> int:
    """Write a table. Its numbers are single bytes, as all that are used here are enumerations."""
    written = {slot: _write_value(builder, value) for slot, value in fields.items() if value is not None}
    builder.StartObject(max(fields) + 1)
    for slot, value in written.items():
        if isinstance(fields[slot], int):
            builder.PrependInt8Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return builder.EndObject()


def _write_value(builder: Any, value: _Value) -> int:
    """Write a value and return where it is; a number is its own place."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, dict):
        return _write_table(builder, value)
    if isinstance(value, bytes):
        builder.StartVector(1, len(value), 16)  # `CustomMetadata.data:[ubyte] (force_align: 16)`
        for byte in reversed(value):
            builder.PrependByte(byte)
        return builder.EndVector()
    places = [_write_table(builder, fields) for fields in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


class _Reader:
    """A table that is read slot by slot."""

    def __init__(self, data: bytes, position: int) -> None:
        self._table = Table(data, position)

    @classmethod
    def of(cls, data: bytes) -> "_Reader":
        """Return the root table of a flatbuffer."""
        return cls(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))

    def byte(self, slot: int) -> int:
        return self._table.GetSlot(4 + 2 * slot, 0, number_types.Int8Flags)

    def string(self, slot: int) -> str | None:
        offset = self._offset(slot)
        return self._table.String(self._table.Pos + offset).decode() if offset else None

    def data(self, slot: int) -> bytes:
        elements = self._elements(slot, width=1)
        return self._table.Bytes[elements.start : elements.stop]

    def tables(self, slot: int) -> list["_Reader"]:
        return [_Reader(self._table.Bytes, self._table.Indirect(place)) for place in self._elements(slot, width=4)]

    def table(self, slot: int) -> "_Reader | None":
        offset = self._offset(slot)
        return _Reader(self._table.Bytes, self._table.Indirect(self._table.Pos + offset)) if offset else None

    def _offset(self, slot: int) -> int:
        return self._table.Offset(4 + 2 * slot)  # a vtable starts with two sizes of 2 bytes each

    def _elements(self, slot: int, width: int) -> range:
        offset = self._offset(slot)
        if not offset:
            return range(0)
        start = self._table.Vector(offset)
        return range(start, start + width * self._table.VectorLen(offset), width)


def _read_tensor(tensor: _Reader, files: Mapping[str, bytes]) -> TensorNote:
    content = tensor.table(_Tensor.CONTENT)
    image = content and content.table(_Content.PROPERTIES)
    colors = {number: color for color, number in COLOR_SPACES.items()}
    labels = [file.string(_File.NAME) for file in tensor.tables(_Tensor.FILES)]
    return TensorNote(
        name=tensor.string(_Tensor.NAME) or "",
        description=tensor.string(_Tensor.DESCRIPTION) or "",
        color=colors[image.byte(_Image.COLOR_SPACE)] if image else None,
        labels=read_labels(files[labels[0]]) if labels and labels[0] else None,
    )


def _read_activation(graph: _Reader) -> Activation | None:
    for custom in graph.tables(_SubGraph.CUSTOM):
        if custom.string(_Custom.NAME) == SEGMENTER_ENTRY:
            return ACTIVATIONS[_Reader.of(custom.data(_Custom.DATA)).byte(_Segmenter.ACTIVATION)]
    return None
