"""What a saved mlprogram says: its interface, its operations and its constants."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mobile_kit.errors import MobileKitError

__all__ = [
    "Argument",
    "Const",
    "Feature",
    "FeatureKind",
    "MilError",
    "Op",
    "Port",
    "Program",
    "Ref",
    "fits",
    "format_shape",
]

Const = np.ndarray | str | tuple[str, ...] | tuple[int, ...]
FeatureKind = Literal["array", "image", "label", "probabilities"]


class MilError(MobileKitError):
    """A saved mlprogram can't be read, or can't be executed here."""


@dataclass(frozen=True)
class Ref:
    """The name of a value that an input or another op supplies."""

    name: str


Argument = Ref | Const


@dataclass(frozen=True)
class Port:
    """A named value with its declared type.

    dtype: a numpy name, a sub-byte integer (`uint4`, ...), or `string`, `list`, `dictionary`.
    shape: None for a rank that isn't known, with None for each size that isn't known.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Feature:
    """An input or output as an app sees it, with the type that the program declares for it.

    color: `RGB`, `BGR`, `GRAYSCALE` or `GRAYSCALE_FLOAT16` for an image, else None.
    """

    name: str
    kind: FeatureKind
    dtype: str
    shape: tuple[int | None, ...] | None
    color: str | None = None


@dataclass(frozen=True, eq=False)
class Op:
    """One operation; each input holds one argument, or several where the op takes a tuple (`values` of concat)."""

    type: str
    inputs: dict[str, tuple[Argument, ...]] = field(repr=False)
    outputs: tuple[Port, ...]

    @property
    def label(self) -> str:
        """What a message calls the op: its type and the name of its first output."""
        return f"op {self.type} {self.outputs[0].name!r}" if self.outputs else f"op {self.type}"


@dataclass(frozen=True, eq=False)
class Program:
    """The main function of a package, with its constants in memory or mapped from the weight file."""

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    ops: tuple[Op, ...] = field(repr=False)
    opset: str
    spec_version: int
    metadata: dict[str, str]

    @property
    def op_counts(self) -> dict[str, int]:
        """The number of ops of each type, sorted by type, constants included."""
        return dict(sorted(Counter(op.type for op in self.ops).items()))

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Every op output that has a range: what `watch` takes."""
        return tuple(port.name for port in self._ports() if port.dtype not in ("dictionary", "list", "string"))

    def _ports(self) -> Iterator[Port]:
        return (port for op in self.ops for port in op.outputs)


def fits(shape: tuple[int, ...], declared: tuple[int | None, ...] | None) -> bool:
    """Tell whether a shape is one that a declaration allows."""
    if declared is None:
        return True
    return len(shape) == len(declared) and all(
        size in (None, found) for size, found in zip(declared, shape, strict=True)
    )


def format_shape(dtype: str, shape: tuple[int | None, ...] | None) -> str:
    """Return a type as messages write it: `float16[1, 3, ?, ?]`."""
    sizes = "..." if shape is None else ", ".join("?" if size is None else str(size) for size in shape)
    return f"{dtype}[{sizes}]"
