import math

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from mobile_kit.checkpoints.oracle import LEAST_DIFFERENCE
from mobile_kit.checkpoints.random_weights import randomize
from mobile_kit.models.mobilevitv2 import HEADS
from mobile_kit.preprocessing.synthetic_images import scene
from tests.small_checkpoints import preprocess_for, small_config, small_model


def outputs(model: nn.Module) -> list[np.ndarray]:
    preprocess = preprocess_for((64, 64))
    with torch.no_grad():
        raw = [model(torch.from_numpy(preprocess.arithmetic(scene(seed, 64, 64)))) for seed in (1, 2)]
    return [(out["logits"] if "logits" in out else out["last_hidden_state"]).numpy() for out in raw]


@pytest.mark.parametrize("head", HEADS)
def test_the_outputs_depend_on_the_image(head: str) -> None:
    first, second = outputs(small_model(head))
    difference = float(np.sqrt(np.mean((first - second) ** 2)) / first.std())
    assert difference > 5 * LEAST_DIFFERENCE  # 0.93 and more measured


def test_hugging_faces_own_weights_do_not() -> None:
    """The reason for this module; should it fail one day, Hugging Face has mended it."""
    first, second = outputs(transformers.MobileViTV2ForImageClassification(small_config()).eval())
    assert np.array_equal(first, second)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, again = small_model("classification"), small_model("classification")
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    randomize(again, preprocess_for((64, 64)), seed=1)
    assert not torch.equal(first.classifier.weight, again.classifier.weight)


def test_weights_have_the_stated_spread() -> None:
    model = small_model("classification", n_attn_blocks=[1, 1, 1])
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 2000:
            fan_in = module.weight[0].numel()
            # The standard error of n draws is 1 / sqrt(2 n): 1.6 % of 2000.
            assert math.isclose(float(module.weight.std()), fan_in**-0.5, rel_tol=0.08), name
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            assert abs(float(module.weight.mean()) - 1) < 0.1, name


def test_batch_norms_have_the_statistics_of_their_inputs() -> None:
    model = small_model("classification")
    preprocess = preprocess_for((64, 64))
    images = [scene(1000 + i, 64, 64) for i in range(8)]
    norm = model.mobilevitv2.conv_stem.normalization
    with torch.no_grad():
        batch = torch.from_numpy(np.concatenate([preprocess.arithmetic(image) for image in images]))
        x = model.mobilevitv2.conv_stem.convolution(batch)
    # One average of float32 in another order: 3e-8 and, relative, 1.2e-7 measured.
    torch.testing.assert_close(norm.running_mean, x.mean((0, 2, 3)), rtol=0, atol=1e-6)
    torch.testing.assert_close(norm.running_var, x.var((0, 2, 3)), rtol=1e-5, atol=0)
    assert all(not module.training for module in model.modules())


def test_a_model_without_batch_norm_needs_no_images() -> None:
    model = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 4))
    randomize(model, preprocess_for((64, 64)))
    model.requires_grad_(False)
    assert 0.5 < float(model[0].weight.mean()) < 1.5
    assert 0.1 < float(model[1].weight.std()) < 0.5  # 16 ** -0.5
