"""coremltools' app on the phone: answers the JSON-RPC messages that appear in a folder. `python app.py FOLDER`.

What it takes and refuses is as in coremltools 9.0's ModelService.swift: arrays alone go in and out.
"""

import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from targets.coreml.mil import Interpreter, Program, read_program
from tests.device_lab.mac.core_ml import shares, unit_of

DTYPES = {"Float16": np.float16, "Float32": np.float32, "Float64": np.float64, "Int32": np.int32}


class ServiceError(Exception):
    """What the app answers with an error."""


class Service:
    """The models that are loaded, by their identifiers."""

    def __init__(self) -> None:
        self._models: dict[str, Interpreter] = {}

    def load(self, asked: dict[str, Any], resource: Path | None) -> tuple[dict[str, Any], bytes | None]:
        if resource is None or not resource.is_dir():
            raise ServiceError("Model file is required but was not provided.")
        start = time.perf_counter_ns()
        self._models[asked["modelID"]] = Interpreter(read_program(resource))
        return {"duration": time.perf_counter_ns() - start, "isCached": False}, None

    def unload(self, asked: dict[str, Any], resource: Path | None) -> tuple[dict[str, Any], bytes | None]:
        del self._models[asked["modelID"]]
        return {}, None

    def prediction(self, asked: dict[str, Any], resource: Path | None) -> tuple[dict[str, Any], bytes | None]:
        assert resource is not None
        model, content = self._models[asked["modelID"]], resource.read_bytes()
        inputs = {name: _array(each, content) for name, each in asked["inputs"].items()}
        for feature in model.program.inputs:
            if feature.kind != "array":
                raise ServiceError(f"the input feature {feature.name} expects an image, was provided a multi array")
        start = time.perf_counter_ns()
        results = model.run(inputs).outputs
        took = time.perf_counter_ns() - start
        outputs, stored = {}, b""
        for name, value in results.items():
            if not isinstance(value, np.ndarray):
                raise ServiceError(f"Incompatible output format detected for model ID '{asked['modelID']}'.")
            offset = len(stored)
            stored += value.tobytes()
            # The size is that of all so far, as in the app.
            storage = {"offset": offset, "size": len(stored)}
            kind = next(name for name, dtype in DTYPES.items() if dtype == value.dtype)
            strides = [each // value.itemsize for each in np.ascontiguousarray(value).strides]
            outputs[name] = {"dataType": kind, "shape": list(value.shape), "strides": strides, "storage": storage}
        return {"outputs": outputs, "duration": took}, stored

    def compute_plan(self, asked: dict[str, Any], resource: Path | None) -> tuple[dict[str, Any], bytes | None]:
        return {"infos": list(_infos(self._models[asked["modelID"]].program))}, None


def _array(described: dict[str, Any], content: bytes) -> Any:
    dtype, storage = np.dtype(DTYPES[described["dataType"]]), described["storage"]
    part = content[storage["offset"] : storage["offset"] + storage["size"]]
    strides = [each * dtype.itemsize for each in described["strides"]]
    return np.ndarray(described["shape"], dtype, part, strides=strides).copy()


def _infos(program: Program) -> Any:
    devices = {"CPU": {"cpu": {}}, "GPU": {"gpu": {}}, "NPU": {"neuralEngine": {"totalCoreCount": 16}}}
    for name, share in shares(program).items():
        place = [
            {"program": {}},
            {"programFunction": {"data": {"name": "main"}}},
            {"programBlock": {"data": {"index": -1}}},
            {"programOperation": {"data": {"outputName": name}}},
        ]
        preferred = devices[unit_of(program, name)]
        usage = {"preferred": preferred, "supported": [*devices.values()]}
        yield {"deviceUsage": usage, "estimatedCost": share, "path": {"components": place}}


def main(folder: Path) -> None:
    # Those that an app before this one has answered stay.
    service, done = Service(), {path.name for path in folder.glob("responses/*")}
    methods = {
        "MLModelService.Load": service.load,
        "MLModelService.Unload": service.unload,
        "MLModelService.Prediction": service.prediction,
        "MLModelService.ComputePlan": service.compute_plan,
    }
    while True:
        if (folder.parents[2] / "unplugged").exists():
            sys.exit("ERROR: The device was disconnected. (com.apple.dt.CoreDeviceError error 4000)")
        for path in folder.glob("requests/messages/*/message.json"):
            if path.parent.name not in done:
                done.add(path.parent.name)
                _answer(folder, json.loads(path.read_text()), methods)
        time.sleep(0.005)


def _answer(folder: Path, message: dict[str, Any], methods: dict[str, Any]) -> None:
    number, name = message["id"], message.get("resource")
    resource = None if name is None else folder / "requests/resources" / number / name
    said: dict[str, Any] = {"jsonrpc": "2.0", "id": number}
    place = folder / "responses" / number
    place.mkdir(parents=True)
    try:
        result, stored = methods[message["method"]](message["params"], resource)
        said["result"] = {"modelID": message["params"]["modelID"], **result}
        if stored is not None:
            said["resource"] = f"{uuid.uuid4()}.bin"
            (place / said["resource"]).write_bytes(stored)
    except ServiceError as exc:
        said |= {"result": {}, "error": {"code": -32603, "message": str(exc)}}
    part = place / "message.part"
    part.write_text(json.dumps(said))
    part.rename(place / "message.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
