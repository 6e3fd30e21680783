"""Latency of a full-size classifier in fp32: this kit's files, the stock paths, and other engines."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.measurements.metrics import distance
from mobile_kit.preprocessing.synthetic_images import scene
from tests.benchmarks.engines import LOADERS, Run, eager
from tests.benchmarks.process import Conversion, Workshop
from tests.benchmarks.stock import Plain, saved
from tests.benchmarks.table import Section, judged
from tests.benchmarks.turns import Plan, Timing, interleave

__all__ = ["measure"]

BASELINE, FASTEST = "ONNX Runtime, HF model", "OpenVINO, HF model"
# Parts of ONNX Runtime's time; the engine's stock file, where there is one, is to be beaten too.
BOUNDS = {"ExecuTorch, mobile_kit": 1.0, "LiteRT, mobile_kit": 0.95}


@dataclass
class _Contender:
    """A file and its engine, or why there is none. graph: counts of partitions, transposes and reshapes."""

    run: Run | None
    graph: dict[str, Any] = field(default_factory=dict)
    note: str | None = None


def measure(model: str, shop: Workshop, rounds: int) -> Section:
    """Build all files of a known model, and time them against one another."""
    torch.set_num_threads(shop.threads)
    slug = model.rpartition("/")[2]
    source = shop.scratch / f"latency-{slug}"
    checkpoint = saved(model, source, "classification")
    values = checkpoint.preprocess.arithmetic(checkpoint.preprocess.geometry(scene(1)))
    contenders = {**_stock(shop, source, checkpoint, values), **_ours(shop, source, values)}
    runs = {name: contender.run for name, contender in contenders.items() if contender.run is not None}
    reference = runs["torch eager, HF model"]()
    timing = interleave(runs, Plan(rounds=rounds, tries=5 * rounds))
    rows = [_row(name, contender, timing, reference) for name, contender in contenders.items()]
    _judge(rows, timing.quiet)
    return Section(
        name=f"latency of {slug}",
        title=f"Latency of {slug}, fp32, pixel_values, {shop.threads} threads",
        rows=sorted(rows, key=lambda row: row["ratio"] or np.inf),
        notes=_notes(timing),
        details={"calls_ms": timing.calls_ms, "rounds": timing.rounds, "tries": timing.tries, "quiet": timing.quiet},
    )


def _ours(shop: Workshop, model: Path, values: NDArray[np.float32]) -> dict[str, _Contender]:
    engines = {"executorch": "ExecuTorch", "tflite": "LiteRT"}
    found = {}
    for folder in shop.export(
        f"ours-{model.name}", model, "--target", ",".join(engines), "--input", "pixel_values", "--outputs", "logits"
    ):
        manifest = read_manifest(folder)
        engine = engines[manifest.record.target]
        graph = manifest.record.graph
        found[f"{engine}, mobile_kit"] = _Contender(
            LOADERS[engine](manifest.model_path, values, shop.threads),
            {"partitions": graph.partitions, **_moves(graph.ops)},
        )
    return found


def _stock(shop: Workshop, source: Path, checkpoint: Checkpoint, values: NDArray[np.float32]) -> dict[str, _Contender]:
    model = Plain(checkpoint.model)
    name = source.name
    module = shop.save(f"stock-{name}", model, (torch.from_numpy(values),))
    convert = partial(_converted, shop, values)
    onnx = shop.convert(f"stock-onnx-{name}", "onnx", module, ".onnx")
    return {
        BASELINE: convert("ONNX Runtime", onnx),
        FASTEST: convert("OpenVINO", onnx),
        "ExecuTorch, HF model": convert("ExecuTorch", shop.convert(f"stock-pte-{name}", "executorch", module, ".pte")),
        "LiteRT, HF model": convert("LiteRT", shop.convert(f"stock-tflite-{name}", "tflite", module, ".tflite")),
        "torch eager, HF model": _Contender(eager(model, values)),
    }


def _converted(shop: Workshop, values: NDArray[np.float32], engine: str, conversion: Conversion) -> _Contender:
    if conversion.path is None:
        return _Contender(None, note=f"doesn't convert: {conversion.error}")
    graph = conversion.graph
    counts = {"partitions": graph.get("partitions"), **_moves(graph)} if graph else {}
    return _Contender(LOADERS[engine](conversion.path, values, shop.threads), counts)


def _moves(ops: dict[str, int]) -> dict[str, int]:
    """Count what only moves data; each toolchain has its own names."""
    names = {"transposes": {"transpose", "permute", "permute_copy"}, "reshapes": {"reshape", "view", "view_copy"}}
    lowered = [(op.lower(), count) for op, count in ops.items()]
    return {column: sum(count for op, count in lowered if op in known) for column, known in names.items()}


def _row(name: str, contender: _Contender, timing: Timing, reference: NDArray[Any]) -> dict[str, Any]:
    columns = ("engine, model", "median ms", "min ms", "ratio", "of OpenVINO", "ratio of min")
    row: dict[str, Any] = dict.fromkeys(columns)
    row["engine, model"] = name
    if contender.run is not None:
        median, least = timing.median_ms(name), timing.min_ms(name)
        row |= {
            "median ms": median,
            "min ms": least,
            "ratio": median / timing.median_ms(BASELINE),
            "of OpenVINO": median / timing.median_ms(FASTEST),
            "ratio of min": least / timing.min_ms(BASELINE),
            "error sigma": distance(contender.run().reshape(reference.shape), reference),
        }
    row |= {column: contender.graph.get(column) for column in ("partitions", "transposes", "reshapes")}
    return {**row, "note": contender.note}


def _judge(rows: list[dict[str, Any]], quiet: bool) -> None:
    ratios = {row["engine, model"]: row["ratio"] for row in rows}
    for row in rows:
        name = row["engine, model"]
        if name in BOUNDS:
            stock = ratios[name.replace("mobile_kit", "HF model")]
            most = BOUNDS[name] if stock is None else min(BOUNDS[name], stock)
            row |= judged(row["ratio"] if quiet else None, at_most=most)


def _notes(timing: Timing) -> list[str]:
    count = f"{timing.rounds} of {timing.tries} rounds"
    if timing.quiet:
        kept = f"{count} count: in the others, other processes used the machine."
    else:
        kept = f"Nothing is decided: other processes used the machine in too many of the {timing.tries} rounds."
    return [
        kept,
        "Rounds in random order; 50 ms of rest and one untimed call before the timed ones of each engine. "
        "Ratio: median to ONNX Runtime's median. Bound: of that ratio, and no more than the stock file's. "
        "Error: largest difference from torch eager.",
    ]
