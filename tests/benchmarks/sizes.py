"""Size and operations of the fp16 .mlpackage of MobileViTV2-1.0, against coremltools on the Hugging Face model."""

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from targets.coreml.mil import Program, read_program
from targets.coreml.mil.program import Ref
from tests.benchmarks.process import Workshop
from tests.benchmarks.stock import CLASSIFIER, Plain, saved
from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

# The bounds that the kit sets itself.
MEGABYTES = 10.2
# MobileViTV2's own kernels are of 1 and 3; coremltools writes unfold as a convolution of the patch's size.
KERNELS = {1, 3}


def measure(shop: Workshop) -> Section:
    """Convert on both paths and count."""
    source = shop.scratch / "sized"
    checkpoint = saved(CLASSIFIER, source)
    examples = (torch.zeros(1, 3, *checkpoint.image_size),)
    module = shop.save("sized-stock", Plain(checkpoint.model), examples)
    stock = shop.convert("stock-coreml", "coreml", module, ".mlpackage", "--precision", "fp16")
    (folder,) = shop.export("sizes", source, "--target", "coreml", "--recipe", "fp16")
    ours = _counts(folder / "model.mlpackage")
    theirs: dict[str, Any] = dict.fromkeys(ours) if stock.path is None else _counts(stock.path)
    bounds = {"MB": MEGABYTES, "gather": 0, "tile": 0, "convolution kernels of another size than 1 and 3": 0}
    rows = [
        {
            "figure": figure,
            "mobile_kit": value,
            "coremltools, HF model": theirs[figure],
            **(judged(value, at_most=bounds[figure]) if figure in bounds else {}),
        }
        for figure, value in ours.items()
    ]
    notes = [f"coremltools, HF model: doesn't convert: {stock.error}"] if stock.error else []
    return Section("sizes", "MobileViTV2-1.0 fp16 .mlpackage", rows, notes)


def _counts(package: Path) -> dict[str, Any]:
    program = read_program(package)
    ops = Counter(op.type for op in program.ops)
    return {
        "MB": sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) / 1e6,
        "operations": sum(count for op, count in ops.items() if op != "const"),
        "gather": sum(count for op, count in ops.items() if op.startswith("gather")),
        "tile": ops["tile"],
        "convolution kernels of another size than 1 and 3": _odd_kernels(program),
        "transpose": ops["transpose"],
        "reshape": ops["reshape"],
    }


def _odd_kernels(program: Program) -> int:
    shapes = {port.name: port.shape for op in program.ops for port in op.outputs}
    weights = [op.inputs["weight"][0] for op in program.ops if op.type == "conv"]
    kernels = [(shapes.get(weight.name) or ())[2:] for weight in weights if isinstance(weight, Ref)]
    return sum(not set(kernel) <= KERNELS for kernel in kernels)
