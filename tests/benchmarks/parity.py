"""Saved files against Hugging Face in float64: every head, target and recipe, and the trained digit checkpoint."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.checkpoints.oracle import LEAST_DIFFERENCE, Oracle
from mobile_kit.measurements.metrics import distance, sqnr_db
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.target_api.registry import find_target
from tests.benchmarks.process import ROOT, Workshop
from tests.benchmarks.stock import saved
from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

Outputs = dict[str, NDArray[Any]]

# Head to the known name that gives its size; width 0.5 where there is one, for speed.
HEADS = {
    "base": "apple/mobilevitv2-0.5-imagenet1k-256",
    "classification": "apple/mobilevitv2-0.5-imagenet1k-256",
    "segmentation": "apple/mobilevitv2-1.0-voc-deeplabv3",
}
DIGITS = ROOT / "sample_apps" / "checkpoints" / "mobilevitv2-digits"
SCENES = (1, 2)
# In standard deviations of the output, or this many times Hugging Face's own float32;
# decibels that may be lost to Hugging Face's own float16; decibels of the digits with Core ML.
SIGMA, FACTOR = 1e-4, 4.0
MARGIN_DB = 4.0
DIGITS_DB = 45.0


@dataclass(frozen=True)
class _Reference:
    """Hugging Face in three precisions, on all scenes."""

    exact: Outputs
    single: Outputs
    half: Outputs


def measure(shop: Workshop) -> Section:
    """Export each head to all targets in both recipes, and compare."""
    torch.set_num_threads(shop.threads)
    rows = []
    for head, name in HEADS.items():
        checkpoint = saved(name, shop.scratch / head, head)
        rows += _head(shop, head, checkpoint, shop.scratch / head)
    if DIGITS.is_dir():
        folder = Path(shutil.copytree(DIGITS, shop.scratch / "digits"))
        rows += [_digits(row) for row in _head(shop, "digits, trained", load(str(folder)), folder)]
    else:
        rows.append({"head": "digits, trained", **judged(None, at_least=DIGITS_DB), "note": "no checkpoint there"})
    notes = [
        "Random weights but for the digits. Error: the largest difference from float64 in standard deviations of the "
        "output; SQNR in dB. Beside them Hugging Face's own float32 and float16 on the same images. Core ML files run "
        "in the kit's interpreter where there is no Mac.",
    ]
    return Section("parity", "Parity of saved files with Hugging Face in float64", rows, notes)


def _head(shop: Workshop, head: str, checkpoint: Checkpoint, source: Path) -> list[dict[str, Any]]:
    name = f"parity-{head.split(',')[0]}"
    folders = shop.export(name, source, "--recipe", "fp32,fp16")
    photos = [scene(seed) for seed in SCENES]
    reference: _Reference | None = None
    rows = []
    for folder in folders:
        manifest = read_manifest(folder)
        reference = reference or _reference(checkpoint, manifest, photos)
        got = _outputs(manifest, photos)
        rows += [{"head": head, **row} for row in _rows(manifest, got, reference)]
    return rows


def _reference(checkpoint: Checkpoint, manifest: Manifest, photos: list[NDArray[np.uint8]]) -> _Reference:
    oracle = Oracle(checkpoint, manifest.outputs)
    values = [oracle.pixel_values(photo) for photo in photos]
    precisions = (torch.float64, torch.float32, torch.float16)
    reference = _Reference(*(_stacked([oracle.run(x, dtype) for x in values]) for dtype in precisions))
    for name, (first, second) in reference.exact.items():
        if np.sqrt(np.mean((first - second) ** 2)) < LEAST_DIFFERENCE * first.std():
            raise RuntimeError(
                f"model {checkpoint.source!r}: its {name} don't depend on the image, so nothing is proved."
            )
    return reference


def _outputs(manifest: Manifest, photos: list[NDArray[np.uint8]]) -> Outputs:
    runtime = find_target(manifest.record.target).load(manifest.model_path, manifest.inputs, manifest.outputs)
    preprocess, name = manifest.preprocess, manifest.inputs[0].name
    entering = [preprocess.entering(preprocess.geometry(photo), manifest.in_graph) for photo in photos]
    return _stacked([runtime.run({name: x}) for x in entering])


def _stacked(results: list[Outputs]) -> Outputs:
    return {name: np.stack([result[name] for result in results]) for name in results[0]}


def _rows(manifest: Manifest, got: Outputs, reference: _Reference) -> Iterator[dict[str, Any]]:
    full = manifest.record.recipe.weight_bits == 32
    for out in manifest.outputs:
        exact = reference.exact[out.name]
        error, noise = distance(got[out.name], exact), sqnr_db(got[out.name], exact)
        own_error = distance(reference.single[out.name], exact)
        own_noise = sqnr_db(reference.half[out.name], exact)
        verdict = (
            judged(error, at_most=max(SIGMA, FACTOR * own_error))
            if full
            else judged(noise, at_least=own_noise - MARGIN_DB)
        )
        yield {
            "target": manifest.record.target,
            "recipe": manifest.record.recipe.name,
            "output": out.name,
            "error sigma": error,
            "HF float32 sigma": own_error,
            "SQNR dB": noise,
            "HF float16 dB": own_noise,
            **verdict,
        }


def _digits(row: dict[str, Any]) -> dict[str, Any]:
    """Hold Core ML's fp16 against the bound for a trained network too."""
    if row["target"] == "coreml" and row["recipe"] == "fp16" and row["status"] == "passed":
        return {**row, **judged(row["SQNR dB"], at_least=max(DIGITS_DB, row["HF float16 dB"] - MARGIN_DB))}
    return row
