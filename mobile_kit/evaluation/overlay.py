"""A map of classes over its photo, with a legend."""

import colorsys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mobile_kit.errors import ImageError, one_line
from mobile_kit.evaluation.predictor import Predictor, Reading

__all__ = ["LEAST_SHARE", "LEGEND_ROW_PX", "class_color", "colorize", "legend", "save_overlay"]

LEGEND_ROW_PX = 22


# A class is named in the legend where it covers at least this part of the picture.
LEAST_SHARE = 0.002


def class_color(index: int) -> tuple[int, int, int]:
    """Return a colour far from its neighbours' (golden-ratio steps of hue); class 0, the background, is black."""
    if index == 0:
        return (0, 0, 0)
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.75, 0.95)
    return (round(red * 255), round(green * 255), round(blue * 255))


def legend(predictor: Predictor, reading: Reading) -> list[tuple[str, float, tuple[int, int, int]]]:
    """Return the label, share and colour of the classes that a legend names, the largest first."""
    named = [index for index in reading.best(len(reading.scores)) if reading.scores[index] >= LEAST_SHARE]
    return [(predictor.label(index), float(reading.scores[index]), class_color(index)) for index in named]


def colorize(classes: NDArray[np.int64], size: tuple[int, int]) -> Image.Image:
    """Return a map of classes in their colours. size: (width, height) in pixels."""
    palette = np.array([class_color(index) for index in range(int(classes.max()) + 1)], dtype=np.uint8)
    return Image.fromarray(palette[classes]).resize(size, Image.Resampling.NEAREST)


def save_overlay(predictor: Predictor, image: NDArray[np.uint8], reading: Reading, path: Path) -> None:
    """Lay the classes over what the network saw, half transparent, with a legend below."""
    assert reading.classes is not None
    preprocess = predictor.manifest.preprocess
    colors = preprocess.geometry(image)[:, :, :3]
    seen = Image.fromarray(np.broadcast_to(colors, (*preprocess.image_size, 3)).copy())
    blended = Image.blend(seen, colorize(reading.classes, seen.size), 0.5)
    named = legend(predictor, reading)
    sheet = Image.new("RGB", (max(blended.width, 240), blended.height + LEGEND_ROW_PX * len(named) + 6), "white")
    sheet.paste(blended, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for row, (label, share, color) in enumerate(named):
        top = blended.height + 6 + row * LEGEND_ROW_PX
        draw.rectangle((6, top, 6 + 14, top + 14), fill=color, outline="gray")
        draw.text((28, top), f"{label}  {share:.1%}", fill="black", font=ImageFont.load_default(14))
    try:
        sheet.save(path)
    except (OSError, ValueError) as exc:
        raise ImageError(
            f"--save {path}: can't be written ({one_line(exc)}). Name a .png in a folder that exists."
        ) from exc
