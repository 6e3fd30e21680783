"""The toolchains' own converters, alone: `python -m tests.benchmarks.converters TOOL MODULE.pt FILE [--precision P]`.

MODULE.pt holds (module, example inputs), saved with torch.save. Beside FILE comes FILE.json with what it took:
{"import_s", "convert_s", "graph"}, or {"error"}. Each runs as the toolchain's introduction has it, without any help.
"""

import argparse
import json
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from targets.tflite.delegate_graph import read_graph

__all__ = ["CONVERTERS"]

Examples = tuple[Tensor, ...]
Result = tuple[float, float, dict[str, int]]
"""When the imports and the conversion were done (perf_counter), and counts of the graph's operations."""


def coreml(module: nn.Module, examples: Examples, out: Path, precision: str) -> Result:
    """Convert to a .mlpackage with coremltools."""
    import coremltools as ct

    start = time.perf_counter()
    exported = torch.export.export(module, examples).run_decompositions({})
    package = ct.convert(
        exported,
        inputs=[ct.TensorType(name=f"input_{i}", shape=x.shape) for i, x in enumerate(examples)],
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT16 if precision == "fp16" else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    package.save(str(out))
    return start, time.perf_counter(), {}


def executorch(module: nn.Module, examples: Examples, out: Path, precision: str) -> Result:
    """Convert to a .pte with ExecuTorch's XNNPACK partitioner."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    start = time.perf_counter()
    edge = to_edge_transform_and_lower(torch.export.export(module, examples), partitioner=[XnnpackPartitioner()])
    out.write_bytes(edge.to_executorch().buffer)
    return start, time.perf_counter(), _edge_graph(edge.exported_program().graph_module)


def onnx(module: nn.Module, examples: Examples, out: Path, precision: str) -> Result:
    """Convert to ONNX with torch's exporter."""
    import onnx
    import onnxscript  # noqa: F401  the exporter needs it; imported here to count as an import

    start = time.perf_counter()
    torch.onnx.export(module, examples, str(out), dynamo=True)
    end = time.perf_counter()
    return start, end, dict(Counter(node.op_type for node in onnx.load(out, load_external_data=False).graph.node))


def tflite(module: nn.Module, examples: Examples, out: Path, precision: str) -> Result:
    """Convert to a .tflite with litert-torch."""
    import litert_torch

    start = time.perf_counter()
    litert_torch.convert(module, examples).export(str(out))
    end = time.perf_counter()
    ops, partitions, _ = read_graph(out)
    return start, end, {**ops, "partitions": partitions}


CONVERTERS: dict[str, Callable[[nn.Module, Examples, Path, str], Result]] = {
    "coreml": coreml,
    "executorch": executorch,
    "onnx": onnx,
    "tflite": tflite,
}


def _edge_graph(graph_module: Any) -> dict[str, int]:
    """Count operations inside and outside the delegates, and the delegates."""
    delegates = [child for name, child in graph_module.named_children() if name.startswith("lowered_module")]
    counts: Counter[str] = Counter(partitions=len(delegates))
    for module in (graph_module, *(child.original_module.graph_module for child in delegates)):
        for node in module.graph.nodes:
            if node.op == "call_function" and hasattr(node.target, "_schema"):
                counts[node.target._schema.name.split("::")[-1]] += 1
    return dict(counts)


def _error_line(exc: BaseException) -> str:
    """Return the line of a toolchain's error that says what is wrong, without paths."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()] or [type(exc).__name__]
    line = next((line for line in lines if "error:" in line), lines[0])
    line = line.split("error:")[-1].strip()
    return re.sub(r"(/[\w.+-]+){2,}", lambda match: Path(match[0]).name, line)[:200]


def main() -> int:
    """Convert, and say beside the file how it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=CONVERTERS)
    parser.add_argument("module", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--precision", choices=("fp16", "fp32"), default="fp32")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    module, examples = torch.load(options.module, weights_only=False)
    start = time.perf_counter()
    result: dict[str, Any]
    try:
        imported, end, graph = CONVERTERS[options.tool](module.eval(), examples, options.out, options.precision)
        result = {"import_s": imported - start, "convert_s": end - imported, "graph": graph}
    except Exception as exc:
        result = {"error": _error_line(exc)}
        raise
    finally:
        options.out.with_name(options.out.name + ".json").write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
