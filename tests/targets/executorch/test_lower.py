from pathlib import Path
from typing import Any

import numpy as np
import pytest
from executorch.runtime import Runtime

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.quantization.recipes import RECIPES
from sample_apps.checkpoints.digits import LABELS
from targets.executorch import TARGET
from tests.exports import DIGITS, Export, export
from tests.graphs import shattering
from tests.noise_model import lowered, order_of
from tests.small_checkpoints import LABELS as SMALL_LABELS

CAST = "_to_dim_order_copy"


def manifest_of(exported: Export, name: str) -> Manifest:
    return read_manifest(exported[f"executorch-{name}"])


def outside_of(exported: Export, name: str) -> dict[str, int]:
    graph = manifest_of(exported, name).record.graph
    assert all(each.reason for each in graph.fallback_ops)
    return {each.op: each.count for each in graph.fallback_ops}


def constants(path: Path) -> dict[str, list[Any]]:
    """Ask the file itself, by ExecuTorch's own runtime."""
    program = Runtime.get().load_program(path)
    return {name: program.load_method(name).execute([]) for name in program.method_names if name != "forward"}


WHOLE_SEGMENTATION, WHOLE_BASE = (
    pytest.param(f"whole_{each}", marks=pytest.mark.slow) for each in ("segmentation", "base")
)


@pytest.mark.parametrize("fixture", ["digits", "mask", "base", "odd", WHOLE_SEGMENTATION])
def test_one_partition_takes_all_but_casts_and_argmax(fixture: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(fixture)
    graph = manifest_of(exported, "xnnpack-fp32").record.graph
    assert graph.partitions == 1
    # Of the bytes; of a mask, from XNNPACK's float and its argmax's int64 too.
    allowed = {CAST: 2, "argmax": 1} if fixture == "mask" else {CAST: 1}
    assert outside_of(exported, "xnnpack-fp32") == allowed
    assert not shattering(graph.ops)
    assert "native_layer_norm" not in graph.ops


# Probabilities are computed in float32, by a delegate of their own between two more casts.
@pytest.mark.parametrize(
    ("fixture", "outputs", "softmaxes"),
    [("digits", 2, 1), ("segmentation", 1, 0), pytest.param("whole_base", 6, 0, marks=pytest.mark.slow)],
)
def test_fp16_leaves_only_its_casts_outside(
    fixture: str, outputs: int, softmaxes: int, request: pytest.FixtureRequest
) -> None:
    exported = request.getfixturevalue(fixture)
    manifest = manifest_of(exported, "xnnpack-fp16")
    assert len(manifest.outputs) == outputs
    assert manifest.record.graph.partitions == 1 + softmaxes
    # From bytes to float32, from there to float16, and back for each output.
    assert outside_of(exported, "xnnpack-fp16") == {CAST: 2 + outputs + 2 * softmaxes}
    assert [out.dtype for out in manifest.outputs] == ["float32"] * outputs


# What an operation takes in a file beside the weights: 200 bytes in float32 and 490 in float16 were measured. With
# twice the weights, float16's digits would have 830.
OP_BYTES = 600


@pytest.mark.parametrize(("recipe", "weight_bytes"), [("fp32", 4), ("fp16", 2)])
def test_a_file_has_its_weights_once_in_its_precision(recipe: str, weight_bytes: int, digits: Export) -> None:
    manifest = manifest_of(digits, f"xnnpack-{recipe}")
    weights = weight_bytes * manifest.record.model.num_parameters
    operations = sum(manifest.record.graph.ops.values())
    assert weights < manifest.model_bytes < weights + OP_BYTES * operations


@pytest.mark.parametrize("name", ["xnnpack-fp32", "xnnpack-fp16"])
def test_the_file_answers_what_an_app_asks(digits: Export, name: str) -> None:
    manifest = manifest_of(digits, name)
    assert constants(manifest.model_path) == {
        "get_image_size": [128, 128],
        "get_input_names": ["image"],
        "get_labels": ["\n".join(LABELS)],
        "get_license": ["apache-2.0"],
        "get_output_names": ["probabilities\nlogits"],
        "get_source": [manifest.record.model.source],
    }


def test_a_segmentation_s_file_answers_too(segmentation: Export, base: Export) -> None:
    found = constants(manifest_of(segmentation, "xnnpack-fp16").model_path)
    assert (found["get_labels"], found["get_output_names"]) == (["\n".join(SMALL_LABELS)], ["logits"])
    assert found["get_license"] == [""]
    assert constants(manifest_of(base, "xnnpack-fp32").model_path)["get_labels"] == [""]


def test_core_ml_s_delegate_takes_the_whole_graph(delegates: Export) -> None:
    manifest = manifest_of(delegates, "coreml-fp16")
    assert manifest.record.backend == "coreml"
    assert manifest.record.deployment_target == "iOS18"  # as asked
    assert manifest.record.graph.partitions == 1
    assert outside_of(delegates, "coreml-fp16") == {CAST: 1}


@pytest.mark.slow
def test_core_ml_s_delegate_holds_two_bytes_a_parameter_in_fp16(tmp_path: Path) -> None:
    asked = ("--target", "executorch", "--backend", "coreml", "--recipe", "fp32,fp16")
    exported = export(DIGITS, tmp_path, *asked)
    sizes = {recipe: exported.records[f"executorch-coreml-{recipe}"]["bytes"] for recipe in ("fp32", "fp16")}
    parameters = manifest_of(exported, "coreml-fp16").record.model.num_parameters
    # Batch norms are folded away: 0.85 of all parameters are left.
    assert sizes["fp32"] - sizes["fp16"] > 0.8 * 2 * parameters


def test_vulkan_s_delegate_takes_most_of_the_graph(delegates: Export) -> None:
    manifest = manifest_of(delegates, "vulkan-fp32")
    assert manifest.record.backend == "vulkan"
    graph = manifest.record.graph
    inside = sum(graph.ops.values()) - sum(outside_of(delegates, "vulkan-fp32").values())
    assert graph.partitions
    assert inside > 0.9 * sum(graph.ops.values())


def test_what_only_runs_on_a_device_is_not_called_verified(delegates: Export) -> None:
    assert {name: record["status"] for name, record in delegates.records.items()} == {
        "executorch-coreml-fp16": "not run",
        "executorch-vulkan-fp32": "not run",
    }
    assert all("runs on a device only" in record["detail"] for record in delegates.records.values())


def test_only_vulkan_refuses_fp16() -> None:
    refusals = {backend: TARGET.refusal(RECIPES["fp16"], backend) for backend in TARGET.backends}
    assert {backend for backend, reason in refusals.items() if reason} == {"vulkan"}
    assert all(TARGET.refusal(RECIPES["fp32"], backend) is None for backend in TARGET.backends)


def test_fp16_ranks_noise_in_float32(tmp_path: Path) -> None:
    path = tmp_path / TARGET.model_file
    lowered("executorch", "xnnpack", path)
    found, right = order_of("executorch", path)
    assert np.array_equal(found, right)


def test_what_reads_noise_alone_stays_outside_a_float16_delegate(tmp_path: Path) -> None:
    done = lowered("executorch", "coreml", tmp_path / TARGET.model_file)
    outside = {op.op for op in done.fallback_ops}
    assert {"lt", "eq", "sum", "view_copy"} <= outside
    assert not {"convolution", "bmm"} & outside
    assert done.partitions == 1
