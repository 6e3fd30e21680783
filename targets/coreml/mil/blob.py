"""Weight files of an .mlpackage: a 64-byte header, then a 64-byte record before each tensor's data.

Layout: MILBlob's `StorageFormat.hpp`, as coremltools 9.0 writes it (version 2). All fields are little-endian.
"""

import struct
from math import prod
from pathlib import Path

import numpy as np

from targets.coreml.mil.program import MilError

__all__ = ["STORAGE", "BlobFile", "count_bytes", "unpack_bits"]

ALIGNMENT = 64
HEADER = struct.Struct("<II")  # number of tensors, version
RECORD = struct.Struct("<IIQQQ")  # sentinel, dtype, bytes, data offset, bits of padding
SENTINEL = 0xDEADBEEF
VERSION = 2

# The dtype code of a record, and the numpy type that holds one value in memory.
CODES = {
    "float16": 1,
    "float32": 2,
    "uint8": 3,
    "int8": 4,
    "int16": 6,
    "uint16": 7,
    "int4": 8,
    "uint1": 9,
    "uint2": 10,
    "uint4": 11,
    "uint3": 12,
    "uint6": 13,
    "int32": 14,
    "uint32": 15,
}
SUB_BYTE_BITS = {"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}
STORAGE: dict[str, np.dtype] = {
    name: np.dtype(name.rstrip("123456") + "8" if name in SUB_BYTE_BITS else name)
    for name in (*CODES, "bool", "float64", "int64", "uint64")
}


class BlobFile:
    """A weight file, mapped into memory copy-on-write, so tensors can share it and the file stays as it is.

    Raises: MilError for a file that is missing, truncated or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise MilError(f"weights {path}: there is no such file. Copy the whole .mlpackage folder.")
        if path.stat().st_size < ALIGNMENT:
            raise MilError(f"weights {path}: {path.stat().st_size} bytes are too few for a header of {ALIGNMENT}.")
        self._data = np.memmap(path, dtype=np.uint8, mode="c")
        _, version = HEADER.unpack_from(self._data.data)
        if version != VERSION:
            raise MilError(f"weights {path}: version {version} of the format isn't known. Known: {VERSION}.")

    def read(self, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return the tensor whose record is at an offset; sub-byte integers come unpacked, one to a byte.

        Raises: MilError where the record isn't one, or isn't of this dtype and shape, or runs past the end.
        """
        size = self._data.size
        if offset % ALIGNMENT or offset + ALIGNMENT > size:
            raise self._error(offset, f"no record fits there in a file of {size} bytes")
        sentinel, code, num_bytes, start, _ = RECORD.unpack_from(self._data.data, offset)
        if sentinel != SENTINEL:
            raise self._error(offset, f"its sentinel is {sentinel:#x}, not {SENTINEL:#x}")
        if code != CODES.get(dtype):
            raise self._error(
                offset, f"its dtype code is {code}, but the program declares {dtype} ({CODES.get(dtype)})"
            )
        expected = count_bytes(dtype, shape)
        if num_bytes != expected:
            raise self._error(offset, f"it has {num_bytes} bytes, but {dtype}{list(shape)} takes {expected}")
        if start % ALIGNMENT or start + num_bytes > size:
            raise self._error(offset, f"its data, {num_bytes} bytes from {start}, runs past the end at {size}")
        return restore(self._data[start : start + num_bytes], dtype, shape)

    def _error(self, offset: int, reason: str) -> MilError:
        return MilError(f"weights {self.path}, record at {offset}: {reason}. The file is damaged: export again.")


def count_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Return how many bytes a tensor takes in a file, where sub-byte integers are packed."""
    if dtype in SUB_BYTE_BITS:
        return -(-prod(shape) * SUB_BYTE_BITS[dtype] // 8)
    return prod(shape) * STORAGE[dtype].itemsize


def restore(data: np.ndarray, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a tensor from its bytes in a file. data: (num_bytes,) uint8."""
    if dtype in SUB_BYTE_BITS:
        return unpack_bits(data, SUB_BYTE_BITS[dtype], shape, signed=dtype.startswith("int"))
    return data.view(STORAGE[dtype]).reshape(shape)


def unpack_bits(data: np.ndarray, bits: int, shape: tuple[int, ...], *, signed: bool = False) -> np.ndarray:
    """Return packed integers, one to a byte. data: (num_bytes,) uint8, low bits first. Returns: uint8, or int8."""
    used = np.unpackbits(data, bitorder="little", count=prod(shape) * bits).reshape(-1, bits)
    values = np.packbits(used, axis=1, bitorder="little").reshape(shape)
    if not signed:
        return values
    shift = 8 - bits
    return (values << shift).view(np.int8) >> shift
