"""manifest.json and its schema are one record."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mobile_kit.artifacts.manifest_record import InputRecord, OutputRecord, PreprocessRecord, schema
from mobile_kit.models.spec import TensorSpec
from mobile_kit.preprocessing.preprocess import Preprocess
from tests.schemas import allowed
from tests.small_checkpoints import PROCESSOR

PATH = r"^(?!/)(?!(.*/)?\.\.(/|$))[^\\\x00-\x1f\x7f]+$(?!\n)"

COUNT = {"type": "integer", "minimum": 1}
# What files are judged on, beside the golden photo.
JUDGED = {
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {
                "on": {"enum": ["drawn scenes", "held-out images", "other images"]},
                "images": {"anyOf": [COUNT, {"type": "null"}]},
                "sha256": {"anyOf": [{"type": "string", "pattern": "^[0-9a-f]{64}$"}, {"type": "null"}]},
                "stored": {"type": "boolean"},
            },
            "required": ["on", "images", "sha256", "stored"],
            "additionalProperties": False,
        },
    ]
}


def test_the_schema_is_that_of_version_1_and_what_came_since() -> None:
    written = json.loads((Path(__file__).parent / "data" / "manifest.schema.json").read_text())
    # A path is of one line.
    written["$defs"]["path"]["pattern"] = PATH
    written["properties"]["schema_version"]["const"] = 2
    # Files of pixel_values may have 4 channels.
    preprocess = written["properties"]["preprocess"]["properties"]
    preprocess["mean"]["maxItems"] = preprocess["std"]["maxItems"] = 4
    preprocess["channel_order"] = {"enum": ["RGB", "BGR", "GRAY", "RGBA"]}
    model = written["properties"]["model"]
    model["properties"]["activation"] = {"enum": [None, "none", "sigmoid", "softmax"]}
    model["required"].append("activation")
    written["properties"]["outputs"]["items"]["properties"]["meaning"]["enum"].append("values")
    written["properties"]["judged"] = JUDGED
    written["required"].append("judged")
    Draft202012Validator.check_schema(schema())
    assert allowed(schema()) == allowed(written)


def test_every_object_of_the_schema_is_closed_and_whole() -> None:
    """Every key always present: what an object may have, it must have."""

    def visit(node: Any, place: str) -> int:
        if isinstance(node, list):
            return sum(visit(child, place) for child in node)
        if not isinstance(node, dict):
            return 0
        here = 0
        if "properties" in node and isinstance(node.get("type"), str | list):
            assert set(node["required"]) == set(node["properties"]), place
            assert node["additionalProperties"] is False, place
            here = 1
        return here + sum(visit(child, f"{place}/{key}") for key, child in node.items())

    assert visit(schema(), "") == 14


@pytest.mark.parametrize("crop", [True, False])
def test_a_preprocess_comes_back_from_its_record(crop: bool) -> None:
    edges = {} if crop else {"size": {"height": 64, "width": 96}}
    preprocess = Preprocess.from_processor({**PROCESSOR, **edges, "do_center_crop": crop}, 3)
    record = PreprocessRecord.of(preprocess, in_graph=True)
    assert (record.preprocess, record.in_graph, record.rounding) == (preprocess, True, "truncate")


def test_a_tensor_comes_back_from_its_record() -> None:
    image = TensorSpec("image", (1, 64, 64, 3), "uint8", "NHWC", "image", "RGB", (0, 255))
    assert InputRecord.of(image).spec("image") == image
    logits = TensorSpec("logits", (1, 5), "float32", "NK", "logits")
    assert OutputRecord.of(logits).spec == logits
    assert OutputRecord.of(logits).golden == "golden/outputs/logits.bin"
