"""Runs a .tflite for the kit in an environment with another runtime: `python runtime_client.py MODEL`.

Needs numpy and the runtime, nothing of the kit but the engine beside it. Answers on standard output: first with the
inputs and outputs of the file as a line of JSON, then, for every npz of inputs that comes in on standard input behind a
line with its length, with one of the outputs in the same way.
"""

import importlib
import io
import json
import os
import sys
from typing import Any

import numpy as np


def main(path: str) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the runtime's own words go elsewhere
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # an isolated Python doesn't look there
    model = importlib.import_module("engine").Model(path, 2)
    described = model.described()
    answers.write(json.dumps(described).encode() + b"\n")
    answers.flush()
    while line := sys.stdin.buffer.readline():
        with np.load(io.BytesIO(sys.stdin.buffer.read(int(line)))) as values:
            model.enter({name: _raw(values[name]) for name, _, _ in described[0]})
        model.run()
        raw, content = model.outputs(), io.BytesIO()
        arrays: dict[str, Any] = {
            name: np.frombuffer(raw[name], _little(dtype)).reshape(shape) for name, shape, dtype in described[1]
        }
        np.savez(content, **arrays)
        answers.write(b"%d\n" % len(content.getvalue()) + content.getvalue())
        answers.flush()


def _little(dtype: str) -> Any:
    return np.dtype(dtype).newbyteorder("<")


def _raw(values: Any) -> bytes:
    found: bytes = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
