"""Golden vectors for the apps: photos with what the kit makes of them, outputs with what the kit reads in them.

`write_geometry` and `write_answers` fill a folder with an index, `cases.json`, and raw little-endian files:
    geometry: [{"source": FILE, "width", "height", "channels", "resize", "crop", "resample", "result": FILE,
               "result_height", "result_width"}]; both files are rows of interleaved bytes. `resize`, `crop` and
               `resample` are as in a manifest's `preprocess`.
    answers:  [{"kind": "probabilities" | "logits", "activation": "softmax" | "sigmoid" | "none", "values": FILE,
               "classes": N, "best": [[class, score], ..]}] and
              [{"kind": "mask" | "segmenter" | "score_planes", "values": FILE, "shape": [..], "height", "width",
               "result": FILE}]; results are a byte a pixel, its class. Values are float32, of a mask int32.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers.pipelines.image_classification import sigmoid, softmax

from mobile_kit.evaluation.predictor import class_map
from mobile_kit.preprocessing.preprocess import Preprocess

# Of a map of classes.
MASK_SHAPE = (1, 32, 32)
RESAMPLES = ("bilinear", "bicubic")
# Of a network's input, and of photos.
LEAST_PX, MOST_PX, LARGEST_PX = 32, 288, 900
BEST = 5
# What transformers makes of a classifier's logits, and where an app meets which.
SCORES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda logits: logits,
}
CLASSIFIERS = (
    ("probabilities", "softmax"),
    ("probabilities", "sigmoid"),
    ("logits", "softmax"),
    ("logits", "sigmoid"),
    ("logits", "none"),
)


def write_geometry(folder: Path, count: int = 200) -> list[dict[str, Any]]:
    """Write photos of random sizes, and what random work on them gives."""
    draw = np.random.default_rng(0)
    cases = []
    for number in range(count):
        image, work = _photo(draw), _work(draw)
        result = work.geometry(image)
        names = f"{number}-source.bin", f"{number}-result.bin"
        (folder / names[0]).write_bytes(image.tobytes())
        (folder / names[1]).write_bytes(result.tobytes())
        cases.append(
            {key: value for key, value in asdict(work).items() if key in {"resize", "crop", "resample"}}
            | {"source": names[0], "height": image.shape[0], "width": image.shape[1], "channels": image.shape[2]}
            | {"result": names[1], "result_height": result.shape[0], "result_width": result.shape[1]}
        )
    (folder / "cases.json").write_text(json.dumps(cases, indent=1))
    return cases


def _photo(draw: np.random.Generator) -> NDArray[np.uint8]:
    """Return noise over a gradient with hard edges, where a wrong filter, phase or edge shows."""
    height, width = (int(size) for size in np.exp(draw.uniform(np.log(8), np.log(LARGEST_PX), 2)))
    channels = 3 if draw.random() < 0.85 else 1
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / draw.uniform(2, 40) + columns / draw.uniform(2, 40)) for _ in range(channels)]
    image = 128 + 100 * np.stack(waves, -1) + draw.normal(0, 25, (height, width, channels))
    image[: height // 3, : width // 2] = draw.integers(0, 2, channels) * 255
    return np.clip(image, 0, 255).astype(np.uint8)


def _work(draw: np.random.Generator) -> Preprocess:
    """Return geometry as a checkpoint may have it: a square or other size, or a short edge and a crop, or a crop."""
    height, width = (int(size) for size in draw.integers(LEAST_PX, MOST_PX, 2))
    resize, crop = [
        ({"height": height, "width": width}, None),
        ({"shortest_edge": height}, (min(height, width),) * 2),
        ({"shortest_edge": height}, (height, width)),
        (None, (height, width)),
    ][draw.integers(0, 4)]
    return Preprocess(resize, crop, RESAMPLES[draw.integers(0, 2)], "RGB", 1.0, (0.0,) * 3, (1.0,) * 3)


def write_answers(folder: Path) -> list[dict[str, Any]]:
    """Write outputs as files give them, and what is in them."""
    draw = np.random.default_rng(1)
    cases = [_classes(folder, draw, *case, number) for case in CLASSIFIERS for number in (3, 10, 1000)]
    cases += [_classes(folder, draw, "logits", activation, 1) for activation in ("sigmoid", "none")]
    cases += [
        _map(folder, "mask", draw.integers(0, 21, (1, 48, 64)).astype(np.int32), (48, 64)),
        _map(folder, "segmenter", draw.normal(size=(1, 48, 64, 5)).astype(np.float32), (48, 64)),
        _map(folder, "score_planes", draw.normal(size=(1, 21, 16, 12)).astype(np.float32), (128, 96)),
        _map(folder, "score_planes", draw.normal(size=(1, 5, 7, 9)).astype(np.float32), (31, 50)),
    ]
    (folder / "cases.json").write_text(json.dumps(cases, indent=1))
    return cases


def _classes(folder: Path, draw: np.random.Generator, kind: str, activation: str, classes: int) -> dict[str, Any]:
    logits = draw.normal(0, 2, classes).astype(np.float32)
    scores = SCORES[activation](logits.astype(np.float64))
    values = scores.astype(np.float32) if kind == "probabilities" else logits
    name = f"{kind}-{activation}-{classes}.bin"
    (folder / name).write_bytes(values.tobytes())
    # A regression's values have no best.
    order = range(classes) if activation == "none" else np.argsort(-scores, kind="stable")[:BEST]
    best = [[int(place), float(scores[place])] for place in order]
    return {"kind": kind, "activation": activation, "values": name, "classes": classes, "best": best}


def _map(folder: Path, kind: str, values: NDArray[Any], size: tuple[int, int]) -> dict[str, Any]:
    manifest: Any = SimpleNamespace(preprocess=SimpleNamespace(image_size=size))
    output = "logits" if kind == "score_planes" else kind
    found = class_map(manifest, {output: values})
    name = f"{kind}-{'x'.join(map(str, values.shape))}"
    (folder / f"{name}.bin").write_bytes(values.tobytes())
    (folder / f"{name}-classes.bin").write_bytes(found.astype(np.uint8).tobytes())
    return {
        "kind": kind,
        "values": f"{name}.bin",
        "shape": list(values.shape),
        "height": size[0],
        "width": size[1],
        "result": f"{name}-classes.bin",
    }


def write_large_photo(folder: Path) -> Path:
    """Write a 12-megapixel photo, rows of interleaved bytes, 4000 x 3000 RGB."""
    draw = np.random.default_rng(2)
    small = Image.fromarray(draw.integers(0, 256, (75, 100, 3), dtype=np.uint8))
    path = folder / "large.bin"
    path.write_bytes(np.asarray(small.resize((4000, 3000), Image.Resampling.BICUBIC)).tobytes())
    return path


def masks(wrong: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return a map of classes, one with some pixels of another class, and one that has nothing to do with it.

    By `10 log10(P / (2 W))` for W of P pixels, 10 wrong ones of 1,024 leave 17.1 dB, and 30 leave 12.3.
    """
    draw = np.random.default_rng(0)
    right = draw.integers(0, 21, MASK_SHAPE, dtype=np.int32)
    found = right.copy()
    found.ravel()[draw.permutation(right.size)[:wrong]] += 1
    return right, found, draw.integers(0, 21, MASK_SHAPE, dtype=np.int32)
