from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import UnsupportedError
from mobile_kit.models.layers import Sigmoid
from mobile_kit.models.outputs import SelectedOutputs, known_outputs, select_outputs
from mobile_kit.models.spec import CommonModel
from mobile_kit.preprocessing.synthetic_images import scene
from tests.small_checkpoints import small_model

# Absolute, of values in -1..1: float32, and Hugging Face itself errs as much. Measured: 1.3e-5 at most.
BOUND = 3e-5


def selected(checkpoint: Checkpoint, *requested: str) -> CommonModel:
    optional = tuple(name for name in requested if name in checkpoint.head.optional)
    model = checkpoint.family.build(checkpoint.model, checkpoint.head.name, checkpoint.image_size, optional)
    return select_outputs(model, checkpoint.head, requested)


def names(model: CommonModel) -> list[str]:
    return [out.name for out in model.spec.outputs]


CHOICES = {
    ("base",): ["last_hidden_state", "pooler_output"],
    ("base", "pooler_output"): ["pooler_output"],
    ("base", "pooler_output", "hidden_states"): [
        "last_hidden_state",
        "pooler_output",
        *(f"hidden_states_{i}" for i in range(4)),
    ],
    ("base", "hidden_states"): ["last_hidden_state", "pooler_output", *(f"hidden_states_{i}" for i in range(4))],
    ("classification",): ["probabilities", "logits"],
    ("classification", "logits"): ["logits"],
    ("classification", "logits", "probabilities"): ["probabilities", "logits"],
    ("classification", "hidden_states"): ["probabilities", "logits", *(f"hidden_states_{i}" for i in range(5))],
    ("segmentation",): ["logits"],
    ("segmentation", "mask"): ["mask"],
    ("segmentation", "segmenter"): ["segmenter"],
    ("segmentation", "logits", "mask"): ["mask", "logits"],
    ("segmentation", "mask", "hidden_states"): ["mask", *(f"hidden_states_{i}" for i in range(5))],
}


@pytest.mark.parametrize("choice", CHOICES, ids="+".join)
def test_outputs_have_their_order_shape_and_values(
    choice: tuple[str, ...], small_checkpoints: dict[str, Checkpoint]
) -> None:
    head, *requested = choice
    checkpoint = small_checkpoints[head]
    model = selected(checkpoint, *requested)
    assert names(model) == CHOICES[choice]
    oracle = Oracle(checkpoint, model.spec.outputs)
    oracle.check_sight(scene(1, 90, 110))
    values = oracle.pixel_values(scene(1, 90, 110))
    reference = oracle.run(values)
    with torch.no_grad():
        results: Iterator[torch.Tensor] = iter(model(torch.from_numpy(values)))
    for spec, result in zip(model.spec.outputs, results, strict=True):
        assert tuple(result.shape) == spec.shape == reference[spec.name].shape
        assert str(result.dtype) == f"torch.{spec.dtype}"
        if spec.meaning == "mask":
            # Where two classes' scores are equal but for rounding. Measured: no pixel of 4096.
            assert np.mean(result.numpy() != reference[spec.name]) <= 1e-3
            assert len(np.unique(reference[spec.name])) > 1
        elif spec.meaning in {"logits", "probabilities"}:
            np.testing.assert_allclose(result.numpy(), reference[spec.name], rtol=0, atol=BOUND)


def test_probabilities_sum_to_one(small_checkpoints: dict[str, Checkpoint]) -> None:
    model = selected(small_checkpoints["classification"])
    with torch.no_grad():
        probabilities, logits = model(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(probabilities.sum(), torch.ones(()), atol=1e-6)  # 5 roundings of 6e-8
    assert torch.equal(probabilities.argmax(), logits.argmax())


@pytest.mark.parametrize(
    ("changes", "default", "meaning"),
    [
        ({"num_labels": 1}, ["probabilities", "logits"], "logits"),
        ({"problem_type": "multi_label_classification"}, ["probabilities", "logits"], "logits"),
        ({"problem_type": "regression"}, ["logits"], "values"),
        ({"num_labels": 0}, ["logits"], "logits"),
    ],
)
def test_only_what_has_scores_has_probabilities(
    changes: dict[str, Any], default: list[str], meaning: str, small_checkpoints: dict[str, Checkpoint]
) -> None:
    checkpoint = small_checkpoints["classification"]
    model = checkpoint.family.build(small_model("classification", **changes), "classification", (64, 64), ())
    selected = select_outputs(model, checkpoint.head, ())
    assert names(selected) == default
    assert selected.spec.outputs[-1].meaning == meaning
    if default == ["logits"]:
        with pytest.raises(UnsupportedError, match="'probabilities': the checkpoint's config makes it a regression"):
            select_outputs(model, checkpoint.head, ("probabilities",))
    else:
        assert isinstance(selected, SelectedOutputs)
        assert isinstance(selected.activation, Sigmoid)


@pytest.mark.parametrize(
    ("head", "asked"), [("base", "logits"), ("classification", "mask"), ("segmentation", "probabilities")]
)
def test_an_unknown_output_is_refused_with_the_known_ones(
    head: str, asked: str, small_checkpoints: dict[str, Checkpoint]
) -> None:
    checkpoint = small_checkpoints[head]
    with pytest.raises(UnsupportedError) as caught:
        selected(checkpoint, asked)
    assert str(caught.value) == (
        f"output '{asked}': the {head} head has none of that name. Known: {', '.join(known_outputs(checkpoint.head))}."
    )


def test_a_segmenter_s_output_stands_alone(small_checkpoints: dict[str, Checkpoint]) -> None:
    with pytest.raises(UnsupportedError, match=r"segmenter, logits.*one output.*alone"):
        selected(small_checkpoints["segmentation"], "segmenter", "logits")


def test_the_stem_is_the_models(small_checkpoints: dict[str, Checkpoint]) -> None:
    model = selected(small_checkpoints["segmentation"], "mask")
    assert model.stem.in_channels == 3
    assert model.stem.weight.shape == (16, 3, 3, 3)
