"""A bare loop over a .pte: `python -m tests.benchmarks.bare_loop MODEL IMAGE THREADS WARMUP RUNS` prints its median."""

import statistics
import sys
import time
from pathlib import Path

import torch
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime


def main(path: str, image_path: str, threads: int, warmup: int, runs: int) -> None:
    """Load, call, print."""
    _unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(path).load_method("forward")
    values = bytearray(Path(image_path).read_bytes())
    image = torch.frombuffer(values, dtype=torch.uint8).reshape(tuple(method.metadata.input_tensor_meta(0).sizes()))
    times = []
    for _ in range(warmup + runs):
        start = time.perf_counter()
        method.execute([image])
        times.append(1e3 * (time.perf_counter() - start))
    print(statistics.median(times[warmup:]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
