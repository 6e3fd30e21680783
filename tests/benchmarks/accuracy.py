"""Quantized files of the trained checkpoints on images that they never saw: what is kept, beside what is promised."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.evaluation.predictor import Predictor
from mobile_kit.measurements.metrics import pixel_agreement, sqnr_db
from mobile_kit.models.spec import TensorSpec
from sample_apps.checkpoints.digits import held_out_views, training_views
from sample_apps.checkpoints.scenes import held_out_scenes, training_scenes
from tests.benchmarks.process import Workshop
from tests.benchmarks.table import Section, judged
from tests.exports import CHECKPOINTS

__all__ = ["VIEWS_SEED", "measure", "measure_pixels"]

FAMILIES = ("cvt", "hiera", "mobilevitv2", "vit_msn")
STATIC = ("static_wi8_ai8", "static_wi8_ai8_mixed")
RECIPES = {
    "coreml": (*STATIC, "weight_only_wi8_afp32"),
    "executorch": (*STATIC, "dynamic_wi8_afp32"),
    "tflite": (*STATIC, "weight_only_wi8_afp32", "dynamic_wi8_afp32"),
}
# Decibels of the logits at least, points of accuracy that may be lost.
BOUNDS = {
    "static_wi8_ai8": (20.0, 1.0),
    "static_wi8_ai8_mixed": (25.0, 0.5),
    "weight_only_wi8_afp32": (38.0, 0.1),
}
# Of the layers' multiply-accumulates, so many in int8 where a search decides; decibels that runtimes may be apart.
LEAST_INT8, APART_DB = 0.9, 2.0
# All held-out scans, three views each.
VIEWS, VIEWS_SEED = 1077, 1
CALIBRATION, CALIBRATION_SEED = 128, 2
SCENES, SCENES_SEED, LEAST_AGREEMENT = 359, 5, 0.98
LACKING = {"status": "failed", "note": "wasn't exported"}
MACS = re.compile(r"([\d.]+)% of the layers' multiply-accumulates")


def measure(shop: Workshop) -> Section:
    """Export the trained classifier of each family, and run each file on every unseen view."""
    images = _saved(shop.scratch / "calibration", [v for v, _ in training_views(CALIBRATION, CALIBRATION_SEED)])
    views, labels = zip(*held_out_views(VIEWS, VIEWS_SEED), strict=True)
    rows: list[dict[str, Any]] = []
    for family in FAMILIES:
        source = CHECKPOINTS / f"{family}-digits"
        want = _oracle(source, list(views))
        for target, recipes in RECIPES.items():
            asked = ("--target", target, "--recipe", ",".join(recipes), "--calibration", str(images))
            found = _by_recipe(shop.export(f"accuracy-{family}-{target}", source, *asked))
            for recipe in recipes:
                row = _row(found[recipe], list(views), np.array(labels), want) if recipe in found else LACKING
                rows.append({"family": family, "target": target, "recipe": recipe, **row})
        rows += _layers(shop, family, source, images, want)
    notes = [
        f"The shipped digit checkpoints, {VIEWS} views of digits that they never saw, calibrated on {CALIBRATION} "
        "views of trained ones. Points: the accuracy that is lost, of 100. Bounds: dB at least, points at most; of the "
        f"mixed recipe also {LEAST_INT8:.0%} of the layers' multiply-accumulates in int8. 'layers alone': convolutions "
        "and linear layers in int8, and what stands in front of the first, the same parts on every target. LiteRT and "
        f"ExecuTorch must be within {APART_DB:.0f} dB of each other; Core ML makes the layers' inputs integers, not "
        "their results, so it keeps more. Its files run in the kit's interpreter where there is no Mac.",
    ]
    return Section("accuracy", "Quantized files of the trained checkpoints on unseen digits", rows, notes)


def measure_pixels(shop: Workshop) -> Section:
    """Export the trained segmenter, and compare each file's classes with the checkpoint's, pixel by pixel."""
    source = CHECKPOINTS / "mobilevitv2-scenes"
    images = _saved(shop.scratch / "scenes", [image for image, _ in training_scenes(32, SCENES_SEED)])
    scenes = [image for image, _ in held_out_scenes(SCENES, SCENES_SEED)]
    want = np.concatenate([_classes(logits[None]) for logits in _oracle(source, scenes)])
    rows = []
    for target in RECIPES:
        asked = ("--target", target, "--recipe", ",".join(STATIC), "--calibration", str(images))
        found = _by_recipe(shop.export(f"pixels-{target}", source, *asked, "--outputs", "mask,logits"))
        for recipe in STATIC:
            row = _pixels(found[recipe], scenes, want) if recipe in found else LACKING
            rows.append({"target": target, "recipe": recipe, **row})
    notes = [f"The shipped segmenter on {SCENES} scenes of unseen digits, {len(np.unique(want))} classes among them."]
    return Section("pixels", "Quantized files of the trained segmenter", rows, notes)


def _pixels(folder: Path, scenes: list[NDArray[np.uint8]], want: NDArray[Any]) -> dict[str, Any]:
    predictor = Predictor(folder)
    agreement = pixel_agreement(np.concatenate([predictor.outputs(image)["mask"] for image in scenes]), want)
    return {"pixels that agree": agreement, **judged(agreement, at_least=LEAST_AGREEMENT)}


def _by_recipe(folders: list[Path]) -> dict[str, Path]:
    return {read_manifest(folder).record.recipe.name: folder for folder in folders}


def _saved(folder: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    return folder


def _oracle(source: Path, images: list[NDArray[np.uint8]]) -> NDArray[Any]:
    oracle = Oracle(load(str(source)), (TensorSpec("logits", ()),))
    return np.concatenate([oracle.run(oracle.pixel_values(image))["logits"] for image in images])


def _row(folder: Path, views: list[NDArray[np.uint8]], labels: NDArray[Any], want: NDArray[Any]) -> dict[str, Any]:
    predictor = Predictor(folder)
    got = np.concatenate([predictor.outputs(view)["logits"] for view in views])
    manifest = predictor.manifest
    name = manifest.record.recipe.name
    decibels, right = sqnr_db(got, want), float(np.mean(got.argmax(1) == labels))
    lost = 100 * (float(np.mean(want.argmax(1) == labels)) - right)
    found = MACS.search(manifest.record.recipe.scheme)
    macs = None if found is None else float(found[1]) / 100
    row = {
        "SQNR dB": decibels,
        "accuracy": right,
        "points lost": lost,
        "layers' work in int8": macs,
        "left in float": _left(manifest) if name.endswith("_mixed") else None,
    }
    if name not in BOUNDS:
        return row
    least, most = BOUNDS[name]
    verdicts = [judged(decibels, at_least=least), judged(lost, at_most=most)]
    verdicts += [judged(macs, at_least=LEAST_INT8)] if name.endswith("_mixed") else []
    return {**row, **_together(verdicts)}


def _left(manifest: Manifest) -> str:
    """Return what the search left in float."""
    left = [part.part for part in manifest.record.recipe.float_ops if part.cost_db is not None]
    return ", ".join(left) or "nothing: as static"


def _layers(shop: Workshop, family: str, source: Path, images: Path, want: NDArray[Any]) -> Iterator[dict[str, Any]]:
    """Yield what files with int8 in the same parts keep on each target."""
    found = {}
    for target in RECIPES:
        out = shop.scratch / f"layers-{family}-{target}.npy"
        shop.module("layers", target, str(source), str(images), str(out), str(VIEWS))
        found[target] = sqnr_db(np.load(out), want)
    apart = abs(found["executorch"] - found["tflite"])
    for target, decibels in found.items():
        row = {"family": family, "target": target, "recipe": "layers alone", "SQNR dB": decibels}
        verdict = {} if target == "coreml" else {**judged(apart, at_most=APART_DB), "note": f"{apart:.2f} dB apart"}
        yield {**row, **verdict}


def _together(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    worst = next((each for each in verdicts if each["status"] != "passed"), verdicts[0])
    return {"bound": ", ".join(each["bound"] for each in verdicts), "status": worst["status"]}


def _classes(logits: NDArray[Any]) -> NDArray[Any]:
    """(1, classes, h, w) to (1, 128, 128), as the file's own mask."""
    scores = F.interpolate(torch.from_numpy(logits), size=(128, 128), mode="bilinear", align_corners=False)
    return np.asarray(scores.argmax(1))
