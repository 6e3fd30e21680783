import copy

import pytest
import torch

from mobile_kit.models.layers import MapNorm, TokenNorm
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec
from targets.tflite.norms import GREATEST, MeanNorm, factors_of

SHAPE = (1, 64, 48)
NORMS = [MapNorm(64, 48, 1e-5), TokenNorm(48, 1e-6)]


class Scaled(CommonModel):
    """A norm of an image's bytes times a number."""

    def __init__(self, norm: MapNorm | TokenNorm, scale: float) -> None:
        image = TensorSpec("image", (1, 8, 8, 48), "uint8", "NHWC", "image")
        super().__init__(ModelSpec("toy", "base", (8, 8), 48, None, 0, (image,), (TensorSpec("y", SHAPE),)))
        self.norm, self.scale = norm, scale

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.norm(inputs[0].reshape(SHAPE).float() * self.scale),)


@pytest.mark.parametrize("factor", [1.0, 0.25, 2.0**-10])
@pytest.mark.parametrize("norm", NORMS, ids=["map", "token"])
def test_a_factor_changes_no_bit_in_float32(norm: MapNorm | TokenNorm, factor: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(SHAPE) * 300
    assert torch.equal(MeanNorm(norm, factor)(x), MeanNorm(norm, 1.0)(x))
    assert torch.allclose(MeanNorm(norm, factor)(x), norm(x), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0])
@pytest.mark.parametrize("norm", NORMS, ids=["map", "token"])
def test_what_is_squared_stays_far_below_what_float16_can_square(norm: MapNorm | TokenNorm, scale: float) -> None:
    model = Scaled(copy.deepcopy(norm), scale)
    factor = factors_of(model)[model.norm]
    # Bytes, without their mean, reach from 127 to 255.
    assert factor == 1.0 if scale < 0.01 else GREATEST / 4 < 127.5 * scale * factor <= GREATEST
    assert MeanNorm(norm, factor)(torch.full(SHAPE, 7.0)).abs().max() == 0  # a flat map


def test_a_norm_that_never_runs_needs_no_factor() -> None:
    model = Scaled(copy.deepcopy(NORMS[0]), 1.0)
    model.add_module("spare", copy.deepcopy(NORMS[1]))
    assert factors_of(model)[model.spare] == 1.0  # type: ignore[index]
