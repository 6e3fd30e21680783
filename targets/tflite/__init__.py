"""TFLite (LiteRT): .tflite files for Android, iOS and any Linux board."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mobile_kit.models.spec import Array, CommonModel, TensorSpec
from mobile_kit.quantization.recipes import QuantRecipe
from mobile_kit.target_api.benchmark import Tracer
from mobile_kit.target_api.environments import cache_folder
from mobile_kit.target_api.interface import Calibrated, Lowered, Request, Runtime, Target
from targets.tflite.benchmark_command import BENCHMARK_MODEL
from targets.tflite.importers.benchmark_log import BenchmarkLog, OpProfileCsv
from targets.tflite.importers.benchmark_protobuf import BenchmarkResultProto, OpProfileProto
from targets.tflite.importers.kernel_trace import read_trace
from targets.tflite.importers.litert_benchmark import LiteRtBenchmark

__all__ = ["TARGET", "TFLiteTarget"]


class TFLiteTarget(Target):
    """Lowers through litert-torch; runs with LiteRT and its XNNPACK delegate."""

    name = "tflite"
    model_file = "model.tflite"
    extra = "tflite"
    modules = ("litert_torch", "ai_edge_litert", "ai_edge_quantizer")
    recipes = ("fp32", "fp16", "weight_only_wi8_afp32", "dynamic_wi8_afp32", "static_wi8_ai8", "static_wi8_ai8_mixed")
    engine = Path(__file__).with_name("on_device") / "engine.py"
    devices = ("host", "adb", "ssh")
    tracer = Tracer(Path(__file__).with_name("on_device") / "tracer.py", read_trace)
    binary = BENCHMARK_MODEL
    packages = ("ai-edge-litert==2.3.0",)
    # A flatbuffer ends at 2 GiB, and is float32 before a recipe is applied; 4 MiB are for the graph.
    most_parameters = 2**29 - 2**20
    importers = (
        BenchmarkLog(),
        OpProfileCsv(),
        BenchmarkResultProto(),
        OpProfileProto(),
        LiteRtBenchmark(),
    )

    def apps(self, backend: str | None) -> tuple[str, ...]:
        """Return Android: the iOS app has Core ML and ExecuTorch."""
        return ("android",)

    def refusal(self, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None) -> str | None:
        """Return why a recipe can't be served, None where it can."""
        if recipe.weight_bits == 4:
            return "LiteRT's delegate takes no 4-bit weights, and they keep 10 to 22 dB of the trained digits"
        return None

    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        """Write the .tflite."""
        from targets.tflite.lower import lower

        return lower(model, request, path)

    def calibrate(
        self, model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]], folder: Path
    ) -> Calibrated:
        """Measure a model's activations; its float file stays in the folder."""
        from targets.tflite.calibrated_file import CalibratedFile

        return CalibratedFile(model, request, samples, folder)

    def load(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Runtime:
        """Load a .tflite with LiteRT."""
        from targets.tflite.runtime import TFLiteRuntime

        return TFLiteRuntime(path)

    def load_with(self, runtime: str, path: Path) -> Runtime:
        """Load a .tflite with another runtime, in an environment of its own."""
        from targets.tflite.other_runtime import OtherRuntime

        return OtherRuntime(runtime, path, cache_folder())


TARGET = TFLiteTarget()
