"""The native half of coremltools, as far as it is used: it loads, predicts, compiles and plans with the interpreter."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from targets.coreml.mil import Interpreter, Program, read_program


def _planned(program: Program) -> list[Any]:
    """Return the operations that a plan speaks of: constants are none."""
    return [op for op in program.ops if op.type != "const" and not op.type.startswith("constexpr")]


def shares(program: Program) -> dict[str, float]:
    """Return each operation's share of the time: as its output is large."""
    sizes = {
        op.outputs[0].name: float(np.prod([n or 1 for n in op.outputs[0].shape or ()])) for op in _planned(program)
    }
    whole = sum(sizes.values())
    return {name: size / whole for name, size in sizes.items()}


def unit_of(program: Program, name: str) -> str:
    """Return where an operation runs: convolutions on the neural engine."""
    return "NPU" if any(op.type == "conv" and op.outputs[0].name == name for op in program.ops) else "CPU"


class _MLModelProxy:
    def __init__(self, path: str, units: str, function: str, hints: dict[str, str], asset: object) -> None:
        start = time.perf_counter_ns()
        self._model = Interpreter(read_program(Path(path)))
        self._took, self._load, self._path = 0, time.perf_counter_ns() - start, path

    @staticmethod
    def maximum_supported_specification_version() -> int:
        return 9

    @staticmethod
    def compileModel(path: str, target: str = "") -> str:  # noqa: N802
        made = target or str(Path(tempfile.mkdtemp(), "model.mlmodelc"))
        shutil.copytree(path, made)
        return made

    @staticmethod
    def get_model_structure(path: str) -> Any:
        from coremltools.models import compute_plan as plan

        program = read_program(Path(path))
        operations = [
            plan.MLModelStructureProgramOperation(
                {},
                f"ios17.{op.type}",
                [
                    plan.MLModelStructureProgramNamedValueType(port.name, plan.MLModelStructureProgramValueType())
                    for port in op.outputs
                ],
                [],
                None,
            )
            for op in program.ops
        ]
        block = plan.MLModelStructureProgramBlock([], operations, [feature.name for feature in program.outputs])
        main = plan.MLModelStructureProgramFunction([], block)
        return plan.MLModelStructure(None, plan.MLModelStructureProgram({"main": main}), None)

    @staticmethod
    def get_compute_plan(path: str, units: str) -> Any:
        from coremltools.models import compute_plan as plan

        assert units == "ALL"
        return plan.MLComputePlan(proxy=_Plan(path))

    def get_compiled_model_path(self) -> str:
        return self._path

    def get_load_duration_in_nano_seconds(self) -> int:
        return self._load

    def get_last_predict_duration_in_nano_seconds(self) -> int:
        return self._took

    def predict(self, inputs: dict[str, Any], state: object) -> dict[str, Any]:
        kinds = {feature.name: feature.kind for feature in self._model.program.inputs}
        values = {name: _planes(value) if kinds[name] == "image" else value for name, value in inputs.items()}
        start = time.perf_counter_ns()
        outputs = dict(self._model.run(values).outputs)
        self._took = time.perf_counter_ns() - start
        return outputs


def _planes(image: Any) -> Any:
    """Return (1, C, H, W) of a picture."""
    pixels = np.asarray(image)
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels).transpose(2, 0, 1)[None]


class _MLComputePlanProxy:
    pass


class _MLCPUComputeDeviceProxy:
    pass


class _MLGPUComputeDeviceProxy:
    pass


class _MLNeuralEngineComputeDeviceProxy:
    pass


class _MLModelAssetProxy:
    pass


class _Plan(_MLComputePlanProxy):
    def __init__(self, path: str) -> None:
        self.model_structure = _MLModelProxy.get_model_structure(path)
        self._program = read_program(Path(path))

    def get_compute_device_usage_for_mlprogram_operation(self, operation: Any) -> Any:
        from coremltools.models import compute_device as device
        from coremltools.models import compute_plan as plan

        name = operation.outputs[0].name
        if name not in shares(self._program):
            return None
        cpu = device.MLCPUComputeDevice(_MLCPUComputeDeviceProxy())
        npu = device.MLNeuralEngineComputeDevice(_MLNeuralEngineComputeDeviceProxy())
        preferred = npu if unit_of(self._program, name) == "NPU" else cpu
        return plan.MLComputePlanDeviceUsage(preferred, [cpu, npu])

    def get_estimated_cost_for_mlprogram_operation(self, operation: Any) -> Any:
        from coremltools.models import compute_plan as plan

        share = shares(self._program).get(operation.outputs[0].name)
        return None if share is None else plan.MLComputePlanCost(share)
