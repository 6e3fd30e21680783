"""Decode any photo to upright 8-bit RGB or gray."""

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mobile_kit.errors import ImageError, one_line

__all__ = ["IMAGE_SUFFIXES", "MAX_PIXELS", "decode_image", "find_images", "read_image", "to_pixels"]

# Just below the size at which Pillow itself refuses (twice its MAX_IMAGE_PIXELS), half a gigabyte decoded.
MAX_PIXELS = 178_000_000
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# Pillow's decoders of those, for bytes from elsewhere: others start programs or write files, as that of EPS does.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def read_image(path: Path, channels: int = 3) -> NDArray[np.uint8]:
    """Read an image file as (H, W, channels) uint8; see `to_pixels`.

    Raises: ImageError where the file is missing, truncated, not an image or of an absurd size.
    """
    return _decoded(path, str(path), channels)


def decode_image(data: bytes, name: str, channels: int = 3) -> NDArray[np.uint8]:
    """Decode an image file's bytes as (H, W, channels) uint8, in memory; see `to_pixels`. name: what errors call it.

    Raises: ImageError where it is truncated, not an image of the known types or of an absurd size.
    """
    return _decoded(io.BytesIO(data), name, channels, FORMATS)


def _decoded(
    source: Path | BinaryIO, name: str, channels: int, formats: tuple[str, ...] | None = None
) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit above is ours
            with Image.open(source, formats=formats) as image:
                _check_size(name, image.size)
                image.load()
                return to_pixels(image, channels)
    except FileNotFoundError as exc:
        raise ImageError(f"image {name}: no such file. Check the path.") from exc
    except Image.DecompressionBombError as exc:
        raise ImageError(f"image {name}: has more than {MAX_PIXELS} pixels. Scale it down first.") from exc
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as exc:
        known = f", or none of {', '.join(formats)}" if formats else ""
        unknown = isinstance(exc, UnidentifiedImageError)
        reason = f"not an image{known}" if unknown else one_line(exc)
        raise ImageError(f"image {name}: can't be decoded ({reason}). Save it again as PNG or JPEG.") from exc


def to_pixels(image: Image.Image, channels: int = 3) -> NDArray[np.uint8]:
    """Convert a Pillow image of any mode to (H, W, channels) uint8: RGB for 3 channels, gray for 1, RGBA for 4.

    EXIF orientation is applied, alpha is laid over white where there is no channel for it, 16-bit values are scaled
    to 8.
    """
    image = _eight_bit(ImageOps.exif_transpose(image))
    if channels == 4:
        return np.asarray(image.convert("RGBA"), dtype=np.uint8)
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"), dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)


def find_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted by path.

    Raises: ImageError where the folder is missing or holds none.
    """
    if not folder.is_dir():
        raise ImageError(
            f"images {folder}: not a folder. Give a folder with {', '.join(sorted(IMAGE_SUFFIXES))} files."
        )
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not found:
        raise ImageError(f"images {folder}: holds no image. Known types: {', '.join(sorted(IMAGE_SUFFIXES))}.")
    return found


def _check_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(f"image {name}: {width}x{height} is more than {MAX_PIXELS} pixels. Scale it down first.")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray (value / 257, so that 65535 becomes 255) and clip wider ones."""
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.clip(np.rint(values / 257), 0, 255).astype(np.uint8), "L")
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("it holds values that aren't finite")
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8), "L")
    return image
