"""What a classifier's numbers mean, on every target: transformers' own pipeline says the same."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from mobile_kit.apps.web_preview import Preview
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.evaluation.predictor import Predictor
from mobile_kit.preprocessing.synthetic_images import scene
from tests.exports import TARGETS, Export
from tests.one_process import export, mobile_kit
from tests.sharing import once
from tests.small_checkpoints import LABELS
from tests.small_families import VIT_MSN

CASES: dict[str, dict[str, Any]] = {
    "multilabel": {"problem_type": "multi_label_classification"},
    "onelabel": {"id2label": {0: "ripe"}},
    "regression": {"problem_type": "regression"},
}
# Of a probability, or of the values' spread: what float16 loses in a network of one layer.
FLOAT32, FLOAT16 = 1e-5, 5e-3


@dataclass(frozen=True)
class Case:
    name: str
    exported: Export
    photo: Path
    expected: dict[str, float]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name: str = request.param

    def make(place: Path) -> Case:
        model = VIT_MSN.model("classification", (32, 32), {"num_hidden_layers": 1, **CASES[name]})
        folder = VIT_MSN.save(model, place / name)
        photo = place / "photo.png"
        Image.fromarray(scene(3, 60, 80)).save(photo)
        classify = transformers.pipeline("image-classification", model=str(folder))
        expected = {each["label"]: each["score"] for each in classify(str(photo), top_k=len(LABELS))}
        return Case(name, export(folder, place / "out", "--recipe", "fp32,fp16"), photo, expected)

    return once(tmp_path_factory, f"activation-{name}", make)


def test_every_target_gives_transformers_numbers(case: Case) -> None:
    assert len(case.exported.records) == 2 * len(TARGETS)
    spread = max(np.std(list(case.expected.values())), 1.0) if case.name == "regression" else 1.0
    for name in case.exported.records:
        asked = ("predict", case.exported[name], case.photo, "--json")
        prediction = json.loads(mobile_kit(*asked).stdout)
        assert prediction["figure"] == ("value" if case.name == "regression" else "probability")
        near = pytest.approx(case.expected, abs=spread * (FLOAT16 if name.endswith("fp16") else FLOAT32))
        assert dict(prediction["classes"]) == near, name
        assert read_manifest(case.exported[name]).record.model.activation == (
            "none" if case.name == "regression" else "sigmoid"
        )


def test_the_preview_shows_them(case: Case) -> None:
    name = next(name for name in case.exported.records if name.startswith("tflite-fp32"))
    preview = Preview(case.exported[name])
    answer = preview.answer(case.photo.read_bytes(), "photo")
    shown = {each["label"]: each["score"] for each in answer["classes"]}
    assert shown == pytest.approx(case.expected, abs=1e-4)
    assert answer["figure"] == ("value" if case.name == "regression" else "probability")


def test_core_ml_names_one_class_only_where_one_is_right(case: Case) -> None:
    name = next(name for name in case.exported.records if name.startswith("coreml-fp32"))
    outputs = Predictor(case.exported[name]).runtime.outputs
    assert list(outputs) == [out.name for out in read_manifest(case.exported[name]).outputs]
    import coremltools as ct

    spec = ct.utils.load_spec(str(case.exported[name] / "model.mlpackage"))
    assert not spec.description.predictedFeatureName
    assert "classLabel" not in [feature.name for feature in spec.description.output]


def test_a_mediapipe_client_finds_no_labels_on_values(case: Case) -> None:
    from targets.tflite.metadata import read_metadata

    name = next(name for name in case.exported.records if name.startswith("tflite-fp32"))
    note = read_metadata((case.exported[name] / "model.tflite").read_bytes())
    labelled = [bool(out.labels) for out in note.outputs]
    assert labelled == ([False] if case.name == "regression" else [True, True])
