"""Execute a `Program`: each op by its torch function, each result against its declared type."""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mobile_kit.errors import one_line
from targets.coreml.mil.blob import STORAGE
from targets.coreml.mil.inputs import feed
from targets.coreml.mil.ops import OPS, Label, Value
from targets.coreml.mil.program import Argument, MilError, Op, Port, Program, Ref, fits, format_shape

__all__ = ["Interpreter", "Observation", "Output", "RunResult", "run"]

Output = np.ndarray | Label | dict[Label, float]


@dataclass(frozen=True)
class Observation:
    """The range of one value. min, max: over its finite elements, None where there are none."""

    min: float | None
    max: float | None
    nonfinite: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RunResult:
    """What one run gave: each output by name, and the range of each watched value."""

    outputs: dict[str, Output]
    observed: dict[str, Observation]


@dataclass(frozen=True, eq=False)
class Step:
    """An op with its function.

    variadic: the input that takes several tensors. static: those that are constants. last_uses: values to drop after.
    """

    op: Op
    function: Callable[..., Value | tuple[Value, ...]]
    variadic: str | None
    static: frozenset[str]
    last_uses: tuple[str, ...] = ()


def run(program: Program, inputs: Mapping[str, np.ndarray], watch: Collection[str] | None = None) -> RunResult:
    """Execute a program once; `Interpreter` keeps what can be kept between runs.

    inputs, watch, Raises: as of `Interpreter.run`.
    """
    return Interpreter(program).run(inputs, watch)


class Interpreter:
    """A program that is ready to run: its ops are known and its constants decompressed.

    Raises: MilError naming every op, or every parameter of an op, that isn't known, and every value with two makers.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        _refuse_unknown(program)
        _refuse_redefined(program)
        steps = [_bind(op) for op in program.ops]
        self._constants: dict[str, Value] = {}
        with torch.inference_mode():
            for step in filter(_is_constant, steps):
                self._constants.update(_execute(step, self._constants))
        kept = {feature.name for feature in program.outputs}
        self._steps = _schedule([step for step in steps if not _is_constant(step)], kept)

    def run(self, inputs: Mapping[str, np.ndarray], watch: Collection[str] | None = None) -> RunResult:
        """Execute the program.

        inputs: one array a feature. An image is RGB (1, 3, H, W) or gray (1, 1, H, W), 0..255, of any real dtype.
        watch: names from `program.tensor_names` whose range is reported; none by default.
        Raises: MilError for inputs or watched names that the program hasn't, an op that fails, or a result whose shape
        or dtype isn't what the file declares.
        """
        watched = frozenset(watch or ())
        _check_watch(self.program, watched)
        with torch.inference_mode():
            values: dict[str, Value] = dict(self._constants)
            values.update(feed(self.program.inputs, inputs))
            observed = {name: observe(values[name]) for name in sorted(watched & values.keys())}
            for step in self._steps:
                results = _execute(step, values)
                observed.update({name: observe(value) for name, value in results.items() if name in watched})
                values.update(results)
                for name in step.last_uses:
                    values.pop(name, None)
            outputs = {feature.name: _export(values[feature.name]) for feature in self.program.outputs}
        return RunResult(outputs, observed)


def observe(value: Value) -> Observation:
    """Return the range of a tensor."""
    tensor = torch.as_tensor(value)
    finite = tensor if tensor.is_floating_point() else tensor.to(torch.int64)
    low, high = _range(finite)
    # Most values are finite, and then their range shows it: a mask of each value takes ten times as long.
    if low is not None and high is not None and not (math.isfinite(low) and math.isfinite(high)):
        finite = finite[finite.isfinite()]
        low, high = _range(finite)
    return Observation(low, high, tensor.numel() - finite.numel(), _dtype(tensor), tuple(tensor.shape))


def _range(tensor: Tensor) -> tuple[float | None, float | None]:
    """Return the least and greatest element: NaN where any is, None where there is none."""
    if not tensor.numel():
        return None, None
    low, high = torch.aminmax(tensor)
    return float(low), float(high)


def _refuse_unknown(program: Program) -> None:
    unknown = Counter(op.type for op in program.ops if op.type not in OPS)
    if unknown:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
        raise MilError(f"ops {names}: no torch function computes them here. Known: {', '.join(OPS)}.")


def _refuse_redefined(program: Program) -> None:
    """Core ML compiles no program in which a name stands for two values."""
    names = Counter(port.name for op in program.ops for port in op.outputs)
    names.update(feature.name for feature in program.inputs)
    twice = ", ".join(sorted(name for name, count in names.items() if count > 1))
    if twice:
        raise MilError(f"values {twice}: the program defines them twice. Export the model again.")


def _check_watch(program: Program, watched: frozenset[str]) -> None:
    unknown = watched.difference(program.tensor_names)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise MilError(f"watch {names}: no op of the program gives such a tensor. Known: program.tensor_names.")


def _bind(op: Op) -> Step:
    parameters = inspect.signature(OPS[op.type]).parameters
    unknown = op.inputs.keys() - parameters.keys()
    if unknown:
        raise MilError(
            f"{op.label}: parameter {', '.join(sorted(unknown))} isn't known. Known: {', '.join(parameters)}."
        )
    kinds = {name: parameters[name].kind for name in op.inputs}
    variadic = next((name for name, kind in kinds.items() if kind is inspect.Parameter.VAR_POSITIONAL), None)
    static = frozenset(name for name, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY)
    return Step(op, OPS[op.type], variadic, static)


def _is_constant(step: Step) -> bool:
    return step.op.type == "const" or step.op.type.startswith("constexpr_")


def _schedule(steps: Sequence[Step], kept: Collection[str]) -> list[Step]:
    """Return the steps with the values that each is the last to read, so memory is freed as a run goes on."""
    seen = set(kept)
    scheduled = []
    for step in reversed(steps):
        names = {argument.name for group in step.op.inputs.values() for argument in group if isinstance(argument, Ref)}
        names.update(port.name for port in step.op.outputs)
        scheduled.append(Step(step.op, step.function, step.variadic, step.static, tuple(sorted(names - seen))))
        seen |= names
    return scheduled[::-1]


def _execute(step: Step, values: Mapping[str, Value]) -> dict[str, Value]:
    op = step.op
    variadic: list[Value] = []
    keywords: dict[str, object] = {}
    for name, group in op.inputs.items():
        arguments = [_resolve(op, argument, values) for argument in group]
        if name == step.variadic:
            variadic = arguments
        else:
            keywords[name] = _plain(arguments[0]) if name in step.static else arguments[0]
    try:
        result = step.function(*variadic, **keywords)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as exc:
        raise MilError(f"{op.label}: torch can't compute it ({one_line(exc)}). Export the model again.") from exc
    several = isinstance(result, tuple) and op.type != "const"
    results = cast(tuple[Value, ...], result if several else (result,))
    if len(results) != len(op.outputs):
        raise MilError(f"{op.label}: {len(results)} results, but the file declares {len(op.outputs)}. Export again.")
    for port, value in zip(op.outputs, results, strict=True):
        _check_type(op, port, value)
    return {port.name: value for port, value in zip(op.outputs, results, strict=True)}


def _resolve(op: Op, argument: Argument, values: Mapping[str, Value]) -> Value:
    if not isinstance(argument, Ref):
        return torch.from_numpy(argument) if isinstance(argument, np.ndarray) else argument
    if argument.name not in values:
        raise MilError(f"{op.label}: nothing before it computes its input {argument.name!r}. Export the model again.")
    return values[argument.name]


def _plain(value: Value) -> object:
    return value.tolist() if isinstance(value, Tensor) else value


def _check_type(op: Op, port: Port, value: Value) -> None:
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    # Sub-byte integers are held one to a byte.
    held = STORAGE[port.dtype].name if port.dtype in STORAGE else port.dtype
    if _dtype(value) != held or not fits(shape, port.shape):
        raise MilError(
            f"op {op.type} {port.name!r}: computed {format_shape(_dtype(value), shape)}, but the file declares "
            f"{format_shape(port.dtype, port.shape)}. Export the model again."
        )


def _dtype(value: Value) -> str:
    if isinstance(value, Tensor):
        return str(value.dtype).removeprefix("torch.")
    return {dict: "dictionary", int: "int64", str: "string", tuple: "list"}[type(value)]


def _export(value: Value) -> Output:
    if isinstance(value, Tensor):
        return value.numpy().copy()
    if isinstance(value, tuple):
        raise MilError("output: it is a list, which no Core ML output is. Export the model again.")
    return value
