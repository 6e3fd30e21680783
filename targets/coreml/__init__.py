"""Core ML: .mlpackage files (mlprogram) for iOS 16 and later."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mobile_kit.models.spec import Array, CommonModel, Entry, TensorSpec
from mobile_kit.quantization.recipes import QuantRecipe
from mobile_kit.target_api.benchmark import Tracer
from mobile_kit.target_api.interface import Calibrated, Lowered, Request, Runtime, Target
from targets.coreml.compute_plan import read_plan
from targets.coreml.importers.xcode_report import XcodeReport

__all__ = ["TARGET", "CoreMLTarget"]

ENGINE = Path(__file__).with_name("engine.py")


class CoreMLTarget(Target):
    """Lowers through torch.export and coremltools; runs with Core ML on a Mac, and with `mil` elsewhere."""

    name = "coreml"
    model_file = "model.mlpackage"
    extra = "coreml"
    modules = ("coremltools", "torchao")
    entry: Entry = "rgb_nchw"
    recipes = (
        "fp32",
        "fp16",
        "weight_only_wi8_afp32",
        "weight_only_wi4_afp32",
        "static_wi8_ai8",
        "static_wi8_ai8_mixed",
    )
    engine = ENGINE
    devices = ("host", "ios") if sys.platform == "darwin" else ("ios",)
    tracer = Tracer(ENGINE, read_plan)
    packages = ("coremltools==9.0",)
    importers = (XcodeReport(),)

    def deployment_targets(self, backend: str | None) -> tuple[str, ...]:
        """Return the systems whose mlprogram the lowering has been tested with."""
        return ("iOS17", "iOS16", "iOS18")

    def apps(self, backend: str | None) -> tuple[str, ...]:
        """Return iOS alone."""
        return ("ios",)

    def refusal(self, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None) -> str | None:
        """Return why a recipe can't be served, None where it can."""
        if recipe.name == "dynamic_wi8_afp32":
            return "Core ML takes its scales from the file, and has none that are measured at each run"
        if recipe.calibrated and deployment_target == "iOS16":
            return "activations become integers from iOS 17 on"
        return None

    def has_halves(self, recipe: QuantRecipe) -> bool:
        """Return whether a recipe computes in float16: all but float32, those of int8 beside it."""
        return recipe.weight_bits < 32

    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        """Write the .mlpackage."""
        from targets.coreml.lower import lower

        return lower(model, request, path)

    def calibrate(
        self, model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]], folder: Path
    ) -> Calibrated:
        """Measure a model's activations."""
        from targets.coreml.lower import calibrate

        return calibrate(model, request, samples)

    def load(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Runtime:
        """Load a .mlpackage with Core ML on a Mac, elsewhere with the interpreter."""
        from targets.coreml.runtime import CoreMLRuntime, MilRuntime

        return (CoreMLRuntime if sys.platform == "darwin" else MilRuntime)(path, inputs, outputs)


TARGET = CoreMLTarget()
