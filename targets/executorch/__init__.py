"""ExecuTorch: .pte files for XNNPACK (any CPU), Core ML and Vulkan."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mobile_kit.models.spec import Array, CommonModel, TensorSpec
from mobile_kit.quantization.recipes import QuantRecipe
from mobile_kit.target_api.interface import Calibrated, Lowered, Request, Runtime, Target
from targets.executorch.executor_runner import EXECUTOR_RUNNER, LOG
from targets.executorch.importers.benchmark_app import MiniBench
from targets.executorch.importers.etdump import ETDump

__all__ = ["TARGET", "ExecuTorchTarget"]


class ExecuTorchTarget(Target):
    """Lowers through torch.export and the backend's partitioner."""

    name = "executorch"
    model_file = "model.pte"
    extra = "executorch"
    modules = ("executorch",)
    backends = ("xnnpack", "coreml", "vulkan")
    recipes = ("fp32", "fp16", "dynamic_wi8_afp32", "static_wi8_ai8", "static_wi8_ai8_mixed")
    engine = Path(__file__).with_name("engine.py")
    devices = ("host", "adb", "ssh")
    binary = EXECUTOR_RUNNER
    packages = ("executorch==1.4.1",)
    ends_over_damaged_files = True
    importers = (ETDump(), MiniBench(), LOG)

    def deployment_targets(self, backend: str | None) -> tuple[str, ...]:
        """Return the systems that the Core ML delegate can be made for; the others know none."""
        return ("iOS17", "iOS16", "iOS18") if backend == "coreml" else ()

    def apps(self, backend: str | None) -> tuple[str, ...]:
        """Return both, but for a backend that is one platform's own."""
        return {"coreml": ("ios",), "vulkan": ("android",)}.get(backend or "", ("ios", "android"))

    def needs_device(self, backend: str | None) -> str | None:
        """Return why a backend's files can't be run on this machine, None where they can."""
        return None if backend in {None, "xnnpack"} else f"ExecuTorch's {backend} delegate runs on a device only"

    def refusal(self, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None) -> str | None:
        """Return why a recipe can't be served with a backend, None where it can."""
        if backend == "vulkan" and recipe.weight_bits < 32:
            return "what Vulkan computes in it can't be measured without a device, so it isn't offered"
        if backend == "coreml" and recipe.quantized:
            return "is the Core ML target's: its .mlpackage can be measured here, and the delegate's can't"
        if recipe.name.startswith("weight_only"):
            return "XNNPACK in ExecuTorch has no float layer with integer weights, and would unpack them at each run"
        return None

    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        """Write the .pte."""
        from targets.executorch.lower import lower

        return lower(model, request, path)

    def calibrate(
        self, model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]], folder: Path
    ) -> Calibrated:
        """Measure a model's activations."""
        from targets.executorch.lower import calibrate

        return calibrate(model, request, samples)

    def load(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Runtime:
        """Load a .pte with ExecuTorch's own runtime."""
        from targets.executorch.runtime import ExecuTorchRuntime

        return ExecuTorchRuntime(path, inputs, outputs)


TARGET = ExecuTorchTarget()
