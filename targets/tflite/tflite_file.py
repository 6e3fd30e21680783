"""The .tflite file as a container: a flatbuffer, buffers outside its root, and a zip of associated files at the end.

The flatbuffer is TensorFlow Lite's `schema.fbs` (file identifier TFL3), read and written through the object API that
ai-edge-litert generates from it. The zip is what TFLite Metadata appends: its readers want it stored, not deflated.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from mobile_kit.errors import LoweringError
from mobile_kit.reading import check_archive

__all__ = ["MOST_FILES_BYTES", "Container", "Pointer", "pack", "unpack"]

IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16  # schema.fbs: `data:[ubyte] (force_align: 16)`
MOST_FILES_BYTES = 1 << 26  # of associated files, such as labels, unpacked
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can say: equal models give equal bytes


@dataclass(frozen=True)
class Pointer:
    """A pair of fields that point behind the flatbuffer, as an offset from the file's start."""

    holder: Any
    offset: str
    size: str

    @property
    def start(self) -> int:
        """The place it points to."""
        return getattr(self.holder, self.offset)

    @property
    def stop(self) -> int:
        """The place behind what it points to."""
        return self.start + getattr(self.holder, self.size)

    def move(self, start: int) -> None:
        """Point to another place."""
        setattr(self.holder, self.offset, start)


@dataclass
class Container:
    """The parts of a .tflite file, to be changed in place.

    `model` is a `schema.ModelT`. `outside` holds what lies behind the flatbuffer, by the place that points to it: the
    converters put buffers there when the file would pass the 2 GB that a flatbuffer can hold.
    """

    model: Any
    files: dict[str, bytes] = field(default_factory=dict)
    outside: list[tuple[Pointer, bytes]] = field(default_factory=list)


def unpack(data: bytes) -> Container:
    """Take a .tflite file apart; `pack` puts it together again.

    Raises: LoweringError where `data` isn't a .tflite file.
    """
    if data[4:8] != IDENTIFIER:
        raise LoweringError(f"model of {len(data)} bytes: not a .tflite file, as bytes 4 to 8 aren't {IDENTIFIER!r}.")
    model = schema.ModelT.InitFromPackedBuf(data)
    outside = [(pointer, data[pointer.start : pointer.stop]) for pointer in _pointers(model)]
    return Container(model, _read_zip(data), outside)


def pack(container: Container) -> bytes:
    """Put a .tflite file together, all buffers aligned to 16 bytes (litert-torch 0.10 aligns its own to 4 only)."""
    root = _flatbuffer(container.model)
    if container.outside:
        end = len(root)
        for pointer, _ in container.outside:
            pointer.move(_aligned(end))
            end = pointer.stop
        # Offsets are fixed-width, so the root with the new ones is as long as the one measured above.
        root = _flatbuffer(container.model)
    stream = io.BytesIO()
    stream.write(root)
    for pointer, content in container.outside:
        stream.write(bytes(pointer.start - stream.tell()))
        stream.write(content)
    _write_zip(stream, container.files)
    return stream.getvalue()


class _Builder(flatbuffers.Builder):
    """A builder that aligns bytes: flatc's Python code ignores `force_align` (flatbuffers 25.12)."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        return super().StartVector(elemSize, numElems, BUFFER_ALIGNMENT if elemSize == 1 else alignment)


def _flatbuffer(model: Any) -> bytes:
    builder = _Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _pointers(model: Any) -> Iterator[Pointer]:
    operators = [operator for graph in model.subgraphs for operator in graph.operators or []]
    pointers = [Pointer(buffer, "offset", "size") for buffer in model.buffers]
    pointers += [Pointer(operator, "largeCustomOptionsOffset", "largeCustomOptionsSize") for operator in operators]
    # schema.fbs: offset and size are "only valid if > 1".
    return (pointer for pointer in pointers if pointer.start > 1)


def _aligned(position: int) -> int:
    return -(-position // BUFFER_ALIGNMENT) * BUFFER_ALIGNMENT


def _read_zip(data: bytes) -> dict[str, bytes]:
    try:
        check_archive(io.BytesIO(data), MOST_FILES_BYTES)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return {}


def _write_zip(stream: io.BytesIO, files: Mapping[str, bytes]) -> None:
    if not files:
        return
    # Mode "w" on a stream at its end appends, and counts the entries' offsets from the stream's start.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), content)
