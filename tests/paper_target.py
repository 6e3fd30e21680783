"""A target that needs no toolchain: its file is a pickled program, run with torch.

Installed through its entry points (see the fixture `paper_targets`), so that the pipeline's tests don't wait for
converters, and can have one that chatters, crashes or hangs.
"""

import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import torch

from mobile_kit.errors import ArtifactError, UnsupportedError
from mobile_kit.models.spec import Array, CommonModel, TensorSpec
from mobile_kit.quantization.parts import LAYERS, Part, parts_of
from mobile_kit.quantization.recipes import QuantRecipe
from mobile_kit.target_api.interface import Lowered, Request, Target, as_array

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


class PaperTarget(Target):
    """Writes the model as it is."""

    name = "paper"
    model_file = "model.paper"
    extra = "paper"
    engine = Path(__file__).with_name("paper_engine.py")
    devices = ("host", "adb", "ssh")

    def refusal(self, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None) -> str | None:
        return None if recipe.name in self.recipes else "paper has no halves"

    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        print(PYTHON_CHATTER, flush=True)
        for descriptor in (1, 2):
            os.write(descriptor, f"{NATIVE_CHATTER}\n".encode())
        self.convert(path)
        torch.save(model, path)
        return Lowered(request.recipe, model.spec.inputs, model.spec.outputs, {"paper": 1})

    def convert(self, path: Path) -> None:
        """What a bad toolchain does."""

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


class Promising(PaperTarget):
    """Files whose activations make 2 dB more noise than it says that they will."""

    name = "promising"
    recipes = ("fp32", "static_wi8_ai8_mixed")

    def calibrate(
        self, model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]], folder: Path
    ) -> "Promise":
        return Promise(model, request)


class Promise:
    SAID_DB, REAL_DB, REST_DB = 26.0, 24.0, 60.0

    def __init__(self, model: CommonModel, request: Request) -> None:
        self._model, self._request = model, request
        self.parts = self.static = frozenset(
            part for part in parts_of(model).values() if part.kind in {*LAYERS, "activations"}
        )

    @torch.no_grad()
    def run(self, int8: Collection[Part], samples: Sequence[Mapping[str, Array]]) -> Iterator[Mapping[str, Array]]:
        model = Louder(self._model, self._level(int8, self.SAID_DB) if int8 else 0.0)
        names = [[spec.name for spec in specs] for specs in (model.spec.inputs, model.spec.outputs)]
        for sample in samples:
            results = model(*(torch.from_numpy(sample[name]) for name in names[0]))
            yield {name: value.numpy() for name, value in zip(names[1], results, strict=True)}

    def write(self, int8: Collection[Part], path: Path) -> Lowered:
        torch.save(Louder(self._model, self._level(int8, self.REAL_DB)), path)
        spec = self._model.spec
        return Lowered(self._request.recipe, spec.inputs, spec.outputs, {"paper": 1})

    def _level(self, int8: Collection[Part], decibels: float) -> float:
        activations = any(part.kind == "activations" for part in int8)
        return float(10 ** (-(decibels if activations else self.REST_DB) / 20))


class Louder(CommonModel):
    """A model whose logits are so much too large."""

    def __init__(self, model: CommonModel, by: float) -> None:
        super().__init__(model.spec)
        self.model, self.by = model, by

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        results = zip(self.spec.outputs, self.model(*inputs), strict=True)
        return tuple(value * (1 + self.by) if spec.name == "logits" else value for spec, value in results)


class Halving(PaperTarget):
    """Files of both precisions, alike."""

    name = "halving"
    recipes = ("fp32", "fp16")


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
halving, narrow, promising = Halving(), Narrow(), Promising()
TARGETS = (paper, raising, dying, refusing, hanging, hanging_too, missing, halving, narrow, promising)
