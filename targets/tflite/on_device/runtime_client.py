"""Runs a .tflite for the kit in an environment with another runtime: `python runtime_client.py PACKAGE MODEL`.

Needs numpy and the runtime, nothing of the kit. Answers on standard output: first with the inputs and outputs of the
file as a line of JSON, then, for every npz of inputs that comes in on standard input behind a line with its length,
with one of the outputs in the same way.
"""

import io
import json
import os
import sys
from importlib import import_module

import numpy as np

MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def main(package: str, model: str) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the runtime's own words go elsewhere
    interpreter = import_module(MODULES[package]).Interpreter(model, num_threads=2)
    interpreter.allocate_tensors()
    ins, outs = interpreter.get_input_details(), interpreter.get_output_details()
    described = [[[d["name"], [int(n) for n in d["shape"]], np.dtype(d["dtype"]).name] for d in x] for x in (ins, outs)]
    answers.write(json.dumps(described).encode() + b"\n")
    answers.flush()
    while line := sys.stdin.buffer.readline():
        with np.load(io.BytesIO(sys.stdin.buffer.read(int(line)))) as values:
            for detail in ins:
                interpreter.set_tensor(detail["index"], values[detail["name"]])
        interpreter.invoke()
        content = io.BytesIO()
        np.savez(content, **{d["name"]: interpreter.get_tensor(d["index"]) for d in outs})
        answers.write(b"%d\n" % len(content.getvalue()) + content.getvalue())
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
