"""A target that needs no toolchain: its file is a pickled program, run with torch.

Installed through its entry points (see the fixture `paper_targets`), so that the pipeline's tests don't wait for
converters, and can have one that chatters, crashes or hangs.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import torch

from mobile_kit.errors import ArtifactError, UnsupportedError
from mobile_kit.preprocess import Entry
from mobile_kit.quantization import QuantRecipe
from mobile_kit.spec import CommonModel, TensorSpec
from mobile_kit.target import Array, Lowered, Request, as_array

PYTHON_CHATTER, NATIVE_CHATTER = "paper: python says something", "paper: native code says something"


class PaperRuntime:
    """A pickled model."""

    name = "paper"
    native = True
    labels = None

    def __init__(self, path: Path) -> None:
        try:
            self._model: CommonModel = torch.load(path, weights_only=False)
        except Exception as exc:
            raise ArtifactError(f"file {path.name}: torn ({type(exc).__name__}). Export the model again.") from exc
        self.inputs = {x.name: (x.shape, x.dtype) for x in self._model.spec.inputs}
        self.outputs = {y.name: (y.shape, y.dtype) for y in self._model.spec.outputs}

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        results = self._model(*(torch.from_numpy(inputs[name]) for name in self.inputs))
        specs = self._model.spec.outputs
        return {spec.name: as_array(value.numpy(), spec) for spec, value in zip(specs, results, strict=True)}


class PaperTarget:
    """Writes the model as it is."""

    name = "paper"
    model_file = "model.paper"
    extra = "paper"
    modules: tuple[str, ...] = ()
    entry: Entry = "uint8_nhwc"
    backends: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("fp32",)
    most_parameters: int | None = None

    def deployment_targets(self, backend: str | None) -> tuple[str, ...]:
        return ()

    def needs_device(self, backend: str | None) -> str | None:
        return None

    def refusal(self, recipe: QuantRecipe, backend: str | None) -> str | None:
        return None if recipe.name in self.recipes else "paper has no halves"

    def has_halves(self, recipe: QuantRecipe) -> bool:
        return recipe.weight_bits == 16

    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        print(PYTHON_CHATTER, flush=True)
        for descriptor in (1, 2):
            os.write(descriptor, f"{NATIVE_CHATTER}\n".encode())
        self.convert(path)
        torch.save(model, path)
        return Lowered(request.recipe, model.spec.inputs, model.spec.outputs, {"paper": 1})

    def convert(self, path: Path) -> None:
        """What a bad toolchain does."""

    def load_with(self, runtime: str, path: Path) -> PaperRuntime:
        raise UnsupportedError(f"runtime {runtime!r}: paper has one. Leave it out.")

    def calibrate(
        self, model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]], folder: Path
    ) -> NoReturn:
        raise AssertionError("paper has no calibrated recipe")

    def load(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> PaperRuntime:
        return PaperRuntime(path)


class Raising(PaperTarget):
    name = "raising"

    def convert(self, path: Path) -> NoReturn:
        raise RuntimeError("torn\nin two")


class Dying(PaperTarget):
    name = "dying"

    def convert(self, path: Path) -> NoReturn:
        sys.stderr.flush()
        os.abort()


class Refusing(PaperTarget):
    name = "refusing"

    def convert(self, path: Path) -> NoReturn:
        raise UnsupportedError("paper: doesn't take this model. Try another --target.")


class Hanging(PaperTarget):
    recipes = ("fp32", "fp16")

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, path: Path) -> None:
        path.write_bytes(b"half a file")
        time.sleep(600)


class Narrow(PaperTarget):
    name = "narrow"
    most_parameters = 1000


class Missing(PaperTarget):
    name = "missing"
    modules = ("a_package_that_nobody_has",)


paper, raising, dying, refusing = PaperTarget(), Raising(), Dying(), Refusing()
# Two of them make four jobs with both recipes: more than most machines run at a time.
hanging, hanging_too = Hanging("hanging"), Hanging("hanging_too")
missing = Missing()
narrow = Narrow()
TARGETS = (paper, raising, dying, refusing, hanging, hanging_too, missing, narrow)
