"""Decode any photo to upright 8-bit RGB or gray."""

import functools
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mobile_kit.errors import ImageError, one_line
from mobile_kit.reading import ReadError, read_bytes

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "decode_image",
    "find_images",
    "left_out_text",
    "list_images",
    "read_image",
    "to_pixels",
]

# More than a phone's camera of 50 megapixels gives. What it takes to decode and turn them is up to 1 GB.
MAX_PIXELS = 52_000_000
# A photo of that size in TIFF has a third of it.
MOST_BYTES = 1 << 29
# Pillow's decoders of photos. Others start programs or write files, as that of EPS does, whatever a file is called.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
# What systems and editors leave among photos, beside what begins with a dot.
LEFT_BY_SYSTEMS = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
MOST_NAMED = 5
ORIENTATION = 0x0112  # its tag in EXIF


def read_image(path: Path, channels: int = 3) -> NDArray[np.uint8]:
    """Read an image file as (H, W, channels) uint8; see `to_pixels`.

    Raises: ImageError where the file is missing, truncated, not an image of the known types or of an absurd size.
    """
    try:
        data = read_bytes(path, MOST_BYTES)
    except ReadError as exc:
        reason = one_line(exc) if os.path.lexists(path) else "no such file"
        raise ImageError(f"image {path}: {reason}. Check the path.") from exc
    return decode_image(data, str(path), channels)


def decode_image(data: bytes, name: str, channels: int = 3) -> NDArray[np.uint8]:
    """Decode an image file's bytes as (H, W, channels) uint8, in memory; see `to_pixels`. name: what errors call it.

    Raises: ImageError where it is truncated, not an image of the known types or of an absurd size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs, whose limit is ours, and of odd tags
            with Image.open(io.BytesIO(data), formats=_formats()) as image:
                _check_size(name, image.size)
                image.load()
                return to_pixels(image, channels)
    except ImageError:
        raise
    except Image.DecompressionBombError as exc:
        raise ImageError(f"image {name}: has more than {MAX_PIXELS} pixels. Scale it down first.") from exc
    except UnidentifiedImageError as exc:
        raise ImageError(
            f"image {name}: can't be decoded (not an image, or none of {', '.join(_formats())}). "
            "Save it again as PNG or JPEG."
        ) from exc
    except Exception as exc:  # each decoder raises its own kinds for a damaged file
        raise ImageError(f"image {name}: can't be decoded ({one_line(exc)}). Save it again as PNG or JPEG.") from exc


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def to_pixels(image: Image.Image, channels: int = 3) -> NDArray[np.uint8]:
    """Convert a Pillow image of any mode to (H, W, channels) uint8: RGB for 3 channels, gray for 1, RGBA for 4.

    EXIF orientation is applied, alpha is laid over white where there is no channel for it, 16-bit values are scaled
    to 8.
    """
    # Pillow copies an image that it neither turns nor converts too, and a photo has 200 MB.
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    image = _eight_bit(image)
    if channels == 4:
        return np.asarray(_converted(image, "RGBA"), dtype=np.uint8)
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        rgba = _converted(image, "RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    pixels = np.asarray(_converted(image, "RGB" if channels == 3 else "L"), dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def find_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted by path; what systems and editors leave there is none.

    Raises: ImageError where the folder is missing or holds none.
    """
    return list_images(folder)[0]


def list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the image files below a folder, sorted by path, and the names of the files that are left out.

    Raises: ImageError where the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise ImageError(
            f"images {folder}: not a folder. Give a folder with {', '.join(sorted(IMAGE_SUFFIXES))} files."
        )
    found, left_out = [], []
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        parts = path.relative_to(folder).parts
        junk = any(part.startswith(".") or part in LEFT_BY_SYSTEMS for part in parts)
        if not junk and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            found.append(path)
        else:
            left_out.append("/".join(parts))
    if not found:
        others = f" {left_out_text(left_out)}" if left_out else ""
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ImageError(f"images {folder}: holds no image. Known types: {known}.{others}")
    return found, left_out


def left_out_text(names: Sequence[str]) -> str:
    """Return in a sentence which files of a folder of images are left out."""
    shown = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    return f"{len(names)} files there are no images that are read: {shown}."


def _check_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(f"image {name}: {width}x{height} is more than {MAX_PIXELS} pixels. Scale it down first.")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray (value / 257, so that 65535 becomes 255) and clip wider ones."""
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        values += 128  # half of 257: what follows rounds
        values //= 257
        return Image.fromarray(values.astype(np.uint8), "L")
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("it holds values that aren't finite")
        rounded = np.rint(values)
        return Image.fromarray(np.clip(rounded, 0, 255, out=rounded).astype(np.uint8), "L")
    return image
