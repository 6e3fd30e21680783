"""Run a .tflite file with tflite-runtime 2.14; runs in an environment that has it, with numpy below 2.

    python runtime_client.py MODEL IN.npz OUT.npz

IN.npz holds one array an input, by its name in the file, with the samples along the first axis; OUT.npz the outputs.
"""

import sys

import numpy as np
from tflite_runtime.interpreter import Interpreter


def main(model: str, source: str, sink: str) -> None:
    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    with np.load(source) as samples:
        count = len(samples[inputs[0]["name"]])
        results = []
        for i in range(count):
            for detail in inputs:
                interpreter.set_tensor(detail["index"], samples[detail["name"]][i : i + 1])
            interpreter.invoke()
            results.append({detail["name"]: interpreter.get_tensor(detail["index"]) for detail in outputs})
    np.savez(sink, **{name: np.concatenate([result[name] for result in results]) for name in results[0]})


if __name__ == "__main__":
    main(*sys.argv[1:])
