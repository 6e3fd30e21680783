import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor

from mobile_kit.errors import CheckpointError, ImageError
from mobile_kit.models.family import known_checkpoints
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.preprocessing.synthetic_images import scene
from tests.small_checkpoints import PROCESSOR, preprocess_for

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
