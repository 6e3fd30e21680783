"""Run a .mlpackage with Core ML for the kit's runner, on this Mac or on the iPhone plugged into it.

Unlike a device's, this engine runs in the kit's own environment. Times are those that Core ML's own calls take.
`python engine.py MODEL THREADS RUNS` prints what Core ML plans for each operation, as one JSON object.
"""

import functools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from PIL import Image

from targets.coreml.iphone_client import UDID, There, end, why
from targets.coreml.mlpackage import Package

# Core ML's memory isn't this process's, and its calls have work in them that is none of Core ML's.
OPAQUE = True
UNITS = {"MLCPUComputeDevice": "CPU", "MLGPUComputeDevice": "GPU", "MLNeuralEngineComputeDevice": "NPU"}


def name() -> str:
    """Return the runtime's name."""
    return f"Core ML, all units (coremltools {ct.__version__})"


@functools.cache
def _compiled(path: str) -> tuple[str, float]:
    """Return the path of a compiled package, which stays where it is as an app's does, and the microseconds it took."""
    start = time.perf_counter_ns()
    made = ct.models.utils.compile_model(path, str(Path(tempfile.mkdtemp(dir=Path(path).parent), "model.mlmodelc")))
    return made, (time.perf_counter_ns() - start) / 1e3


class Here:
    """A package loaded on this Mac."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._path, self.compile_us = _compiled(package.path)
        self._model = ct.models.CompiledMLModel(self._path)
        self.load_us = self._model._proxy.get_load_duration_in_nano_seconds() / 1e3

    def feature(self, key: str, content: bytes) -> Any:
        """Return a value as it takes it."""
        array = self._package.array(key, content)
        if key in self._package.images:
            return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        return array

    def predict(self, features: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Return the outputs, and the microseconds that it took."""
        outputs = self._model.predict(features)
        took_us = self._model._proxy.get_last_predict_duration_in_nano_seconds() / 1e3
        if self._package.labels:
            table = outputs[self._package.probabilities]
            outputs[self._package.probabilities] = np.array([table[label] for label in self._package.labels])
        return outputs, took_us

    def plan(self) -> Any:
        """Return what Core ML plans."""
        return ct.models.compute_plan.MLComputePlan.load_from_path(self._path, ct.ComputeUnit.ALL)

    def close(self) -> None:
        """Do nothing: it goes with this object."""


class Model:
    """A loaded file. Core ML has no number of threads: it is None."""

    threads = None

    def __init__(self, path: str, threads: int | None) -> None:
        self._package = Package(path)
        with _said_in_a_line():
            self._loaded: Here | There = There(self._package) if UDID else Here(self._package)
        self.load_us, self.compile_us = self._loaded.load_us, self._loaded.compile_us
        self._features: dict[str, Any] = {}
        self._results: dict[str, Any] = {}

    def close(self) -> None:
        """Take it down."""
        self._loaded.close()

    def partitions(self) -> int | None:
        """Return None: Core ML has a unit for each operation instead."""
        return None

    def enter(self, inputs: dict[str, bytes]) -> None:
        """Set the inputs, raw little-endian bytes by name."""
        self._features = {key: self._loaded.feature(key, content) for key, content in inputs.items()}

    def run(self) -> float:
        """Compute once; return the microseconds that it took."""
        with _said_in_a_line():
            self._results, took_us = self._loaded.predict(self._features)
        return took_us

    def outputs(self) -> dict[str, bytes]:
        """Return the outputs, raw little-endian bytes by name."""
        return {key: self._package.content(key, self._results[key]) for key in self._package.outputs}

    def zeros(self) -> dict[str, bytes]:
        """Return inputs of zeros."""
        return self._package.zeros()

    def plan(self) -> list[tuple[str, str, str | None, float | None]]:
        """Return each operation that is planned: its name, type, unit, and share of the time as Core ML guesses it."""
        with _said_in_a_line():
            plan = self._loaded.plan()
        found = []
        for op in plan.model_structure.program.functions["main"].block.operations:
            usage = plan.get_compute_device_usage_for_mlprogram_operation(op)
            cost = plan.get_estimated_cost_for_mlprogram_operation(op)
            if usage is not None:
                unit = UNITS.get(type(usage.preferred_compute_device).__name__)
                share = None if cost is None else cost.weight
                found.append((op.outputs[0].name, op.operator_name.rpartition(".")[2], unit, share))
        return found


@contextmanager
def _said_in_a_line() -> Iterator[None]:
    """End with one line where coremltools fails, in whichever way."""
    try:
        yield
    except Exception as exc:
        end(why(exc))


def main(path: str, runs: int) -> None:
    """Print what Core ML plans, and the mean microseconds of a call."""
    model = Model(path, None)
    model.enter(model.zeros())
    model.run()
    times = [model.run() for _ in range(runs)]
    print(json.dumps({"mean_us": sum(times) / len(times), "operations": model.plan()}))
    model.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]))
