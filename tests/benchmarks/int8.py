"""Int8 files of a full-size classifier against the same runtime's fp32, and against ONNX Runtime's static int8."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.preprocessing.synthetic_images import scene
from sample_apps.checkpoints.digits import training_views
from tests.benchmarks.engines import LOADERS
from tests.benchmarks.process import Workshop
from tests.benchmarks.stock import CLASSIFIER, Plain, saved
from tests.benchmarks.table import Section, judged
from tests.benchmarks.turns import Plan, Timing, interleave
from tests.exports import CHECKPOINTS

__all__ = ["measure"]

RUNTIMES = {"executorch": ("ExecuTorch", ".pte"), "tflite": ("LiteRT", ".tflite")}
PACKAGE = ("coreml", "Core ML", ".mlpackage")
# What is exported beside the static files, the one that the others are compared with first.
OTHERS = {
    "coreml": ("fp32", "fp16", "weight_only_wi8_afp32"),
    "executorch": ("fp32", "dynamic_wi8_afp32"),
    "tflite": ("fp32", "weight_only_wi8_afp32", "dynamic_wi8_afp32"),
}
# Times as fast as the same runtime's fp32.
FASTER = {
    ("tflite", "static"): 3.0,
    ("executorch", "static"): 2.0,
    ("tflite", "mixed"): 1.5,
    ("executorch", "mixed"): 2.0,
}
FASTER_ELSEWHERE = 1.5
# Parts of the size of fp32; of Core ML's, of fp16.
SMALLER = {"static": 0.30, "mixed": 0.30, "weight_only": 0.28}
SMALLER_THAN_HALF = 0.54
SCENES, DIGITS = 16, 64


def measure(model: str, shop: Workshop, rounds: int) -> Section:
    """Quantize a known model on all paths, and time the files against one another."""
    slug = model.rpartition("/")[2]
    source = shop.scratch / f"int8-{slug}"
    checkpoint = saved(model, source, "classification")
    images = _images(shop.scratch / f"scenes-{slug}", [scene(number) for number in range(SCENES)])
    fitted = checkpoint.preprocess.geometry(scene(1))
    rows, runs = [], {}
    for target, (engine, suffix) in RUNTIMES.items():
        found = _exported(shop, target, source)
        found += _static(shop, target, suffix, source, checkpoint, images)
        for kind, path, facts in found:
            name = f"{engine}, {kind}"
            runs[name] = LOADERS[engine](path, fitted[None], shop.threads)
            rows.append({"file": name, "target": target, "kind": kind, "MB": path.stat().st_size / 1e6, **facts})
    target, engine, suffix = PACKAGE
    for kind, path, facts in [
        *_exported(shop, target, source),
        *_static(shop, target, suffix, source, checkpoint, images),
    ]:
        size = sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
        rows.append({"file": f"{engine}, {kind}", "target": target, "kind": kind, "MB": size / 1e6, **facts})
    for name, path in _onnx(shop, source, checkpoint, images).items():
        runs[name] = LOADERS["ONNX Runtime"](path, checkpoint.preprocess.arithmetic(fitted), shop.threads)
        rows.append({"file": name, "target": "onnx", "kind": name, "MB": path.stat().st_size / 1e6})
    timing = interleave(runs, Plan(rounds=rounds, tries=5 * rounds))
    return Section(
        name=f"int8 of {slug}",
        title=f"Int8 of {slug}, {shop.threads} threads",
        rows=[_row(row, rows, timing, model) for row in rows],
        notes=_notes(timing),
        details={"calls_ms": timing.calls_ms, "rounds": timing.rounds, "tries": timing.tries, "quiet": timing.quiet},
    )


def _images(folder: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    return folder


def _exported(shop: Workshop, target: str, source: Path) -> list[tuple[str, Path, dict[str, Any]]]:
    """Return the files of the recipes that need no images, with what is known of them."""
    names = OTHERS[target]
    asked = ("--target", target, "--recipe", ",".join(names), "--outputs", "logits")
    manifests = [read_manifest(folder) for folder in shop.export(f"int8-{target}-{source.name}", source, *asked)]
    by_name = {manifest.record.recipe.name: manifest for manifest in manifests}
    return [
        (name.partition("_wi8")[0], by_name[name].model_path, {"partitions": by_name[name].record.graph.partitions})
        for name in names
    ]


def _static(
    shop: Workshop, target: str, suffix: str, source: Path, checkpoint: Checkpoint, images: Path
) -> list[tuple[str, Path, dict[str, Any]]]:
    """Return the static and mixed file of a model, with what is known of them."""
    kept, left = _on_digits(shop, target, checkpoint.family.name)
    out = shop.scratch / f"{source.name}-{target}"
    shop.module("int8_files", target, str(source), str(images), str(out), left)
    partitions = json.loads(out.with_name(out.name + ".json").read_text(encoding="utf-8"))
    found = []
    for kind in ("static", "mixed"):
        facts = {
            "in float": (left or "nothing: as static") if kind == "mixed" else "",
            "digits dB": kept[kind],
            "partitions": partitions[kind],
        }
        found.append((kind, Path(f"{out}-{kind}{suffix}"), facts))
    return found


def _on_digits(shop: Workshop, target: str, family: str) -> tuple[dict[str, float], str]:
    """Return what the family's trained checkpoint keeps by each recipe, and what its search left in float."""
    images = shop.scratch / f"digits-{family}"
    if not images.is_dir():
        _images(images, [image for image, _ in training_views(DIGITS, 5)])
    names = {"static": "static_wi8_ai8", "mixed": "static_wi8_ai8_mixed"}
    asked = ("--target", target, "--recipe", ",".join(names.values()), "--calibration", str(images))
    folders = shop.export(f"digits-{target}-{family}", CHECKPOINTS / f"{family}-digits", *asked)
    kept, left = {}, ""
    for folder in folders:
        recipe = read_manifest(folder).record.recipe
        verified = json.loads((folder / "verify.json").read_text(encoding="utf-8"))
        kind = next(kind for kind, name in names.items() if name == recipe.name)
        kept[kind] = next(out["sqnr_db"] for out in verified["outputs"] if out["name"] == "logits")
        left = left or ",".join(part.part for part in recipe.float_ops if part.cost_db is not None)
    return kept, left


def _onnx(shop: Workshop, source: Path, checkpoint: Checkpoint, images: Path) -> dict[str, Path]:
    """Return ONNX Runtime's fp32 model, and its own static int8 with signed and unsigned activations."""
    values = [
        checkpoint.preprocess.arithmetic(checkpoint.preprocess.geometry(_read(p))) for p in sorted(images.iterdir())
    ]
    module = shop.save(f"stock-{source.name}", Plain(checkpoint.model), (torch.from_numpy(values[0]),))
    plain = shop.convert(f"stock-onnx-{source.name}", "onnx", module, ".onnx").path
    if plain is None:
        return {}
    return _quantized_onnx(plain, values)


def _quantized_onnx(plain: Path, values: list[NDArray[np.float32]]) -> dict[str, Path]:
    import onnx
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(values)

        def get_next(self) -> dict[str, Any] | None:
            value = next(self.left, None)
            return None if value is None else {"pixel_values": value}

    # The quantizer's own steps read a model that holds its weights.
    whole, prepared = plain.with_suffix(".whole.onnx"), plain.with_suffix(".prepared.onnx")
    onnx.save_model(onnx.load(plain), whole)
    quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
    found = {"ONNX Runtime, fp32": whole}
    for name, kind in (("int8", q.QuantType.QInt8), ("uint8", q.QuantType.QUInt8)):
        path = plain.with_suffix(f".{name}.onnx")
        q.quantize_static(str(prepared), str(path), Reader(), per_channel=True, activation_type=kind)
        found[f"ONNX Runtime, static {name} activations"] = path
    return found


def _read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _row(row: dict[str, Any], rows: list[dict[str, Any]], timing: Timing, model: str) -> dict[str, Any]:
    target, kind, name = row["target"], row["kind"], row["file"]
    # Core ML's own float is float16: weights alone are held against that.
    halved = target == PACKAGE[0] and kind == "weight_only"
    base = next(r for r in rows if r["target"] == target and (r["kind"] == "fp16" or not halved))
    theirs = [timing.median_ms(r["file"]) for r in rows if r["target"] == "onnx" and "static" in r["file"]]
    median = timing.median_ms(name) if name in timing.calls_ms else None
    faster = timing.median_ms(base["file"]) / median if median else None
    smaller = row["MB"] / base["MB"]
    shown = {
        "file": name,
        "in float": row.get("in float"),
        "MB": row["MB"],
        "of its float": smaller,
        "median ms": median,
        "min ms": timing.min_ms(name) if median else None,
        "times as fast": faster,
        "of ONNX Runtime's int8": median / min(theirs) if median and theirs else None,
        "partitions": row.get("partitions"),
        "SQNR of the trained digits, dB": row.get("digits dB"),
    }
    bounds = []
    if target in RUNTIMES and kind in {"static", "mixed"}:
        least = FASTER[target, kind] if model == CLASSIFIER else FASTER_ELSEWHERE
        bounds.append(judged(faster if timing.quiet else None, at_least=least))
    if target != "onnx" and kind in SMALLER:
        bounds.append(judged(smaller, at_most=SMALLER_THAN_HALF if halved else SMALLER[kind]))
    if not bounds:
        return shown
    worst = next((each for each in bounds if each["status"] != "passed"), bounds[0])
    return {**shown, "bound": ", ".join(each["bound"] for each in bounds), "status": worst["status"]}


def _notes(timing: Timing) -> list[str]:
    count = f"{timing.rounds} of {timing.tries} rounds count"
    return [
        count + (": in the others, other processes used the machine." if timing.rounds < timing.tries else ".")
        if timing.quiet
        else f"Nothing is decided: other processes used the machine in too many of the {timing.tries} rounds.",
        "Random weights; image bytes in (ONNX Runtime: pixel_values). Mixed: what the search leaves in float of the "
        "family's trained digits checkpoint, whose decibels stand beside it. Bounds: times as fast as the same "
        "runtime's fp32, part of its size (Core ML's weights alone: of fp16's).",
    ]
