import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.errors import UnsupportedError
from mobile_kit.models.mobilevitv2 import build
from mobile_kit.quantization import recipes as quantization
from mobile_kit.target_api.interface import Request
from mobile_kit.target_api.registry import check_request, find_target
from sample_apps.checkpoints.digits import LABELS
from targets.coreml import TARGET
from targets.coreml.mil import Program, read_program
from tests.exports import Export
from tests.graphs import shattering
from tests.noise_model import CARD, lowered, order_of
from tests.small_checkpoints import LABELS as SMALL_LABELS

RECIPES = ("fp32", "fp16")
EXPORTS = (("digits", "fp32"), ("segmentation", "fp16"), ("mask", "fp32"), ("base", "fp16"), ("odd", "fp32"))
MAX_RANK = 5
# coremltools: the versions of the specification that iOS 16, 17 and 18 introduced.
SPECIFICATIONS = {"iOS16": 7, "iOS17": 8, "iOS18": 9}


def manifest_of(exported: Export, recipe: str = "fp32") -> Manifest:
    return read_manifest(exported[f"coreml-{recipe}"])


def program_of(exported: Export, recipe: str = "fp32") -> Program:
    return read_program(manifest_of(exported, recipe).model_path)


def description_of(path: Path) -> Any:
    return ct.models.MLModel(str(path), skip_model_load=True).get_spec().description


@pytest.mark.parametrize(("fixture", "recipe"), EXPORTS)
def test_nothing_is_gathered_or_of_too_high_a_rank(fixture: str, recipe: str, request: pytest.FixtureRequest) -> None:
    program = program_of(request.getfixturevalue(fixture), recipe)
    assert not shattering(program.op_counts)
    ranks = [len(port.shape) for op in program.ops for port in op.outputs if port.shape is not None]
    assert len(ranks) > 100
    assert max(ranks) <= MAX_RANK


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_manifest_counts_the_package_s_ops(digits: Export, recipe: str) -> None:
    counted = {op: count for op, count in program_of(digits, recipe).op_counts.items() if op != "const"}
    assert manifest_of(digits, recipe).record.graph.ops == counted


def test_a_norm_is_one_op(digits: Export) -> None:
    # Two a layer and one a stage, of which there are 9 and 3.
    assert program_of(digits).op_counts["layer_norm"] == 2 * (2 + 4 + 3) + 3


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_classifier_is_one_that_vision_accepts(digits: Export, recipe: str) -> None:
    manifest = manifest_of(digits, recipe)
    description = description_of(manifest.model_path)
    kinds = {out.name: out.type.WhichOneof("Type") for out in description.output}
    assert kinds == {"classLabel": "stringType", "probabilities": "dictionaryType", "logits": "multiArrayType"}
    assert description.predictedFeatureName == "classLabel"
    assert description.predictedProbabilitiesName == "probabilities"
    assert list(description.output[2].type.multiArrayType.shape) == [1, len(LABELS)]
    (classify,) = (op for op in program_of(digits, recipe).ops if op.type == "classify")
    assert classify.inputs["classes"] == (LABELS,)
    assert manifest.labels == LABELS
    (image,) = description.input
    assert image.name == "image"
    assert ct.proto.FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name(image.type.imageType.colorSpace) == "RGB"
    assert (image.type.imageType.height, image.type.imageType.width) == (128, 128)


def test_other_heads_are_no_classifiers(segmentation: Export, mask: Export, base: Export) -> None:
    for exported, recipe in ((segmentation, "fp16"), (mask, "fp32"), (base, "fp16")):
        manifest = manifest_of(exported, recipe)
        description = description_of(manifest.model_path)
        assert description.predictedFeatureName == ""
        assert [out.name for out in description.output] == [out.name for out in manifest.outputs]
        assert {out.type.WhichOneof("Type") for out in description.output} == {"multiArrayType"}


def test_a_gray_checkpoint_takes_a_gray_image(odd: Export) -> None:
    (image,) = program_of(odd).inputs
    assert (image.kind, image.color, image.shape) == ("image", "GRAYSCALE", (1, 1, 104, 136))
    assert manifest_of(odd).inputs[0].shape == (1, 104, 136, 1)


def test_metadata_say_what_the_package_is(digits: Export) -> None:
    metadata = program_of(digits).metadata
    assert metadata["license"] == "apache-2.0"
    assert not metadata.keys() & {"author", "version"}
    assert "classification" in metadata["short_description"]
    assert metadata["com.mobilekit.source"] == manifest_of(digits).record.model.source
    assert metadata["com.apple.coreml.model.preview.type"] == "imageClassifier"
    description = description_of(manifest_of(digits).model_path)
    assert description.input[0].shortDescription.startswith("RGB image of 128x128 pixels")
    assert all(out.shortDescription for out in description.output)


def test_a_segmentation_has_xcode_s_preview(segmentation: Export, base: Export) -> None:
    metadata = program_of(segmentation, "fp16").metadata
    assert metadata["com.apple.coreml.model.preview.type"] == "imageSegmenter"
    parameters = json.loads(metadata["com.apple.coreml.model.preview.parameters"])
    assert parameters["labels"] == list(SMALL_LABELS)
    assert len(set(parameters["colors"])) == len(SMALL_LABELS)
    assert "license" not in metadata
    assert "com.apple.coreml.model.preview.type" not in program_of(base, "fp16").metadata


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_in_a_package_says_when_it_was_made(digits: Export, recipe: str) -> None:
    metadata = program_of(digits, recipe).metadata
    assert not [key for key in metadata if "date" in key or "time" in key]
    package = manifest_of(digits, recipe).model_path
    year = re.compile(rb"20\d\d-[01]\d-[0-3]\d")
    assert not [path for path in package.rglob("*.ml*") if path.is_file() and year.search(path.read_bytes())]
    assert not year.search((package / "Manifest.json").read_bytes())


def test_fp16_computes_in_float16(digits: Export) -> None:
    dtypes: dict[str, Counter[str]] = {}
    for recipe in RECIPES:
        program = program_of(digits, recipe)
        found = [op.outputs[0].dtype for op in program.ops if op.type in {"conv", "layer_norm", "linear", "matmul"}]
        dtypes[recipe] = Counter(found)
        assert [feature.dtype for feature in program.outputs if feature.kind == "array"] == ["float32"]
    assert dtypes["fp32"].keys() == {"float32"}
    assert dtypes["fp16"].keys() == {"float16"}
    assert digits.records["coreml-fp16"]["bytes"] < 0.6 * digits.records["coreml-fp32"]["bytes"]


def test_integers_between_operations_are_refused_where_the_system_has_none() -> None:
    for name, served in {"static_wi8_ai8": False, "static_wi8_ai8_mixed": False, "weight_only_wi8_afp32": True}.items():
        assert (TARGET.refusal(quantization.RECIPES[name], None, "iOS16") is None) == served
        assert TARGET.refusal(quantization.RECIPES[name], None, "iOS17") is None
    with pytest.raises(UnsupportedError, match=r"'static_wi8_ai8' for target 'coreml' for iOS16: .* from iOS 17 on"):
        check_request(TARGET, quantization.RECIPES["static_wi8_ai8"], None, "iOS16")


@pytest.mark.parametrize("system", ["iOS16", "iOS18"])
def test_a_package_is_for_the_asked_system(
    system: str, small_checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    model = build(small_checkpoints["segmentation"].model, "segmentation", (64, 64), ())
    path, request = tmp_path / "model.mlpackage", Request(quantization.recipe("fp32"), None, system, CARD)
    assert find_target("coreml").lower(model, request, path).deployment_target == system
    program = read_program(path)
    assert program.spec_version == SPECIFICATIONS[system]
    assert program.opset == f"CoreML{SPECIFICATIONS[system] - 1}"


def test_a_name_stands_for_one_value(digits: Export) -> None:
    program = program_of(digits)
    names = [port.name for op in program.ops for port in op.outputs] + [feature.name for feature in program.inputs]
    assert len(names) == len(set(names))


def test_the_deployment_target_is_ios_17_by_default(digits: Export) -> None:
    assert manifest_of(digits).record.deployment_target == "iOS17"
    assert program_of(digits).spec_version == SPECIFICATIONS["iOS17"]


def test_fp16_ranks_noise_in_float32(tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    lowered("coreml", None, path)
    found, right = order_of("coreml", path)
    assert np.array_equal(found, right)
    dtypes = {op.outputs[0].dtype for op in read_program(path).ops if op.type in {"conv", "matmul"}}
    assert "float16" in dtypes
