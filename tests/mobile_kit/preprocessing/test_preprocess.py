import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor

from mobile_kit.errors import CheckpointError, ImageError, UnsupportedError
from mobile_kit.models.family import known_checkpoints
from mobile_kit.models.mobilevitv2 import build
from mobile_kit.models.spec import CommonModel, Entry, ModelSpec, TensorSpec
from mobile_kit.preprocessing.in_graph import ImageFront, attach
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.preprocessing.synthetic_images import scene
from tests.small_checkpoints import PROCESSOR, preprocess_for, small_model

# Largest difference of the outputs, in standard deviations.
# One convolution: float32 weights, rescaled and rounded once more. Measured: 3.4e-6 at most.
STEM_BOUND = 1e-5
# A whole network carries that rounding on. Measured: 2.7e-5 at most; the bound is that of parity.
NETWORK_BOUND = 1e-4

# (height, width): smaller than the crop, narrow, square, equal to the resize and to the crop, odd.
SIZES = [
    (1, 1), (1, 7), (2, 300), (300, 2), (17, 23), (31, 90), (63, 63), (64, 64), (65, 64), (71, 72), (72, 72), (72, 73),
    (73, 72), (99, 100), (101, 157), (144, 144), (145, 217), (200, 81), (427, 613), (613, 427),
]  # fmt: skip

# Changes of the processor's config; the crop of 81 x 64 is larger than the short side and pads.
GEOMETRIES: dict[str, dict[str, Any]] = {
    "resize and crop": {},
    "bicubic": {"resample": 3},
    "nearest": {"resample": 0},
    "lanczos": {"resample": 1},
    "crop that pads": {"crop_size": {"height": 81, "width": 64}},
    "odd crop": {"crop_size": {"height": 63, "width": 70}},
    "large crop": {"size": {"shortest_edge": 40}, "crop_size": {"height": 97, "width": 96}},
    "crop only": {"do_resize": False},
    "fixed size": {"do_center_crop": False, "size": {"height": 48, "width": 80}},
    "fixed size and crop": {"size": {"height": 80, "width": 72}, "crop_size": {"height": 64, "width": 96}},
}


def hf_processor(config: dict[str, Any], folder: Path) -> Any:
    (folder / "preprocessor_config.json").write_text(json.dumps(config), encoding="utf-8")
    return AutoImageProcessor.from_pretrained(folder, backend="pil")


def hf_bytes(processor: Any, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The processor's geometry alone, as (h, w, C) uint8."""
    picture = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
    # Not every processor has every step, and none takes a word for one that it hasn't.
    steps = [step for step in ("do_rescale", "do_normalize", "do_flip_channel_order") if hasattr(processor, step)]
    plain = processor(picture, **dict.fromkeys(steps, False), return_tensors="np").pixel_values
    assert np.array_equal(plain, plain.astype(np.uint8))
    return np.asarray(plain[0].transpose(1, 2, 0), dtype=np.uint8)


@functools.cache
def drawn(size: tuple[int, int]) -> NDArray[np.uint8]:
    return scene(3, *size)


# One checkpoint of each processor; ConvNext's keeps all of an image from 384 px on.
PUBLISHED = ("microsoft/cvt-13", "microsoft/cvt-13-384", "facebook/hiera-tiny-224-hf", "facebook/vit-msn-small")


@pytest.mark.parametrize("channels", [1, 3], ids=["gray", "color"])
@pytest.mark.parametrize("geometry", [*GEOMETRIES, *PUBLISHED])
def test_geometry_is_the_processors_byte_for_byte(geometry: str, channels: int, tmp_path: Path) -> None:
    own = {**PROCESSOR, **GEOMETRIES.get(geometry, {})}
    if geometry in PUBLISHED:
        own = {**known_checkpoints()[geometry].processor, "do_normalize": False, "do_convert_rgb": channels == 3}
    processor = hf_processor(own, tmp_path)
    preprocess = Preprocess.from_processor(processor.to_dict(), channels)
    for size in SIZES:
        image = drawn(size)[:, :, :channels]
        ours, theirs = preprocess.geometry(image), hf_bytes(processor, image)
        assert ours.dtype == np.uint8
        assert ours.shape == (*preprocess.image_size, channels)
        assert np.array_equal(ours, theirs), f"{size[0]}x{size[1]}"


def test_an_image_too_narrow_to_be_resized_is_refused() -> None:
    preprocess = preprocess_for((256, 256))
    with pytest.raises(ImageError, match=r"^image of 90000x1: too narrow .* Crop it first\.$"):
        preprocess.geometry(np.zeros((1, 90_000, 3), np.uint8))


ARITHMETICS: dict[str, dict[str, Any]] = {
    "BGR": {},
    "RGB": {"do_flip_channel_order": False},
    "other scale": {"rescale_factor": 1 / 127.5},
    "no scale": {"do_rescale": False},
}
NORMALIZED: dict[str, Any] = {
    **PROCESSOR,
    "image_processor_type": "ViTImageProcessor",
    "do_flip_channel_order": False,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "size": {"height": 64, "width": 64},
    "do_center_crop": False,
}


@pytest.mark.parametrize("channels", [1, 3], ids=["gray", "color"])
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_arithmetic_is_the_processors(arithmetic: str, channels: int, tmp_path: Path) -> None:
    check_arithmetic({**PROCESSOR, **ARITHMETICS[arithmetic]}, channels, tmp_path)


def test_mean_and_std_are_the_processors(tmp_path: Path) -> None:
    check_arithmetic(NORMALIZED, 3, tmp_path)


def check_arithmetic(config: dict[str, Any], channels: int, folder: Path) -> None:
    processor = hf_processor(config, folder)
    preprocess = Preprocess.from_processor(processor.to_dict(), channels)
    image = scene(4, 90, 130)[:, :, :channels]
    picture = Image.fromarray(image if channels == 3 else image[:, :, 0])
    theirs = processor(picture, return_tensors="np").pixel_values
    ours = preprocess.arithmetic(preprocess.geometry(image))
    assert ours.dtype == np.float32
    # The processor computes in float32, we in float64 and round once: 4.8e-7 of values up to 3 measured.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


OLD = {
    "feature extractor": ({"feature_extractor_type": "MobileViTFeatureExtractor"}, ("image_processor_type",)),
    "size as a number": ({"size": 72}, ()),
    "crop as a number": ({"crop_size": 64}, ()),
    "all of them": (
        {"feature_extractor_type": "MobileViTFeatureExtractor", "size": 72, "crop_size": 64},
        ("image_processor_type",),
    ),
    "without resample": ({}, ("resample",)),
    "resample null, and nothing to resize": ({"resample": None, "do_resize": False}, ()),
}


@pytest.mark.parametrize("style", OLD)
def test_old_configs_load_and_mean_what_the_processor_does(style: str, tmp_path: Path) -> None:
    changes, removed = OLD[style]
    config = {key: value for key, value in {**PROCESSOR, **changes}.items() if key not in removed}
    processor = hf_processor(config, tmp_path)
    preprocess = Preprocess.from_processor(processor.to_dict(), 3)
    assert preprocess.image_size == (64, 64)
    assert preprocess.resize == ({"shortest_edge": 72} if processor.do_resize else None)
    image = scene(5, 101, 157)
    assert np.array_equal(preprocess.geometry(image), hf_bytes(processor, image))


REFUSED = {
    "size left open": ({"do_center_crop": False}, "Give --image-size HxW."),
    "neither resize nor crop": ({"do_center_crop": False, "do_resize": False}, "Give --image-size HxW."),
    "a part of no edge": (
        {"crop_pct": 0.875, "size": {"height": 72, "width": 72}, "do_center_crop": False},
        "crop_pct goes with a shortest_edge",
    ),
    "unknown size": ({"size": {"longest_edge": 72}}, "Known: shortest_edge; height and width."),
    "unknown filter": ({"resample": 99}, "Known: 0 to 5"),
    "no filter": ({"resample": None}, "Known: 0 to 5"),
    "two means": (
        {"do_normalize": True, "image_mean": [0.5, 0.5], "image_std": [1, 1, 1]},
        "Mend the processor config.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_config_that_does_not_say_enough_is_refused(case: str) -> None:
    changes, way_out = REFUSED[case]
    with pytest.raises(CheckpointError) as caught:
        Preprocess.from_processor({**PROCESSOR, **changes}, 3)
    assert way_out in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "asked", "resize"),
    [
        ({}, (96, 96), {"shortest_edge": 108}),
        ({}, (64, 96), {"shortest_edge": 108}),
        ({}, (32, 48), {"shortest_edge": 54}),
        ({"do_resize": False}, (48, 80), None),
        ({"do_center_crop": False, "size": {"height": 48, "width": 80}}, (64, 32), {"height": 64, "width": 32}),
    ],
)
def test_resized_to_keeps_the_proportion_of_resize_and_crop(
    changes: dict[str, Any], asked: tuple[int, int], resize: dict[str, int] | None
) -> None:
    resized = Preprocess.from_processor({**PROCESSOR, **changes}, 3).resized_to(asked)
    assert resized.image_size == asked
    assert resized.resize == resize
    assert resized.geometry(scene(6, 150, 130)).shape == (*asked, 3)


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


def test_entering_is_bytes_or_pixel_values() -> None:
    preprocess = preprocess_for((64, 64))
    image = scene(9, 64, 64)
    assert np.array_equal(preprocess.entering(image, in_graph=True), image[None])
    assert np.array_equal(preprocess.entering(image, in_graph=False), preprocess.arithmetic(image))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"crop_size": None}, "crop_size None"),
        ({"crop_size": {"height": 0, "width": 64}}, "crop_size 0"),
        ({"crop_size": {"height": -64, "width": 64}}, "crop_size -64"),
        ({"crop_size": {"height": 10**9, "width": 10**9}}, "isn't a size of an image"),
        ({"crop_size": {"height": 64.5, "width": 64}}, "isn't a size of an image"),
        ({"size": {"shortest_edge": 0}}, "size 0"),
        ({"size": {"shortest_edge": "64"}}, "size '64'"),
        ({"size": {"edge": 64}}, "Known: shortest_edge"),
        ({"rescale_factor": 0}, "rescale_factor 0"),
        ({"rescale_factor": -1}, "rescale_factor -1"),
        ({"rescale_factor": None}, "rescale_factor None"),
        ({"rescale_factor": "x"}, "rescale_factor 'x'"),
        ({"do_normalize": True, "image_mean": [None, 0, 0]}, "image_mean None"),
        ({"do_normalize": True, "image_mean": "abc"}, "image_mean 'abc'"),
        ({"do_normalize": True, "image_mean": [0.5, 0.5]}, "3 channels"),
        ({"do_normalize": True, "image_std": [0.5, float("nan"), 0.5]}, "image_std nan"),
        ({"do_normalize": True, "image_std": [0.5, 0.0, 0.5]}, "image_std 0.0"),
    ],
)
def test_a_processor_that_makes_no_sense_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        Preprocess.from_processor({**PROCESSOR, **changes}, 3)
    assert expected in str(caught.value)
