"""From a photo to what the network takes: geometry on the host, arithmetic in the graph.

All constants come from the checkpoint's own Hugging Face processor. Geometry (resize, crop, padding of small images)
is byte-identical to the processor's Pillow path; arithmetic (colour order, scale, mean, std) is folded into the first
convolution where that is exact.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.errors import CheckpointError, ImageError
from mobile_kit.models.spec import Entry

__all__ = ["Preprocess"]

# ConvNext's processor keeps all of the image from this size on.
CROPPED_BELOW_PX = 384
# As the apps have it: half a gigabyte of bytes.
MOST_RESIZED = 178_000_000


@dataclass(frozen=True)
class Preprocess:
    """A processor's work on one image.

    resize: {"shortest_edge": n} or {"height": h, "width": w}, None for none. crop: (height, width) around the centre,
    None for none. resample: Pillow's filter. The arithmetic is (x * scale - mean) / std a channel, x in 0..255, mean
    and std in the network's channel order.
    """

    resize: dict[str, int] | None
    crop: tuple[int, int] | None
    resample: str
    channel_order: Literal["RGB", "BGR", "GRAY", "RGBA"]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return len(self.mean)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of what the network takes."""
        if self.crop is not None:
            return self.crop
        assert self.resize is not None
        return (self.resize["height"], self.resize["width"])

    def geometry(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop (H, W, C) uint8 to (h, w, C) uint8 at the network's size, black where the image is too small.

        Raises: ImageError where the image is so narrow that resizing it needs an absurd amount of memory.
        """
        if self.resize is not None:
            image = _resized(image, _target_size(image.shape[:2], self.resize), self.resample)
        return image if self.crop is None else _center_crop(image, self.crop)

    def arithmetic(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(h, w, C) uint8 to pixel_values (1, C, h, w) float32."""
        values = image.astype(np.float64).transpose(2, 0, 1)[None]
        if self.channel_order == "BGR":
            values = values[:, ::-1]
        mean, std = (np.array(v).reshape(1, -1, 1, 1) for v in (self.mean, self.std))
        return np.ascontiguousarray((values * self.scale - mean) / std, dtype=np.float32)

    def entering(self, image: NDArray[np.uint8], in_graph: bool) -> NDArray[Any]:
        """(h, w, C) uint8 at the network's size to what enters a file: the bytes (1, h, w, C), or pixel_values."""
        return np.array(image[None], order="C") if in_graph else self.arithmetic(image)

    def as_example(self, image: NDArray[np.uint8], entry: "Entry") -> NDArray[Any]:
        """(h, w, C) uint8 at the network's size to the first input of a graph that it enters in a certain way."""
        if entry == "rgb_nchw":
            return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
        return self.entering(image, entry == "uint8_nhwc")

    @classmethod
    def from_processor(cls, config: Mapping[str, Any], channels: int) -> "Preprocess":
        """Read the attributes of a Hugging Face image processor (`to_dict()`).

        Raises: CheckpointError where they leave the image's size open, or hold what isn't a number or a size.
        """
        resize = _size(config, "size") if config.get("do_resize") else None
        crop = _size(config, "crop_size") if config.get("do_center_crop") else None
        if resize is not None and config.get("crop_pct") is not None:
            resize, crop = _cropped(resize, _positive("crop_pct", config["crop_pct"]))
        if crop is None and (resize is None or "height" not in resize):
            raise CheckpointError(
                f"processor {config.get('image_processor_type')}: neither crops nor resizes to a fixed size, which a "
                "file for a phone needs. Give --image-size HxW."
            )
        # Null is fine where nothing is resized.
        resample = Image.Resampling.BILINEAR if resize is None else config.get("resample")
        if resample not in set(Image.Resampling):
            raise CheckpointError(f"processor resample {resample!r}: not known here. Known: 0 to 5 (Pillow's).")
        normalize = bool(config.get("do_normalize"))
        flip = bool(config.get("do_flip_channel_order")) and channels == 3
        scale = _positive("rescale_factor", config.get("rescale_factor", 1 / 255)) if config.get("do_rescale") else 1.0
        std = _per_channel("image_std", config.get("image_std") if normalize else None, channels, 1.0)
        return cls(
            resize=resize,
            crop=None if crop is None else (crop["height"], crop["width"]),
            resample=Image.Resampling(resample).name.lower(),
            channel_order="GRAY" if channels == 1 else "RGBA" if channels == 4 else "BGR" if flip else "RGB",
            scale=scale,
            mean=_per_channel("image_mean", config.get("image_mean") if normalize else None, channels, 0.0),
            std=tuple(_positive("image_std", value) for value in std),
        )

    def resized_to(self, image_size: tuple[int, int]) -> "Preprocess":
        """Return the same work for another (height, width); the shortest edge before a crop grows in proportion."""
        if self.crop is None:
            return replace(self, resize={"height": image_size[0], "width": image_size[1]})
        if self.resize is None:
            return replace(self, crop=image_size)
        factor = max(image_size[0] / self.crop[0], image_size[1] / self.crop[1])
        return replace(self, crop=image_size, resize={k: round(v * factor) for k, v in self.resize.items()})


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CheckpointError(f"processor {key} {value!r}: isn't a number. Mend the processor config.")
    return float(value)


def _positive(key: str, value: Any) -> float:
    if _number(key, value) <= 0:
        raise CheckpointError(f"processor {key} {value!r}: must be greater than 0. Mend the processor config.")
    return float(value)


def _per_channel(key: str, values: Any, channels: int, default: float) -> tuple[float, ...]:
    if values is None:
        return (default,) * channels
    listed = list(values) if isinstance(values, list | tuple) else [values] * channels
    if len(listed) != channels:
        raise CheckpointError(f"processor {key} {listed}: doesn't fit {channels} channels. Mend the processor config.")
    return tuple(_number(key, value) for value in listed)


def _size(config: Mapping[str, Any], key: str) -> dict[str, int]:
    value = config.get(key)
    given = {name: side for name, side in dict(value or {}).items() if side is not None}
    if set(given) not in ({"shortest_edge"}, {"height", "width"}):
        raise CheckpointError(f"processor {key} {value}: not known here. Known: shortest_edge; height and width.")
    sides = {name: _positive(key, side) for name, side in given.items()}
    if any(side != int(side) for side in sides.values()) or math.prod(sides.values()) > MOST_RESIZED:
        raise CheckpointError(
            f"processor {key} {given}: isn't a size of an image in pixels. Mend the processor config."
        )
    return {name: int(side) for name, side in sides.items()}


def _cropped(size: Mapping[str, int], part: float) -> tuple[dict[str, int], dict[str, int] | None]:
    """Return the resize and crop of ConvNext's processor: below 384 px a part of the resized short edge is kept.

    Source: transformers.models.convnext.image_processing_pil_convnext, `resize`.
    """
    if "shortest_edge" not in size:
        raise CheckpointError(
            f"processor size {dict(size)}: crop_pct goes with a shortest_edge. Mend the processor config."
        )
    edge = size["shortest_edge"]
    square = {"height": edge, "width": edge}
    return (square, None) if edge >= CROPPED_BELOW_PX else ({"shortest_edge": int(edge / part)}, square)


def _target_size(shape: tuple[int, ...], resize: Mapping[str, int]) -> tuple[int, int]:
    """Return (height, width); the longer side is truncated as transformers.image_transforms does it."""
    if "height" in resize:
        return (resize["height"], resize["width"])
    height, width = shape
    short, long = resize["shortest_edge"], int(resize["shortest_edge"] * max(height, width) / min(height, width))
    if short * long > MOST_RESIZED:
        raise ImageError(f"image of {width}x{height}: too narrow to resize its short side to {short}. Crop it first.")
    return (long, short) if width <= height else (short, long)


def _resized(image: NDArray[np.uint8], size: tuple[int, int], resample: str) -> NDArray[np.uint8]:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    resized = picture.resize((size[1], size[0]), resample=Image.Resampling[resample.upper()])
    return np.asarray(resized, dtype=np.uint8).reshape(*size, image.shape[2])


def _center_crop(image: NDArray[np.uint8], crop: tuple[int, int]) -> NDArray[np.uint8]:
    """Crop around the centre, padding with black first; rounding as transformers.image_transforms.center_crop."""
    padding, window = [], []
    for length, wanted in zip(image.shape[:2], crop, strict=True):
        missing = max(wanted - length, 0)
        before = math.ceil(missing / 2)
        padding.append((before, missing - before))
        start = (length - wanted) // 2 + before
        window.append(slice(max(start, 0), start + wanted))
    padded = np.pad(image, (*padding, (0, 0)))
    return np.ascontiguousarray(padded[window[0], window[1]])
