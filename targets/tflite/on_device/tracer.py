"""Time each kernel of a .tflite: `python tracer.py MODEL THREADS RUNS` prints one JSON object.

It is put on devices, so it imports nothing of the kit, and it is a process of its own, as it goes through the profiler
of LiteRT's C interface, which its Python classes don't have. That interface isn't stable: this is for the library of
ai-edge-litert 2.3. What it prints has the keys
    kernels      [name, microseconds] of each call in one inference, in their order, the mean of the faster half of the
                 runs; XNNPACK's own names
    operations   [type, name of its first output] of each operation of the file, in their order
or `why_not`, one line, where they can't be timed. THREADS is 0 for the runtime's own choice. The inputs' values are
whatever memory holds, as no kernel's time depends on them.
"""

from __future__ import annotations

import ctypes
import json
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TESTED = "2.3."
CPU = 1
# LiteRtElementType.
ELEMENTS = {"float32": 1, "int32": 2, "uint8": 3}
# LiteRtTensorBufferLockMode; and a byte that makes a gray pixel of bytes, and 0.0115 of float32.
WRITE, FILLING = 1, 0x3C
# Events of LiteRT itself, which contain those of the kernels.
AROUND = {"Invoke", "AllocateTensors"}


class TraceError(Exception):
    """The installed library is another one, or says no."""


class _Layout(Structure):
    _fields_ = (
        ("rank", c_uint32, 7),
        ("has_strides", c_uint32, 1),
        ("dimensions", c_int32 * 8),
        ("strides", c_uint32 * 8),
    )


class _RankedTensorType(Structure):
    _fields_ = (("element", c_int), ("layout", _Layout))


class _Event(Structure):
    _fields_ = (
        ("tag", c_char_p),
        ("kind", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_size_t * 6),
        ("metadata", c_uint64 * 2),
        ("source", c_int),
    )


def trace(path: str, threads: int, runs: int) -> dict[str, Any]:
    """Return what is printed. Raises: TraceError."""
    try:
        installed = version("ai-edge-litert")
    except PackageNotFoundError:
        raise TraceError("ai-edge-litert isn't installed there") from None
    if not installed.startswith(TESTED):
        raise TraceError(f"ai-edge-litert {installed}: its profiler is known for {TESTED}x only")
    spec = find_spec("ai_edge_litert")
    if spec is None or spec.origin is None:
        raise TraceError("ai-edge-litert has no folder")
    model = _Compiled(ctypes.CDLL(str(Path(spec.origin).with_name("libLiteRt.so"))), path, threads)
    model.run()
    found = [model.profiled_run() for _ in range(runs)]
    names = [name for name, _ in found[0]]
    if any([name for name, _ in run] != names for run in found):
        raise TraceError("the kernels aren't the same in every run")
    # Whatever else the machine did made some runs longer: half of them, as many as the figures need.
    found.sort(key=lambda run: sum(us for _, us in run))
    quiet = [[us for _, us in run] for run in found[: (runs + 1) // 2]]
    means = [sum(times) / len(quiet) for times in zip(*quiet, strict=True)]
    return {"kernels": list(zip(names, means, strict=True)), "operations": _operations(path)}


def _operations(path: str) -> list[tuple[str, str]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(path, experimental_op_resolver_type=plain)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    return [(each["op_name"], names[each["outputs"][0]]) for each in interpreter._get_ops_details()]


class _Compiled:
    """A loaded model with its buffers. Everything lives as long as the process."""

    def __init__(self, library: ctypes.CDLL, path: str, threads: int) -> None:
        self._library = library
        self._environment, model, options, self._model = (c_void_p() for _ in range(4))
        self._call("LiteRtCreateEnvironment", 0, None, byref(self._environment))
        self._call("LiteRtCreateModelFromFile", self._environment, path.encode(), byref(model))
        self._call("LiteRtCreateOptions", byref(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        self._texts = [
            self._set(options, "runtime_options_string", "enable_profiling = true\n"),
            self._set(options, "xnnpack", f"num_threads = {threads}\n") if threads else (),
        ]
        self._call("LiteRtCreateCompiledModel", self._environment, model, options, byref(self._model))
        self._profiler = c_void_p()
        self._call("LiteRtCompiledModelGetProfiler", self._model, byref(self._profiler))
        self._inputs, self._outputs = self._buffers(path)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise TraceError(f"{name} ended with {status}")

    def _set(self, options: c_void_p, identifier: str, text: str) -> tuple[Any, ...]:
        """Add options as text; return what must stay alive."""
        nothing = ctypes.CFUNCTYPE(None, c_void_p)(lambda _: None)
        payload, opaque = ctypes.create_string_buffer(text.encode()), c_void_p()
        pointer = ctypes.cast(payload, c_void_p)
        self._call("LiteRtCreateOpaqueOptions", identifier.encode(), pointer, nothing, byref(opaque))
        self._call("LiteRtAddOpaqueOptions", options, opaque)
        return nothing, payload

    def _buffers(self, path: str) -> tuple[Any, Any]:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(path)
        details = interpreter.get_input_details()
        inputs = self._made(details, "LiteRtGetCompiledModelInputBufferRequirements")
        for buffer, detail in zip(inputs, details, strict=True):
            self._fill(c_void_p(buffer), 0 if detail["dtype"].__name__ == "int32" else FILLING)
        outputs = self._made(interpreter.get_output_details(), "LiteRtGetCompiledModelOutputBufferRequirements")
        return inputs, outputs

    def _made(self, details: list[dict[str, Any]], requirements_of: str) -> Any:
        made = (c_void_p * len(details))()
        for index, detail in enumerate(details):
            requirements, buffer, kind = c_void_p(), c_void_p(), _RankedTensorType()
            self._call(requirements_of, self._model, c_size_t(0), c_size_t(index), byref(requirements))
            if detail["dtype"].__name__ not in ELEMENTS:
                raise TraceError("inputs and outputs of " + detail["dtype"].__name__ + " aren't known to it")
            kind.element = ELEMENTS[detail["dtype"].__name__]
            kind.layout.rank = len(detail["shape"])
            kind.layout.dimensions[: kind.layout.rank] = [int(side) for side in detail["shape"]]
            create = "LiteRtCreateManagedTensorBufferFromRequirements"
            self._call(create, self._environment, byref(kind), requirements, byref(buffer))
            made[index] = buffer
        return made

    def _fill(self, buffer: c_void_p, byte: int) -> None:
        """Fill an input with a value that is in its range, as subnormal numbers, which may lie there, take longer."""
        place, size = c_void_p(), c_size_t()
        self._call("LiteRtGetTensorBufferSize", buffer, byref(size))
        self._call("LiteRtLockTensorBuffer", buffer, byref(place), WRITE)
        ctypes.memset(place, byte, size.value)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def run(self) -> None:
        """Compute once."""
        inputs, outputs = c_size_t(len(self._inputs)), c_size_t(len(self._outputs))
        self._call("LiteRtRunCompiledModel", self._model, c_size_t(0), inputs, self._inputs, outputs, self._outputs)

    def profiled_run(self) -> list[tuple[str, int]]:
        """Compute once; return the name and microseconds of each kernel's call."""
        count = c_int()
        self._call("LiteRtStartProfiler", self._profiler)
        self.run()
        self._call("LiteRtStopProfiler", self._profiler)
        self._call("LiteRtGetNumProfilerEvents", self._profiler, byref(count))
        events = (_Event * count.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, ctypes.cast(events, POINTER(_Event)))
        found = [(event.tag.decode(), event.elapsed_us) for event in events]
        self._call("LiteRtResetProfiler", self._profiler)
        return [(tag, us) for tag, us in found if tag not in AROUND and not tag.startswith("LiteRT::")]


def main(path: str, threads: str, runs: str) -> None:
    """Trace, and say what was found."""
    try:
        found = trace(path, int(threads), int(runs))
    except (TraceError, OSError, AttributeError) as exc:
        found = {"why_not": str(exc)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
