"""The seam between the kit and its backends: what a target is, and how it is found.

A target is one folder with a `Target`, and an entry point in the group `mobile_kit.targets`. Its capabilities are
attributes; nothing in the kit asks for a target by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mobile_kit.errors import UnsupportedError
from mobile_kit.measurements.importers.base import Importer
from mobile_kit.models.spec import Array, CommonModel, Entry, TensorSpec
from mobile_kit.quantization.part_costs import CalibratedParts
from mobile_kit.quantization.parts import FloatPart, Part
from mobile_kit.quantization.recipes import QuantRecipe
from mobile_kit.target_api.benchmark import BenchmarkProgram, Tracer

__all__ = [
    "Bundling",
    "Calibrated",
    "Fallback",
    "Lowered",
    "Lowering",
    "Measuring",
    "ModelCard",
    "Request",
    "Runtime",
    "Target",
    "as_array",
    "input_text",
    "refusal",
]

INPUT_TEXTS = {
    "image": "image bytes 0..255; colour order and scale are in the model",
    "pixel_values": "pixel_values, as the Hugging Face processor returns them",
    "noise": "a number from 0 to 1 for each mask unit; those of the smallest are kept",
    "patch_mask": "1 for a patch that the mask token replaces, 0 for the others",
}


@dataclass(frozen=True)
class ModelCard:
    """What a file says of itself on its platform; None where it isn't known."""

    name: str
    description: str
    author: str | None
    license: str | None
    source: str
    version: str | None


@dataclass(frozen=True)
class Request:
    """What to lower to: one file of a target."""

    recipe: QuantRecipe
    backend: str | None
    deployment_target: str | None
    card: ModelCard


@dataclass(frozen=True)
class Fallback:
    """An operation that the backend left to a slower path."""

    op: str
    count: int
    reason: str


@dataclass(frozen=True)
class Lowered:
    """What a target made: the file's inputs and outputs as they are in it, its graph, and the recipe as carried out."""

    recipe: QuantRecipe
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ops: Mapping[str, int]
    partitions: int | None = None
    fallback_ops: tuple[Fallback, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    deployment_target: str | None = None
    float_parts: tuple[FloatPart, ...] = ()


class Calibrated(CalibratedParts, Protocol):
    """Calibrated parts whose file can be written."""

    def write(self, int8: Collection[Part], path: Path) -> Lowered:
        """Write the file with some of the parts `static` in int8."""
        ...


class Runtime(Protocol):
    """A loaded file that can be run.

    `name` says what ran it, with the version. `native`: whether devices run the file with it too, so that its speed is
    worth measuring. `labels` are the class names that the file itself carries, None where it has none.
    """

    name: str
    native: bool
    labels: tuple[str, ...] | None
    inputs: dict[str, tuple[tuple[int, ...], str]]
    outputs: dict[str, tuple[tuple[int, ...], str]]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name."""
        ...


class Lowering(ABC):
    """What lowers a model to a platform's file, and runs that file.

    modules: what must be importable. extra: the kit's extra that brings them. entry: how an image enters a file.
    recipes: the names that some backend takes. backends: the default first, empty where there is no choice.
    most_parameters: how many the format has room for, None where there is no limit. ends_over_damaged_files: whether
    its runtime may end the process, so that files from elsewhere are run in another.
    """

    name: str
    model_file: str
    extra: str
    modules: tuple[str, ...] = ()
    entry: Entry = "uint8_nhwc"
    recipes: tuple[str, ...] = ("fp32",)
    backends: tuple[str, ...] = ()
    most_parameters: int | None = None
    ends_over_damaged_files: bool = False

    def deployment_targets(self, backend: str | None) -> tuple[str, ...]:
        """Return the systems that a file can be made for, the default first; none where there is no choice."""
        return ()

    def refusal(self, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None) -> str | None:
        """Return why a recipe can't be served with a backend, and for a system if one is given; None where it can."""
        return None

    def has_halves(self, recipe: QuantRecipe) -> bool:
        """Whether a recipe's files hold or compute anything in float16, so that the image must stay in its range."""
        return recipe.weight_bits == 16

    @abstractmethod
    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        """Write the model's file to `path`, for a recipe that isn't calibrated."""

    def calibrate(
        self, model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]], folder: Path
    ) -> Calibrated:
        """Measure a model's activations, for a recipe that is calibrated.

        samples: the model's inputs by name, one mapping a calibration image. folder: for files of its own, which the
        caller removes. Raises: UnsupportedError where no recipe is calibrated.
        """
        raise UnsupportedError(f"recipe {request.recipe.name!r}: target {self.name!r} calibrates none. Choose another.")

    @abstractmethod
    def load(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Runtime:
        """Load a file with the target's runtime; inputs and outputs are those that its manifest names.

        Raises: ArtifactError where the file can't be loaded.
        """

    def load_with(self, runtime: str, path: Path) -> Runtime:
        """Load a file with another version of the platform's runtime, such as tflite-runtime==2.14.0.

        Raises: UnsupportedError where it isn't known; MissingToolError where it can't be had; ArtifactError.
        """
        raise UnsupportedError(
            f"runtime {runtime!r}: files of target {self.name!r} are checked on the installed one. Leave it out."
        )


class Measuring:
    """What measures a platform's files.

    engine: the Python file that runs them for `devices/runner.py`, on `devices` of these kinds; None where none can.
    tracer: times their operations. binary: the platform's own program that a user may give. packages: what pip brings
    the runtime with. importers: read what the platform's tools measured.
    """

    engine: Path | None = None
    devices: tuple[str, ...] = ()
    tracer: Tracer | None = None
    binary: BenchmarkProgram | None = None
    packages: tuple[str, ...] = ()
    importers: tuple[Importer, ...] = ()

    def needs_device(self, backend: str | None) -> str | None:
        """Return why a backend's files can't be run on this machine, None where they can."""
        return None


class Bundling:
    """What apps ask."""

    def apps(self, backend: str | None) -> tuple[str, ...]:
        """Return the platforms whose sample app runs a backend's files: ios, android."""
        return ()


class Target(Lowering, Measuring, Bundling):
    """A platform that the kit lowers to. One states what differs from the defaults of its three parts."""


def refusal(
    target: Target, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None
) -> str | None:
    """Return why a target can't serve a recipe, None where it can."""
    reason = target.refusal(recipe, backend, deployment_target)
    return reason if reason or recipe.name in target.recipes else "not served by this target"


def input_text(spec: TensorSpec) -> str:
    """Say in a line what an app gives as an input of a file."""
    return INPUT_TEXTS[spec.meaning]


def as_array(value: Any, spec: TensorSpec) -> Array:
    """Return a runtime's output as an array of the dtype that its spec declares."""
    return np.ascontiguousarray(value, dtype=np.dtype(spec.dtype))
