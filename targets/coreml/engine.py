"""Run a .mlpackage with Core ML for the kit's runner: coremltools on a Mac is all that it needs.

It computes on the Mac, or on the iPhone plugged into it whose UDID the environment names. There coremltools' own app
computes, which takes and gives arrays alone: so the package that it gets has an array for an image, and none of a
classifier's dictionary. `python engine.py MODEL THREADS RUNS` prints what Core ML plans for each operation, as one JSON
object. It imports nothing of the kit.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import coremltools as ct
import numpy as np
from coremltools.models.ml_program.experimental.async_wrapper import RemoteMLModelAsyncWrapper
from coremltools.models.ml_program.experimental.remote_device import AppSigningCredentials, Device
from PIL import Image

UDID, TEAM, FOLDER = (os.environ.get("MOBILE_KIT_IOS_" + name, "") for name in ("UDID", "TEAM", "FOLDER"))
UNITS = {"MLCPUComputeDevice": "CPU", "MLGPUComputeDevice": "GPU", "MLNeuralEngineComputeDevice": "NPU"}
MIL, FEATURES = ct.proto.MIL_pb2, ct.proto.FeatureTypes_pb2
# A tensor's type as numpy has it, and as a model's description has it.
DTYPES = {MIL.FLOAT16: np.float16, MIL.FLOAT32: np.float32, MIL.INT32: np.int32}
ARRAYS = {
    MIL.FLOAT16: FEATURES.ArrayFeatureType.FLOAT16,
    MIL.FLOAT32: FEATURES.ArrayFeatureType.FLOAT32,
    MIL.INT32: FEATURES.ArrayFeatureType.INT32,
}


def name() -> str:
    """Return the runtime's name."""
    return "Core ML, all units (coremltools " + ct.__version__ + ")"


class Package:
    """A package as it is, what it takes and gives, and how to make the app's of it.

    images: names of the inputs that are. types: of every input and output in the program, by the feature's name.
    vector: the name of a classifier's probabilities in the program; labels: their order.
    """

    def __init__(self, path: str) -> None:
        self.path, self.spec = path, ct.utils.load_spec(path)
        self.weights = str(Path(path, "Data/com.apple.CoreML/weights"))
        self._function = self.spec.mlProgram.functions["main"]
        self._block = self._function.block_specializations[self._function.opset]
        self.images = [each.name for each in self.spec.description.input if each.type.HasField("imageType")]
        self.types = {each.name: each.type.tensorType for each in self._function.inputs}
        made = {out.name: out.type.tensorType for op in self._block.operations for out in op.outputs}
        self.vector, self.labels, self._classify = "", [], None
        for op in self._block.operations:
            if op.type == "classify":
                self._classify, self.vector = op, op.inputs["probabilities"].arguments[0].name
                self.labels = _strings(self._block, op.inputs["classes"].arguments[0])
        self.probabilities = self.spec.description.predictedProbabilitiesName
        for each in self.spec.description.output:
            if each.name == self.probabilities or each.name in made:
                self.types[each.name] = made[self.vector if each.name == self.probabilities else each.name]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs that are tensors, a classifier's probabilities among them."""
        given = [each.name for each in self.spec.description.output]
        return [each for each in given if each != self.spec.description.predictedFeatureName]

    def of_arrays(self) -> Any:
        """Return the description and program of the same model with arrays for images and dictionaries."""
        spec = ct.proto.Model_pb2.Model()
        spec.CopyFrom(self.spec)
        for each in spec.description.input:
            if each.name in self.images:
                _as_array(each, self.types[each.name])
        if self._classify is not None:
            function = spec.mlProgram.functions["main"]
            block = function.block_specializations[function.opset]
            gone = {out.name for op in block.operations if op.type == "classify" for out in op.outputs}
            _keep(block.operations, lambda op: op.type != "classify")
            left = [each for each in block.outputs if each not in gone]
            block.outputs[:] = [*left, self.vector]
            label = spec.description.predictedFeatureName
            _keep(spec.description.output, lambda each: each.name != label)
            for each in spec.description.output:
                if each.name == self.probabilities:
                    _as_array(each, self.types[each.name])
                    each.name = self.vector
            spec.description.predictedFeatureName = spec.description.predictedProbabilitiesName = ""
        return spec


def _keep(items: Any, wanted: Any) -> None:
    kept = [item for item in items if wanted(item)]
    del items[:]
    items.extend(kept)


def _as_array(feature: Any, kind: Any) -> None:
    feature.type.Clear()
    feature.type.multiArrayType.shape.extend(each.constant.size for each in kind.dimensions)
    feature.type.multiArrayType.dataType = ARRAYS[kind.dataType]


def _strings(block: Any, argument: Any) -> list[str]:
    """Return the strings of an argument, given as it is or as the name of a constant."""
    value = argument.value
    if argument.name:
        (constant,) = [op for op in block.operations if op.outputs and op.outputs[0].name == argument.name]
        value = constant.attributes["val"]
    inner = value.immediateValue
    if inner.HasField("list"):
        return [each.immediateValue.tensor.strings.values[0] for each in inner.list.values]
    return list(inner.tensor.strings.values)


class Here:
    """A package loaded on this Mac."""

    load_us = None

    def __init__(self, package: Package) -> None:
        self._package, self._model = package, ct.models.MLModel(package.path)
        if self._model.get_compiled_model_path() is None:
            raise RuntimeError("Core ML doesn't load " + package.path)

    def feature(self, key: str, content: bytes) -> Any:
        """Return a value as it takes it."""
        if key not in self._package.images:
            return _values(content, self._package.types[key])
        image = _pixels(content, self._package.types[key])
        return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)

    def predict(self, features: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        """Return the outputs, and the microseconds that it took."""
        outputs = self._model.predict(features)
        took_ns = self._model.last_predict_duration_in_nano_seconds
        if self._package.labels:
            table = outputs[self._package.probabilities]
            outputs[self._package.probabilities] = np.array([table[label] for label in self._package.labels])
        return outputs, None if took_ns is None else took_ns / 1e3

    def plan(self) -> Any:
        """Return what Core ML plans."""
        path = self._model.get_compiled_model_path()
        return ct.models.compute_plan.MLComputePlan.load_from_path(path, ct.ComputeUnit.ALL)

    def close(self) -> None:
        """Do nothing: it goes with this object."""


class There:
    """A package loaded on the iPhone."""

    def __init__(self, package: Package) -> None:
        self._package, self._loop = package, _loop()
        self._model = RemoteMLModelAsyncWrapper(package.of_arrays(), package.weights, _phone())
        self._loop.run_until_complete(self._model.load())
        took_ns = self._model.load_duration_in_nano_seconds
        if not took_ns:
            raise RuntimeError("the phone's app doesn't say how long loading took")
        self.load_us = took_ns / 1e3

    def feature(self, key: str, content: bytes) -> Any:
        """Return a value as it takes it."""
        kind = self._package.types[key]
        if key not in self._package.images:
            return _values(content, kind)
        return np.ascontiguousarray(_pixels(content, kind).transpose(2, 0, 1)[None], DTYPES[kind.dataType])

    def predict(self, features: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        """Return the outputs, and the microseconds that it took there."""
        outputs = self._loop.run_until_complete(self._model.predict(features))
        took_ns = self._model.last_predict_duration_in_nano_seconds
        if not took_ns:
            raise RuntimeError("the phone's app doesn't say how long a prediction took")
        if self._package.labels:
            outputs[self._package.probabilities] = outputs.pop(self._package.vector)
        return outputs, took_ns / 1e3

    def plan(self) -> Any:
        """Return what Core ML plans."""
        return self._loop.run_until_complete(self._model.retrieve_compute_plan())

    def close(self) -> None:
        """Let the phone forget it."""
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(self._model.unload())


class Model:
    """A loaded file. Core ML has no number of threads: it is null."""

    threads = None

    def __init__(self, path: str, threads: int | None) -> None:
        self._package = Package(path)
        with _said_in_a_line():
            self._loaded: Here | There = There(self._package) if UDID else Here(self._package)
        self.load_us = self._loaded.load_us
        self._features: dict[str, Any] = {}
        self._results: dict[str, Any] = {}

    def close(self) -> None:
        """Take it down."""
        self._loaded.close()

    def partitions(self) -> int | None:
        """Return null: Core ML has a unit for each operation instead."""
        return None

    def enter(self, inputs: dict[str, bytes]) -> None:
        """Set the inputs, raw little-endian bytes by name."""
        self._features = {key: self._loaded.feature(key, content) for key, content in inputs.items()}

    def run(self) -> float | None:
        """Compute once; return the microseconds that it took, null where Core ML doesn't say."""
        with _said_in_a_line():
            self._results, took_us = self._loaded.predict(self._features)
        return took_us

    def outputs(self) -> dict[str, bytes]:
        """Return the outputs, raw little-endian bytes by name."""
        found = {}
        for key in self._package.outputs:
            kind = np.dtype(DTYPES[self._package.types[key].dataType]).newbyteorder("<")
            found[key] = np.asarray(self._results[key]).astype(kind).tobytes()
        return found

    def zeros(self) -> dict[str, bytes]:
        """Return inputs of zeros."""
        found = {}
        for each in self._package.spec.description.input:
            kind = self._package.types[each.name]
            size = 1 if each.name in self._package.images else np.dtype(DTYPES[kind.dataType]).itemsize
            found[each.name] = bytes(int(np.prod(_shape(kind))) * size)
        return found

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


def _shape(kind: Any) -> tuple[int, ...]:
    return tuple(each.constant.size for each in kind.dimensions)


def _values(content: bytes, kind: Any) -> Any:
    dtype = np.dtype(DTYPES[kind.dataType])
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(_shape(kind))


def _pixels(content: bytes, kind: Any) -> Any:
    """Return the (H, W, C) bytes of a pixel buffer."""
    _, channels, height, width = _shape(kind)
    return np.frombuffer(content, np.uint8).reshape(height, width, channels)


@functools.cache
def _loop() -> Any:
    return asyncio.new_event_loop()


@functools.cache
def _phone() -> Device:
    """Return the iPhone with the app on it that answers: coremltools builds, signs, installs and starts it."""
    folder = Path(FOLDER, "modelrunner")
    for path in (str(folder), tempfile.gettempdir()):
        if not re.fullmatch(r"[\w./+-]+", path):  # it puts them into command lines as they are
            sys.exit("coremltools can't use the folder " + repr(path) + ": set TMPDIR to one of letters and digits")
    folder.mkdir(exist_ok=True)
    (device,) = [each for each in Device.get_devices() if each.udid == UDID]
    signing = AppSigningCredentials(development_team=TEAM)
    try:
        ready = _loop().run_until_complete(device.prepare_for_model_debugging(signing, folder))
    except Exception as exc:
        hint = "" if TEAM else ": it is signed by your team, so give that (--team)"
        _end("coremltools can't build, install or start its app on the phone (" + _last(exc) + ")" + hint)
    atexit.register(ready.session.stop)
    return ready


@contextlib.contextmanager
def _said_in_a_line() -> Any:
    """End with one line where coremltools fails, in whichever way."""
    try:
        yield
    except Exception as exc:
        _end(_last(exc))


def _end(words: str) -> NoReturn:
    """End at once: the client, taken down, would wait for a phone that is gone, and have the last word."""
    if _phone.cache_info().currsize:
        _phone().session.stop()
    sys.stderr.write("\n" + words + "\n")
    sys.stderr.flush()
    os._exit(1)


def _last(exc: Exception) -> str:
    """Return the last line of what an error says; coremltools has a command's own words as bytes."""
    said = getattr(exc, "message", None) or str(exc)
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return ([*filter(str.strip, text.splitlines())] or [type(exc).__name__])[-1].strip()


def main(path: str, runs: int) -> None:
    """Print what Core ML plans, and the mean microseconds of a call, null where Core ML doesn't say."""
    model = Model(path, None)
    model.enter(model.zeros())
    model.run()
    times = [took_us for _ in range(runs) if (took_us := model.run()) is not None]
    mean_us = sum(times) / len(times) if times else None
    print(json.dumps({"mean_us": mean_us, "operations": model.plan()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]))
