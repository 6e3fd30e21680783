from collections import Counter
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from mobile_kit.artifacts.manifest import Manifest, read_manifest
from sample_apps.checkpoints.digits import LABELS
from targets.tflite.metadata import TensorNote, read_metadata
from tests.exports import Export
from tests.small_checkpoints import LABELS as SMALL_LABELS

RECIPES = ("fp32", "fp16")
# One into Hugging Face's NCHW: for logits that are an output, and for the argmax over their classes.
TRANSPOSES = {"digits": 0, "segmentation": 1, "mask": 1, "segmenter": 0, "odd": 0}


def model_of(path: Path) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(path.read_bytes())


def ops_of(path: Path) -> Counter[str]:
    """Count the operations in the flatbuffer itself."""
    model = model_of(path)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return Counter(codes[op.opcodeIndex] for graph in model.subgraphs for op in graph.operators)


def manifest_of(exported: Export, recipe: str) -> Manifest:
    return read_manifest(exported[f"tflite-{recipe}"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_one_partition_takes_all_but_the_cast_of_the_bytes(digits: Export, recipe: str) -> None:
    graph = manifest_of(digits, recipe).record.graph
    assert graph.partitions == 1
    assert [(each.op, each.count) for each in graph.fallback_ops] == [("CAST", 1)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_manifest_counts_the_file_s_ops(digits: Export, recipe: str) -> None:
    manifest = manifest_of(digits, recipe)
    assert manifest.record.graph.ops == dict(ops_of(manifest.model_path))


@pytest.mark.parametrize("name", sorted(TRANSPOSES))
def test_nothing_is_gathered_tiled_or_needlessly_transposed(name: str, request: pytest.FixtureRequest) -> None:
    ops = ops_of(manifest_of(request.getfixturevalue(name), "fp32").model_path)
    assert not {"GATHER", "GATHER_ND", "TILE", "SPLIT", "STABLEHLO_SORT"} & ops.keys()
    assert ops["TRANSPOSE"] <= TRANSPOSES[name]


@pytest.mark.parametrize("recipe", RECIPES)
def test_tensors_and_signature_have_the_manifest_s_names(digits: Export, recipe: str) -> None:
    interpreter = Interpreter(str(manifest_of(digits, recipe).model_path))
    assert [(d["name"], d["shape"].tolist()) for d in interpreter.get_input_details()] == [("image", [1, 128, 128, 3])]
    assert [d["name"] for d in interpreter.get_output_details()] == ["probabilities", "logits"]
    (signature,) = interpreter.get_signature_list().values()
    assert signature["inputs"] == ["image"]
    assert set(signature["outputs"]) == {"probabilities", "logits"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_metadata_say_what_the_file_is(digits: Export, recipe: str) -> None:
    note = read_metadata(manifest_of(digits, recipe).model_path.read_bytes())
    assert note.name == digits.checkpoint.name
    assert note.license == "apache-2.0"
    assert note.inputs == (
        TensorNote("image", "image bytes 0..255; colour order and scale are in the model", color="RGB"),
    )
    assert [(out.name, out.labels) for out in note.outputs] == [("probabilities", LABELS), ("logits", LABELS)]
    assert note.activation is None


def test_metadata_of_a_segmenter(segmenter: Export, mask: Export, segmentation: Export) -> None:
    note = read_metadata(manifest_of(segmenter, "fp32").model_path.read_bytes())
    assert note.activation == "softmax"
    assert [(out.name, out.labels) for out in note.outputs] == [("segmenter", SMALL_LABELS)]
    # The labels are read along the last axis, which is no axis of classes in these.
    for exported in (mask, segmentation):
        note = read_metadata(manifest_of(exported, "fp32").model_path.read_bytes())
        assert note.activation is None
        assert [out.labels for out in note.outputs] == [None]


def test_a_gray_input_says_so(odd: Export) -> None:
    manifest = manifest_of(odd, "fp32")
    assert manifest.inputs[0].shape == (1, 104, 136, 1)
    assert read_metadata(manifest.model_path.read_bytes()).inputs[0].color == "GRAY"


def test_fp16_holds_half_weights_and_computes_in_float32(digits: Export) -> None:
    manifest = manifest_of(digits, "fp16")
    graph = model_of(manifest.model_path).subgraphs[0]
    dtypes = Counter(tensor.type for tensor in graph.tensors)
    # Convolutions and linear layers: a weight each, behind a cast that the delegate takes in.
    weighty = ops_of(manifest.model_path)
    layers = weighty["CONV_2D"] + weighty["DEPTHWISE_CONV_2D"] + weighty["FULLY_CONNECTED"]
    assert dtypes[schema.TensorType.FLOAT16] == weighty["DEQUANTIZE"] == layers
    recipe = manifest.record.recipe
    assert (recipe.weight_bits, recipe.activation_bits) == (16, 32)
    assert recipe.scheme == "float16 weights, float32 arithmetic"
    assert digits.records["tflite-fp16"]["bytes"] < 0.6 * digits.records["tflite-fp32"]["bytes"]


def test_tools_are_named(digits: Export) -> None:
    tools = manifest_of(digits, "fp32").record.tools
    assert set(tools) == {"ai-edge-litert", "ai-edge-quantizer", "litert-torch", "torch"}
