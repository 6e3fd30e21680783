"""Tables of position embeddings at another image size than the checkpoint's."""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mobile_kit.errors import UnsupportedError

__all__ = ["check_pairs", "resample", "unfilled"]

Size = tuple[int, int]


def resample(table: Tensor, old: Size, new: Size, image_size: Size) -> Tensor:
    """Return a table of positions (1, h * w, D) for another grid of tokens (height, width), bicubic.

    That is what the embeddings of Hugging Face's ViTMSN and Hiera do in `interpolate_pos_encoding`. image_size: what
    was asked for, in pixels. Hugging Face takes any table for a square one, and so do we.
    Raises: UnsupportedError for a table that can't be a square.
    """
    side = math.isqrt(math.prod(old))
    if side**2 != math.prod(old):
        raise UnsupportedError(
            f"image size {_text(image_size)}: the checkpoint's positions are a table of {_text(old)}, and Hugging Face "
            "resamples what makes a square only. Ask for the network's own size."
        )
    grid = table.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resampled = F.interpolate(grid, size=new, mode="bicubic", align_corners=False)
    return resampled.permute(0, 2, 3, 1).reshape(1, new[0] * new[1], -1)


def check_pairs(config: Any, names: Iterable[str], least: int = 1) -> None:
    """Raise UnsupportedError for a setting of a config that is no (height, width) of whole numbers from `least` on."""
    for name in names:
        value = getattr(config, name)
        sides = list(value) if isinstance(value, list | tuple) else [value, value]
        if len(sides) != 2 or not all(isinstance(side, int) and side >= least for side in sides):
            raise UnsupportedError(
                f"{name} {value} in the config: isn't a height and a width from {least} on. Mend config.json."
            )


def unfilled(image_size: Size, parts: str, sides: Size, step: Size) -> UnsupportedError:
    """Return the error for an image size that parts of the given sides, in pixels, don't fill.

    step: what each side of an image must be a multiple of; its area must be one of a part's.
    """
    near = [
        [n for n in range(unit, size + side + unit, unit) if n >= size - side]
        for size, side, unit in zip(image_size, sides, step, strict=True)
    ]
    filled = [pair for pair in itertools.product(*near) if math.prod(pair) % math.prod(sides) == 0]
    height, width = min(filled, key=lambda pair: abs(pair[0] - image_size[0]) + abs(pair[1] - image_size[1]))
    return UnsupportedError(
        f"image size {_text(image_size)}: {parts} of {_text(sides)} pixels don't fill it. "
        f"The nearest that they fill is {_text((height, width))}."
    )


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
