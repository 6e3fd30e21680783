"""A bare loop over a .pte: `python -m tests.benchmarks.bare_loop MODEL IMAGE THREADS CALLS` times CALLS a line.

It prints their milliseconds as a JSON list, and takes turns as the kit's runner does: a rest, a call to wake up.
"""

import json
import sys
import time
from pathlib import Path

import torch
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime

from mobile_kit.profiling.devices.runner import PAUSE_S


def main(path: str, image_path: str, threads: int, calls: int) -> None:
    """Load, and take turns."""
    _unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(path).load_method("forward")
    values = bytearray(Path(image_path).read_bytes())
    image = torch.frombuffer(values, dtype=torch.uint8).reshape(tuple(method.metadata.input_tensor_meta(0).sizes()))
    while sys.stdin.readline():
        time.sleep(PAUSE_S)
        method.execute([image])
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            method.execute([image])
            times.append(1e3 * (time.perf_counter() - start))
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
