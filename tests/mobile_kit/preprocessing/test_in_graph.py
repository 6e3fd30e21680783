"""What is computed in the file is the processor's arithmetic, in float32 and with weights of float16."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.mobilevitv2 import build
from mobile_kit.models.spec import CommonModel, Entry, ModelSpec, TensorSpec
from mobile_kit.preprocessing.in_graph import ImageFront, attach
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.preprocessing.synthetic_images import scene
from tests.small_checkpoints import preprocess_for, small_model

# Largest difference of the outputs, in standard deviations.
# One convolution: float32 weights, rescaled and rounded once more. Measured: 3.4e-6 at most.
STEM_BOUND = 1e-5
# A whole network carries that rounding on. Measured: 2.7e-5 at most; the bound is that of parity.
NETWORK_BOUND = 1e-4


class Stem(CommonModel):
    """One convolution that stands for any family's first, and a layer behind it."""

    def __init__(self, padding: int | str, channels: int, bias: bool = True) -> None:
        image = TensorSpec("pixel_values", (1, channels, 64, 64), "float32", "NCHW", "pixel_values")
        super().__init__(ModelSpec("stem", "base", (64, 64), channels, None, 1, (image,), ()))
        generator = torch.Generator().manual_seed(0)
        stride = 1 if padding == "same" else 2
        self.conv = nn.Conv2d(channels, 8, 3, stride=stride, padding=padding, bias=bias)
        for parameter in self.conv.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.requires_grad_(False)

    @property
    def stem(self) -> nn.Conv2d:
        return self.conv

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (torch.relu(self.conv(inputs[0])),)


def preprocessing(order: str, normalized: bool) -> Preprocess:
    channels = 1 if order == "GRAY" else 3
    mean = (0.485, 0.456, 0.406)[:channels] if normalized else (0.0,) * channels
    std = (0.229, 0.5, 0.225)[:channels] if normalized else (1.0,) * channels
    return Preprocess(None, (64, 64), "bilinear", order, 1 / 255, mean, std)  # type: ignore[arg-type]


def entering(image: NDArray[np.uint8], entry: Entry) -> Tensor:
    values = torch.from_numpy(image[None])
    return values if entry == "uint8_nhwc" else values.permute(0, 3, 1, 2).float()


def check_same(ours: Tensor, reference: Tensor, bound: float) -> None:
    assert reference.std() > 0.1
    assert float((ours - reference).abs().max() / reference.std()) <= bound


@pytest.mark.parametrize("entry", ["uint8_nhwc", "rgb_nchw"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("padding", [0, 1, "same"])
@pytest.mark.parametrize("normalized", [False, True], ids=["scaled", "mean and std"])
@pytest.mark.parametrize("order", ["RGB", "BGR", "GRAY"])
def test_arithmetic_in_the_graph_is_the_processors(
    entry: Entry, half: bool, padding: int | str, normalized: bool, order: str
) -> None:
    preprocess = preprocessing(order, normalized)
    image = scene(8, 64, 64)[:, :, : preprocess.channels]
    want = Stem(padding, preprocess.channels)(torch.from_numpy(preprocess.arithmetic(image)))[0]
    model = attach(Stem(padding, preprocess.channels), preprocess, entry, half)
    check_same(model(entering(image, entry))[0], want, STEM_BOUND)


@pytest.mark.parametrize("entry", ["uint8_nhwc", "rgb_nchw"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("channels", [1, 3], ids=["gray", "color"])
def test_a_checkpoints_outputs_from_bytes_are_those_from_pixel_values(entry: Entry, half: bool, channels: int) -> None:
    hf = small_model("classification", num_channels=channels)
    preprocess = preprocess_for((64, 64), channels)
    image = scene(9, 64, 64)[:, :, :channels]
    with torch.no_grad():
        want = hf(torch.from_numpy(preprocess.arithmetic(image))).logits
        model = attach(build(hf, "classification", (64, 64), ()), preprocess, entry, half)
        check_same(model(entering(image, entry))[0], want, NETWORK_BOUND)


@pytest.mark.parametrize("entry", ["uint8_nhwc", "rgb_nchw"])
def test_swapping_red_and_blue_changes_the_outputs(entry: Entry) -> None:
    hf = small_model("classification")
    image = scene(9, 64, 64)
    with torch.no_grad():
        model = attach(build(hf, "classification", (64, 64), ()), preprocess_for((64, 64)), entry)
        right, swapped = (model(entering(x, entry))[0] for x in (image, image[:, :, ::-1].copy()))
    # 2.0 measured: a wrong colour order can't hide below a tolerance.
    assert (right - swapped).pow(2).mean().sqrt() > right.std()


def test_the_image_input_is_described() -> None:
    spec = attach(Stem(1, 3), preprocessing("BGR", False), "uint8_nhwc").spec.inputs[0]
    assert spec == TensorSpec("image", (1, 64, 64, 3), "uint8", "NHWC", "image", "RGB", (0, 255))
    spec = attach(Stem(1, 1), preprocessing("GRAY", False), "rgb_nchw").spec.inputs[0]
    assert spec == TensorSpec("image", (1, 1, 64, 64), "float32", "NCHW", "image", "GRAY", (0, 255))


def test_pixel_values_leave_the_model_as_it_is() -> None:
    model = Stem(1, 3)
    weight = model.stem.weight.clone()
    assert attach(model, preprocessing("BGR", True), "pixel_values") is model
    assert torch.equal(model.stem.weight, weight)


def test_half_keeps_the_weights_out_of_float16s_subnormal_numbers() -> None:
    plain, half = (attach(Stem(1, 3), preprocessing("BGR", False), "uint8_nhwc", h).stem.weight for h in (False, True))
    # Scaled by 256 / 255 in place of 1 / 255: all of the significant bits of float16, whose least normal is 2**-14.
    assert plain.abs().mean() < 2e-3
    assert 0.9 < half.abs().mean() / Stem(1, 3).stem.weight.abs().mean() < 1.1


@pytest.mark.parametrize("padding", [0, 1])
def test_half_subtracts_the_mean_with_one_rounding(padding: int) -> None:
    """Float16 has no 123.675: the mean of a padded first convolution would be off by up to 1/32 for every pixel."""
    preprocess = preprocessing("RGB", True)
    bytes_ = torch.arange(256, dtype=torch.uint8).reshape(1, 256, 1, 1).expand(1, 256, 1, 3)
    model = attach(Stem(padding, 3), preprocess, "uint8_nhwc", half=True)
    front = next(module for module in model.modules() if isinstance(module, ImageFront))
    exact, ours = front.double()(bytes_.double()), front.half()(bytes_.half()).double()
    assert exact.abs().max() > 1
    # The rest of the mean is rounded too: at most 2**-13, here times 2**-6.
    assert bool(((ours - exact).abs() <= exact.abs() * 2**-11 + 2**-18).all())


def test_a_mean_without_a_bias_to_fold_it_into_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no bias"):
        attach(Stem(0, 3, bias=False), preprocessing("RGB", True), "uint8_nhwc")
