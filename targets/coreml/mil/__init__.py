"""Execute a saved Core ML .mlpackage (mlprogram) with torch, where there is no Mac.

    program = read_program(Path("model.mlpackage"))
    result = run(program, {"image": pixels}, watch=program.tensor_names)

The precision is the file's own: an fp16 op gets fp16 tensors and its result is fp16. Each op's declared shape and dtype
are checked against what was computed, and an op that isn't known is refused by name before anything runs.
"""

from targets.coreml.mil.interpreter import Interpreter, Observation, Output, RunResult, run
from targets.coreml.mil.ops import OPS
from targets.coreml.mil.program import Feature, MilError, Op, Port, Program, Ref
from targets.coreml.mil.reader import read_program

__all__ = [
    "OPS",
    "Feature",
    "Interpreter",
    "MilError",
    "Observation",
    "Op",
    "Output",
    "Port",
    "Program",
    "Ref",
    "RunResult",
    "read_program",
    "run",
]
