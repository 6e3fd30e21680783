"""Quantized files of the trained digit checkpoints: what they keep, what they take, and what of them is integers."""

import functools
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import UnsupportedError
from mobile_kit.evaluation.predictor import Predictor
from mobile_kit.evaluation.verify import verify
from mobile_kit.measurements.metrics import sqnr_db
from mobile_kit.models.spec import TensorSpec
from sample_apps.checkpoints.digits import held_out_views, training_views
from sample_apps.checkpoints.scenes import held_out_scenes, training_scenes
from tests.exports import CHECKPOINTS, DIGITS, Export
from tests.one_process import export, mobile_kit
from tests.small_checkpoints import change_json
from tests.targets.conftest import OLD

# In decibels of the logits on unseen digits, and points of accuracy. Measured over 1,077 views: static 21.4 to 38.3 dB
# and at most 0.3 points, mixed 28.6 to 38.3 and at most 0.1, weight-only 42 to 46 and at most 0.1, dynamic 39 to 43 and
# at most 0.2.
BOUNDS = {
    "static_wi8_ai8": (20.0, 1.0),
    "static_wi8_ai8_mixed": (25.0, 0.5),
    "weight_only_wi8_afp32": (38.0, 0.1),
    "dynamic_wi8_afp32": (38.0, 0.5),
}
STATIC = ("static_wi8_ai8", "static_wi8_ai8_mixed")
SERVED = {
    "coreml": (*STATIC, "weight_only_wi8_afp32"),
    "executorch": (*STATIC, "dynamic_wi8_afp32"),
    "tflite": (*STATIC, "weight_only_wi8_afp32", "dynamic_wi8_afp32"),
}
VIEWS = 120
FAMILIES = ("cvt", "hiera", "mobilevitv2", "vit_msn")
# Converters take their time by the layer: fast cells have the first of six layers, which are trained as well; of fewer
# than all, TFLite's dynamic files keep less than the bound. A search takes its time too: the fast ones are those of
# SEARCHED layers, of which a tenth of the work is outside.
FIRST, SEARCHED = {"coreml": 2, "executorch": 1, "tflite": 6}, 3
FAST = [
    pytest.param(("vit_msn", target, layers), id=f"first layers of vit_msn-{target}")
    for target, layers in FIRST.items()
]
SLOW = [
    pytest.param((family, target, None), id=f"{family}-{target}", marks=pytest.mark.slow)
    for family in FAMILIES
    for target in SERVED
]


@dataclass(frozen=True)
class Quantized:
    family: str
    target: str
    exported: Export

    def manifests(self) -> Iterator[Manifest]:
        for name in self.exported.records:
            yield read_manifest(self.exported[name])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    for number, (image, _) in enumerate(training_views(64, 5)):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def first_layers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Write the shipped ViTMSN with its first layers alone."""

    def write(layers: int) -> Path:
        folder = tmp_path_factory.mktemp("first") / "vit_msn-digits"
        shutil.copytree(CHECKPOINTS / folder.name, folder)
        change_json(folder / "config.json", num_hidden_layers=layers)
        later = re.compile(rf"encoder\.layer\.[{layers}-9]\.")
        weights = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in weights.items() if not later.search(name)}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
        return folder

    return functools.cache(write)


@dataclass(frozen=True)
class Refused:
    """What an export said of which no mixed file keeps what is asked."""

    checkpoint: Path
    out: Path
    code: int
    answer: Any


@pytest.fixture(scope="module")
def refused(first_layers: Callable[[int], Path], digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Refused:
    checkpoint, out = first_layers(SEARCHED), tmp_path_factory.mktemp("refused")
    asked = ("--target", "tflite", "--recipe", "static_wi8_ai8,int8", "--calibration", digits, "--min-sqnr", "90")
    done = mobile_kit("export", checkpoint, "--out", out, *asked, "--json")
    return Refused(checkpoint, out, done.returncode, json.loads(done.stdout))


@pytest.fixture(scope="module", params=[*FAST, *SLOW])
def quantized(
    request: pytest.FixtureRequest,
    first_layers: Callable[[int], Path],
    digits: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Quantized:
    family, target, layers = request.param
    out = tmp_path_factory.mktemp("out")
    names = [name for name in SERVED[target] if not layers or not name.endswith("_mixed")]
    asked = ("--target", target, "--recipe", ",".join(names), "--calibration", digits)
    exported = export(first_layers(layers) if layers else CHECKPOINTS / f"{family}-digits", out, *map(str, asked))
    assert {record["status"] for record in exported.records.values()} == {"passed"}
    assert len(exported.records) == len(names)
    return Quantized(family, target, exported)


def logits(manifest: Manifest, images: list[Any]) -> Any:
    predictor = Predictor(manifest.folder)
    return np.concatenate([predictor.outputs(image)["logits"] for image in images])


def check_on_unseen_digits(
    manifests: Iterable[Manifest], checkpoint: Path, bounds: Mapping[str, tuple[float, float]] = BOUNDS
) -> None:
    """Hold files against their checkpoint, and its accuracy, on images that calibrated none of them."""
    images, labels = zip(*held_out_views(VIEWS, 1), strict=True)
    oracle = Oracle(load(str(checkpoint)), (TensorSpec("logits", ()),))
    want = np.concatenate([oracle.run(oracle.pixel_values(image))["logits"] for image in images])
    right = np.mean(want.argmax(1) == labels)
    for manifest in manifests:
        decibels, points = bounds[manifest.record.recipe.name]
        got = logits(manifest, list(images))
        assert sqnr_db(got, want) >= decibels
        # One view more, as so few can't show less.
        assert 100 * (right - np.mean(got.argmax(1) == labels)) <= points + 100 / VIEWS


def test_unseen_digits_are_read_as_the_checkpoint_reads_them(quantized: Quantized) -> None:
    check_on_unseen_digits(quantized.manifests(), quantized.exported.checkpoint)


# Measured over 1,077 views: 22.6 dB (TFLite), 22.4 (ExecuTorch), 32.2 (Core ML), and no point of accuracy.
@pytest.mark.slow
def test_the_family_at_the_centre_is_right_on_every_target(digits: Path, tmp_path: Path) -> None:
    exported = export(DIGITS, tmp_path, "--recipe", "static_wi8_ai8", "--calibration", str(digits))
    assert {record["status"] for record in exported.records.values()} == {"passed"}
    assert len(exported.records) == len(SERVED)
    bounds = {"static_wi8_ai8": (BOUNDS["static_wi8_ai8"][0], 0.0)}
    check_on_unseen_digits([read_manifest(exported[name]) for name in exported.records], DIGITS, bounds)


def test_the_manifest_says_what_was_done(quantized: Quantized, digits: Path) -> None:
    for manifest in quantized.manifests():
        recipe = manifest.record.recipe
        assert recipe.weight_bits == 8
        assert "int8 weights" in recipe.scheme
        static = recipe.name in STATIC
        assert (None if recipe.calibration is None else recipe.calibration.images) == (48 if static else None)
        # The other 16 of the 64 digits judge.
        assert str(manifest.record.judged) == "16 held-out images"
        left = {part.part for part in recipe.float_ops}
        assert not {"linear layers"} & left
        assert {"softmax", "norms"} <= left or not static
        assert manifest.inputs[0].dtype == "uint8"
        assert {out.dtype for out in manifest.outputs} == {"float32"}


def test_weights_take_a_byte(quantized: Quantized) -> None:
    for manifest in quantized.manifests():
        count = manifest.record.model.num_parameters
        size = sum(path.stat().st_size for path in [manifest.model_path, *manifest.model_path.rglob("*")])
        # The rest is the graph, which of such a small network is no small part. ExecuTorch's dynamic files keep
        # convolutions in float: 2.55 bytes a parameter were measured in MobileViTV2.
        convolutions = quantized.target == "executorch" and "dynamic" in manifest.record.recipe.name
        assert size < (2.6 if convolutions else 2.0) * count


def test_nothing_is_left_to_slow_kernels(quantized: Quantized) -> None:
    for manifest in quantized.manifests():
        graph = manifest.record.graph
        if quantized.target == "coreml":
            assert (graph.partitions, graph.fallback_ops) == (None, ())
            continue
        # A dynamic linear layer is a piece of its own for XNNPACK's partitioner where convolutions lie between: 10 were
        # measured in MobileViTV2, whose convolutions are everywhere.
        dynamic = 10 if quantized.family == "mobilevitv2" else 5
        assert graph.partitions is not None
        assert graph.partitions <= (dynamic if "dynamic" in manifest.record.recipe.name else 2)
        left = {fallback.op for fallback in graph.fallback_ops}
        assert left <= {"CAST", "QUANTIZE", "_to_dim_order_copy", "mean"}


def test_a_static_tflite_alone_takes_bytes_without_a_float_operation_in_front(quantized: Quantized) -> None:
    manifest = next(m for m in quantized.manifests() if m.record.recipe.name == "static_wi8_ai8")
    if quantized.target != "tflite":  # its image is no quantized tensor
        assert {"cast", "_to_dim_order_copy"} & manifest.record.graph.ops.keys()
        return
    assert "CAST" not in manifest.record.graph.ops
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(manifest.model_path), experimental_op_resolver_type=plain)
    (image,) = interpreter.get_input_details()
    assert image["quantization"] == (1.0, 0)
    first = next(op for op in interpreter._get_ops_details() if image["index"] in op["inputs"])
    assert first["op_name"] == "QUANTIZE"
    types = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    assert {types[tensor] for tensor in first["outputs"]} == {np.int8}


# Measured on the shipped segmenter, on calibration images: 99.4 % (TFLite, ExecuTorch) and 99.7 % (Core ML).
@pytest.mark.slow
@pytest.mark.parametrize("target", SERVED)
def test_a_segmenter_s_pixels_keep_their_classes(target: str, tmp_path: Path) -> None:
    for number, (image, _) in enumerate(training_scenes(32, 5)):
        (tmp_path / "scenes").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "scenes" / f"{number}.png")
    asked = ("--target", target, "--recipe", ",".join(STATIC), "--calibration", str(tmp_path / "scenes"))
    exported = export(CHECKPOINTS / "mobilevitv2-scenes", tmp_path / "out", *asked, "--outputs", "mask,logits")
    images = [image for image, _ in held_out_scenes(24, 5)]
    oracle = Oracle(load(str(exported.checkpoint)), (TensorSpec("logits", ()),))
    want = np.concatenate([_classes(oracle.run(oracle.pixel_values(image))["logits"]) for image in images])
    assert len(np.unique(want)) > 10
    for name in STATIC:
        folder = next(exported[record] for record in exported.records if record.endswith(name))
        predictor = Predictor(folder)
        got = np.concatenate([predictor.outputs(image)["mask"] for image in images])
        assert np.mean(got == want) >= 0.98


def _classes(logits: Any) -> Any:
    """(1, classes, h, w) to (1, 128, 128), as the file's own mask."""
    scores = F.interpolate(torch.from_numpy(logits), size=(128, 128), mode="bilinear", align_corners=False)
    return scores.argmax(1).numpy()


def test_an_unreachable_bound_is_said(refused: Refused, digits: Path) -> None:
    answer, out = refused.answer, refused.out
    assert refused.code == 1
    # The static file is put aside, to be looked into; the mixed one isn't written.
    (record,) = answer["artifacts"]
    assert record["status"] == "failed"
    assert "SQNR >= 90.0 dB; --min-sqnr asks for less" in record["detail"]
    assert Path(record["artifact"]).name == "tflite-static_wi8_ai8-failed"
    assert json.loads((Path(record["artifact"]) / "golden/oracle.json").read_text())["least_sqnr_db"] == 90
    (failure,) = answer["failures"]
    assert "SQNR >= 90.0 dB can't be kept with 90% of the layers' work in int8. The best found keeps" in failure
    # What was measured is kept, and there to see.
    (stored,) = (out / "sensitivity" / "vit_msn-digits-tflite").iterdir()
    kept = json.loads(stored.read_text())["kept"]
    assert kept["everything"]["sqnr_db"] > 20
    shown = mobile_kit(
        "sensitivity",
        refused.checkpoint,
        *("--target", "tflite", "--calibration", digits, "--out", out, "--json"),
    )
    assert shown.returncode == 0, shown.stderr
    assert "int8: everything" not in shown.stderr
    (found,) = json.loads(shown.stdout)
    assert found["everything"] == kept["everything"]
    costs = {cost["part"]: cost for cost in found["costs"]}
    assert {"linear layers", "residual adds", "norms", "softmax", "activations", "first layer", "last layer"} <= set(
        costs
    )
    assert costs["linear layers"]["macs"] > 0.9
    assert costs["linear layers"]["kept"]["sqnr_db"] > found["everything"]["sqnr_db"]
    assert not costs["norms"]["static"]
    with Image.open(found["plot"]) as plot:
        assert min(plot.size) > 300


def test_a_search_goes_on_with_what_another_has_measured(refused: Refused, digits: Path) -> None:
    (stored,) = (refused.out / "sensitivity" / "vit_msn-digits-tflite").iterdir()
    before = json.loads(stored.read_text())["kept"]
    asked = ("--target", "tflite", "--recipe", "int8", "--calibration", str(digits))
    exported = export(refused.checkpoint, refused.out, *asked)
    (record,) = exported.records.values()
    assert record["status"] == "passed"
    manifest = read_manifest(Path(record["artifact"]))
    recipe = manifest.record.recipe
    assert recipe.name == "static_wi8_ai8_mixed"
    assert "of the layers' multiply-accumulates in int8" in recipe.scheme
    assert before.items() <= json.loads(stored.read_text())["kept"].items()
    check_on_unseen_digits([manifest], refused.checkpoint)


def test_the_old_runtime_is_right_with_every_quantized_tflite(
    quantized: Quantized, old_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(old_runtime))
    for manifest in quantized.manifests():
        if quantized.target != "tflite":
            with pytest.raises(UnsupportedError, match="tflite-runtime"):
                verify(manifest.folder, other_runtime=OLD)
            continue
        report = verify(manifest.folder, other_runtime=OLD)
        assert report.runtime == "tflite-runtime 2.14.0"
        assert report.status == "passed", manifest.folder.name
