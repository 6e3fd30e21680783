from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import nn

from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import CheckpointError, OracleError
from mobile_kit.models.family import labels_of
from mobile_kit.models.outputs import known_outputs, select_outputs
from mobile_kit.models.spec import TensorSpec
from mobile_kit.preprocessing.synthetic_images import scene
from tests.small_checkpoints import small_config, small_model

PHOTO = scene(2, 90, 110)


def oracle_of(checkpoint: Checkpoint) -> Oracle:
    """An oracle of everything that the head can give."""
    head = checkpoint.head
    model = checkpoint.family.build(checkpoint.model, head.name, checkpoint.image_size, head.optional)
    together = tuple(name for name in known_outputs(head) if name != "segmenter")
    outputs = select_outputs(model, head, together).spec.outputs
    if "segmenter" in known_outputs(head):
        outputs += select_outputs(model, head, ("segmenter",)).spec.outputs[:1]
    return Oracle(checkpoint, outputs)


def test_pixel_values_are_the_processors(small_checkpoints: dict[str, Checkpoint]) -> None:
    checkpoint = small_checkpoints["classification"]
    values = oracle_of(checkpoint).pixel_values(PHOTO)
    assert values.shape == (1, 3, 64, 64)
    assert values.dtype == np.float32
    assert np.array_equal(values, checkpoint.processor(PHOTO, return_tensors="np").pixel_values)


# What a config says of a classifier's outputs.
PROBLEMS: dict[str, dict[str, Any]] = {
    "one class is right": {},
    "one class is right, as it says": {"problem_type": "single_label_classification"},
    "each label by itself": {"problem_type": "multi_label_classification"},
    "one label": {"id2label": {0: "ripe"}},
    "values": {"problem_type": "regression"},
    "one value": {"id2label": {0: "weight"}, "problem_type": "regression"},
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_scores_are_those_of_transformers_own_pipeline(problem: str, small_checkpoints: dict[str, Checkpoint]) -> None:
    changes = PROBLEMS[problem]
    checkpoint = replace(small_checkpoints["classification"], model=small_model("classification", **changes))
    built = checkpoint.family.build(checkpoint.model, "classification", checkpoint.image_size, ())
    outputs = select_outputs(built, checkpoint.head, ()).spec.outputs
    assert [out.name for out in outputs][:-1] == ([] if "value" in problem else ["probabilities"])
    answers = Oracle(checkpoint, outputs).run(oracle_of(small_checkpoints["base"]).pixel_values(PHOTO))
    classify = transformers.pipeline(
        "image-classification", model=checkpoint.model, image_processor=checkpoint.processor
    )
    theirs = {each["label"]: each["score"] for each in classify(Image.fromarray(PHOTO), top_k=5)}
    labels = labels_of(checkpoint.model.config)
    assert labels is not None
    assert dict(zip(labels, answers[outputs[0].name][0], strict=True)) == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("head", ["base", "classification", "segmentation"])
def test_every_output_is_hugging_faces(head: str, small_checkpoints: dict[str, Checkpoint]) -> None:
    checkpoint = small_checkpoints[head]
    oracle = oracle_of(checkpoint)
    values = oracle.pixel_values(PHOTO)
    results = oracle.run(values)
    with torch.no_grad():
        raw = checkpoint.model(torch.from_numpy(values), output_hidden_states=True)
    want = {f"hidden_states_{i}": state for i, state in enumerate(raw.hidden_states)}
    if head == "base":
        want.popitem()  # it is the last hidden state
        want |= {"last_hidden_state": raw.last_hidden_state, "pooler_output": raw.pooler_output}
    else:
        want["logits"] = raw.logits
    if head == "classification":
        want["probabilities"] = raw.logits.softmax(-1)
    if head == "segmentation":
        want["mask"] = checkpoint.processor.post_process_semantic_segmentation(raw, target_sizes=[(64, 64)])[0][None]
        resized = nn.functional.interpolate(raw.logits, size=(64, 64), mode="bilinear", align_corners=False)
        want["segmenter"] = resized.permute(0, 2, 3, 1)
        assert torch.equal(want["segmenter"].argmax(-1), want["mask"])  # Hugging Face's own mask agrees
    assert set(results) == set(want)
    for name, value in want.items():
        assert np.array_equal(results[name], value.numpy()), name


def test_yardsticks_measure_hugging_face_against_its_float64(small_checkpoints: dict[str, Checkpoint]) -> None:
    oracle = oracle_of(small_checkpoints["segmentation"])
    values = oracle.pixel_values(PHOTO)
    with_half, without = oracle.measure(values, half=True)[0], oracle.measure(values, half=False)[0]
    for spec in oracle.outputs:
        single, half = without[spec.name], with_half[spec.name]
        assert half.float32_error == single.float32_error
        assert single.float16_sqnr_db is single.float16_changed is None
        if spec.meaning == "mask":
            assert half.float16_sqnr_db is None
            assert half.float16_changed is not None
            assert single.float32_error <= half.float16_changed < 0.05  # 0.007 of the pixels measured
        else:
            # Measured: 2.5e-6 to 2.2e-5 over the maps and logits, and 31 to 56 dB.
            assert 1e-7 < single.float32_error < 1e-4
            assert half.float16_sqnr_db is not None
            assert 25 < half.float16_sqnr_db < 65
            assert half.float16_changed is None


def test_measuring_leaves_the_model_as_it_was(small_checkpoints: dict[str, Checkpoint]) -> None:
    checkpoint = small_checkpoints["classification"]
    oracle = oracle_of(checkpoint)
    values = oracle.pixel_values(PHOTO)
    before = {name: tensor.clone() for name, tensor in checkpoint.model.state_dict().items()}
    oracle.measure(values, half=True)
    after = checkpoint.model.state_dict()
    assert all(torch.equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)


@pytest.mark.parametrize("head", ["base", "classification", "segmentation"])
def test_a_model_that_sees_its_input_passes(head: str, small_checkpoints: dict[str, Checkpoint]) -> None:
    oracle = oracle_of(small_checkpoints[head])
    oracle.check_sight(PHOTO)
    oracle.check_preprocess(PHOTO)


def test_a_blind_model_is_refused(small_checkpoints: dict[str, Checkpoint]) -> None:
    """With Hugging Face's default initialisation, the logits are the same for every image."""
    model = transformers.MobileViTV2ForImageClassification(small_config()).eval()
    blind = replace(small_checkpoints["classification"], source="a/b", model=model)
    with pytest.raises(OracleError) as caught:
        oracle_of(blind).check_sight(PHOTO)
    message = str(caught.value)
    assert message.startswith("model 'a/b': its logits are the same for different images")
    assert "--random-weights" in message
    assert "\n" not in message


def test_a_single_logit_that_moves_with_rounding_only_is_blind(small_checkpoints: dict[str, Checkpoint]) -> None:
    model = small_model("classification", num_labels=1)
    model.classifier.weight.mul_(1e-6)
    with pytest.raises(OracleError, match="its logits are the same"):
        oracle_of(replace(small_checkpoints["classification"], model=model)).check_sight(PHOTO)


def test_outputs_that_are_not_numbers_are_refused(small_checkpoints: dict[str, Checkpoint]) -> None:
    model = small_model("classification")
    model.mobilevitv2.conv_stem.normalization.running_var.fill_(-1)
    with pytest.raises(OracleError):
        oracle_of(replace(small_checkpoints["classification"], model=model)).check_sight(PHOTO)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a std of 0
@pytest.mark.parametrize(
    "changes", [{"channel_order": "RGB"}, {"scale": 1 / 256}, {"crop": (64, 63)}, {"std": (0, 0, 0)}]
)
def test_a_processor_that_does_something_else_is_refused(
    changes: dict[str, object], small_checkpoints: dict[str, Checkpoint]
) -> None:
    checkpoint = small_checkpoints["classification"]
    other = replace(checkpoint, preprocess=replace(checkpoint.preprocess, **changes))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="MobileViTImageProcessorPil does something that the kit doesn't"):
        Oracle(other, (TensorSpec("logits", (1, 5)),)).check_preprocess(PHOTO)


def test_what_hugging_face_can_t_compute_is_one_line(small_checkpoints: dict[str, Checkpoint]) -> None:
    def stumble(*args: object, **kwargs: object) -> None:
        raise UnboundLocalError("cannot access\nlocal variable 'layer'")

    checkpoint = replace(small_checkpoints["base"], model=stumble)
    expected = r"can't compute with its config \(cannot access local variable 'layer'\)\. Mend config\.json\."
    with pytest.raises(CheckpointError, match=expected):
        Oracle(checkpoint, ()).check_sight(PHOTO)


def test_some_outputs_are_computed_for_the_photo_alone(small_checkpoints: dict[str, Checkpoint]) -> None:
    oracle = oracle_of(small_checkpoints["base"])
    images = [PHOTO, scene(5, *PHOTO.shape[:2])]
    values = np.concatenate([oracle.pixel_values(image) for image in images])
    yardsticks, answers = oracle.measure(values, half=True, most={"last_hidden_state": 1})
    alone, _ = oracle.measure(values[:1], half=True)
    assert yardsticks["last_hidden_state"] == alone["last_hidden_state"]
    assert answers["last_hidden_state"].shape[0] == 1
    for place, value in enumerate(values):
        assert np.array_equal(answers["pooler_output"][place], oracle.run(value[None])["pooler_output"][0])
