"""Files of the digit checkpoints on LiteRT's GPU engine, which computes in float16, on digits that they never saw."""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.measurements.metrics import sqnr_db
from mobile_kit.models.layers import MapNorm, TokenNorm
from mobile_kit.models.outputs import select_outputs
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec
from mobile_kit.preprocessing.in_graph import attach
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import ModelCard, Request
from sample_apps.checkpoints.digits import held_out_views, training_views
from targets.tflite import TARGET, lower
from targets.tflite.norms import MeanNorm
from tests.exports import CHECKPOINTS, DIGITS, Export
from tests.packages import or_skip
from tests.software_gpu import EngineRun, run, vulkan

Array = NDArray[Any]
RECIPES = ("fp32", "fp16", "weight_only_wi8_afp32", "dynamic_wi8_afp32", "static_wi8_ai8")
# Least decibels of the logits of VIEWS unseen digits, all together, to Hugging Face's own in float32: 3 below what was
# measured (Mesa 25.0.7, LiteRT 2.3.0), which stands beside.
BOUNDS_DB = {
    "cvt": dict(zip(RECIPES, (52, 52, 40, 40, 27), strict=True)),  # 55.3, 55.3, 43.2, 43.7, 30.5
    "hiera": dict(zip(RECIPES, (53, 53, 38, 38, 26), strict=True)),  # 56.2, 56.2, 41.3, 41.3, 29.0
    "mobilevitv2": dict(zip(RECIPES, (54, 54, 39, 39, 17), strict=True)),  # 57.8, 57.8, 42.6, 42.4, 20.8
    "vit_msn": dict(zip(RECIPES, (46, 46, 33, 33, 21), strict=True)),  # 49.2, 49.2, 36.8, 36.8, 24.5
}
VIEWS, VIEWS_SEED = 4, 11
CALIBRATION_VIEWS, CALIBRATION_SEED = 32, 2
# A norm that squares what overflows float16: 6.0 dB were measured of all of MobileViTV2, 0.0 of the norm alone.
WRONG_DB = 10.0
# A norm of float16 numbers alone: 66 measured.
NORM_DB = 60.0
SHAPE = (1, 64, 48)
CARD = ModelCard("test", "", None, None, "", None)


@dataclass(frozen=True)
class Files:
    """The files of a checkpoint by recipe, what enters them, and Hugging Face's logits for it."""

    model: CommonModel
    paths: Mapping[str, Path]
    images: Array
    logits: Array


class SquaringNorm(nn.Module):
    """MeanNorm without its factor."""

    part = "norms"

    def __init__(self, norm: MapNorm | TokenNorm, _: float) -> None:
        super().__init__()
        self.axes, self.eps = MeanNorm(norm, 1.0).axes, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(self.axes, keepdim=True)
        return centred * torch.rsqrt((centred * centred).mean(self.axes, keepdim=True) + self.eps)


@pytest.fixture(scope="module")
def files_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Files]:
    """Lower a family's checkpoint once for all tests."""
    or_skip(vulkan)
    return functools.cache(lambda family: lowered(family, tmp_path_factory.mktemp(family)))


def lowered(family: str, folder: Path) -> Files:
    checkpoint = load(str(CHECKPOINTS / f"{family}-digits"))
    model = taking_bytes(checkpoint)
    paths = {name: folder / f"{name}.tflite" for name in RECIPES}
    lower.convert(copy.deepcopy(model), ["uint8"], paths["fp32"])
    for name, change in lower.ONE_STEP.items():
        paths[name].write_bytes(change(paths["fp32"]))
    resized = checkpoint.preprocess.geometry
    samples = [{"image": resized(view)[None]} for view, _ in training_views(CALIBRATION_VIEWS, CALIBRATION_SEED)]
    request = Request(recipe("static_wi8_ai8"), None, None, CARD)
    calibrated: Any = TARGET.calibrate(copy.deepcopy(model), request, samples, folder)
    calibrated.write(calibrated.static, paths["static_wi8_ai8"])
    views = [view for view, _ in held_out_views(VIEWS, VIEWS_SEED)]
    oracle = Oracle(checkpoint, model.spec.outputs)
    logits = np.stack([oracle.run(oracle.pixel_values(view))["logits"] for view in views])
    return Files(model, paths, np.stack([resized(view)[None] for view in views]), logits)


def taking_bytes(checkpoint: Checkpoint) -> CommonModel:
    family, head = checkpoint.family, checkpoint.head
    model = select_outputs(family.build(checkpoint.model, head.name, checkpoint.image_size, ()), head, ("logits",))
    return attach(model, checkpoint.preprocess, TARGET.entry, False)


def input_name(path: Path) -> str:
    """Return what a file's signature calls the image."""
    from ai_edge_litert.interpreter import Interpreter

    (signature,) = Interpreter(str(path)).get_signature_list().values()
    return str(signature["inputs"][0])


def on_engine(path: Path, files: Files) -> tuple[EngineRun, float]:
    """Return what the engine made of the digits, and the decibels of the logits."""
    done = run(path, {input_name(path): files.images})
    (logits,) = done.outputs.values()
    return done, sqnr_db(logits, files.logits)


def test_a_gpu_computes_the_shipped_classifier_right(digits: Export) -> None:
    or_skip(vulkan)
    views = [view for view, _ in held_out_views(VIEWS, VIEWS_SEED)]
    manifest = read_manifest(digits["tflite-fp16"])
    oracle = Oracle(load(str(DIGITS)), manifest.outputs)
    wanted = np.concatenate([oracle.run(oracle.pixel_values(view))["logits"] for view in views])
    images = np.stack([manifest.preprocess.geometry(view)[None] for view in views])
    done = run(manifest.model_path, {input_name(manifest.model_path): images})
    assert done.accelerated
    logits = list(done.outputs.values())[[spec.name for spec in manifest.outputs].index("logits")]
    assert sqnr_db(logits[:, 0], wanted) >= BOUNDS_DB["mobilevitv2"]["fp16"]


class Scaled(CommonModel):
    """A norm of an image's bytes, from -1270 to 1280."""

    def __init__(self, norm: nn.Module) -> None:
        image = TensorSpec("image", (1, 8, 8, 48), "uint8", "NHWC", "image")
        super().__init__(ModelSpec("toy", "base", (8, 8), 48, None, 0, (image,), (TensorSpec("y", SHAPE),)))
        self.norm = norm

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.norm((inputs[0].reshape(SHAPE).float() - 127) * 10),)


@pytest.mark.parametrize("norm", [TokenNorm(48, 1e-6), MapNorm(64, 48, 1e-5)], ids=["token", "map"])
def test_a_norm_of_large_numbers_is_right_on_a_gpu_and_squares_alone_are_not(
    norm: TokenNorm | MapNorm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    or_skip(vulkan)
    image = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8, 48), dtype=np.uint8)
    (exact,) = Scaled(norm)(torch.from_numpy(image[0]))
    found = []
    for kind in (MeanNorm, SquaringNorm):
        monkeypatch.setattr(lower, "MeanNorm", kind)
        path = tmp_path / f"{kind.__name__}.tflite"
        lower.convert(Scaled(copy.deepcopy(norm)), ["uint8"], path)
        done = run(path, {input_name(path): image})
        assert done.accelerated
        found.append(sqnr_db(next(iter(done.outputs.values()))[0], exact.numpy()))
    assert found[0] >= NORM_DB
    assert found[1] < WRONG_DB


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("family", sorted(BOUNDS_DB))
def test_a_gpu_takes_all_of_a_file_and_computes_it_right(
    family: str, name: str, files_of: Callable[[str], Files]
) -> None:
    files = files_of(family)
    done, decibels = on_engine(files.paths[name], files)
    assert done.accelerated
    assert decibels >= BOUNDS_DB[family][name]


@pytest.mark.slow
def test_squares_beyond_float16_are_seen(
    files_of: Callable[[str], Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of("mobilevitv2")
    monkeypatch.setattr(lower, "MeanNorm", SquaringNorm)
    lower.convert(copy.deepcopy(files.model), ["uint8"], tmp_path / "squaring.tflite")
    done, decibels = on_engine(tmp_path / "squaring.tflite", files)
    assert done.accelerated
    assert decibels < WRONG_DB
