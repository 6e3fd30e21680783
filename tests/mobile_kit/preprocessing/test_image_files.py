import os
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.errors import ImageError
from mobile_kit.preprocessing.image_files import (
    IMAGE_SUFFIXES,
    find_images,
    left_out_text,
    list_images,
    read_image,
    to_pixels,
)
from mobile_kit.preprocessing.synthetic_images import scene

PHOTO = scene(1, 40, 56)
GRAY = np.asarray(Image.fromarray(PHOTO).convert("L"))
ORIENTATION = 0x0112  # its tag in EXIF

# What a viewer does with each EXIF orientation (TIFF 6.0, tag 274), rows and columns of the stored image.
UPRIGHT = {
    1: PHOTO,
    2: PHOTO[:, ::-1],
    3: PHOTO[::-1, ::-1],
    4: PHOTO[::-1],
    5: PHOTO.transpose(1, 0, 2),
    6: np.rot90(PHOTO, -1),
    7: PHOTO.transpose(1, 0, 2)[::-1, ::-1],
    8: np.rot90(PHOTO),
}


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def over_white(color: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    part = alpha[..., None] / 255
    return color * part + 255 * (1 - part)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = save(Image.fromarray(PHOTO), tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(path), UPRIGHT[orientation])


def test_exif_orientation_of_a_jpeg_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned = read_image(save(Image.fromarray(PHOTO), tmp_path / "a.jpg", exif=exif, quality=95))
    plain = read_image(save(Image.fromarray(PHOTO), tmp_path / "b.jpg", quality=95))
    assert np.array_equal(turned, np.rot90(plain, -1))


def test_an_unknown_exif_orientation_is_left_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    assert np.array_equal(read_image(save(Image.fromarray(PHOTO), tmp_path / "a.png", exif=exif)), PHOTO)


def test_rgba_is_laid_over_white(tmp_path: Path) -> None:
    alpha = np.tile(np.linspace(0, 255, PHOTO.shape[1]).astype(np.uint8), (PHOTO.shape[0], 1))
    path = save(Image.fromarray(np.dstack([PHOTO, alpha])), tmp_path / "a.png")
    pixels = read_image(path)
    assert pixels.shape == PHOTO.shape
    assert (pixels[:, 0] == 255).all()
    assert np.array_equal(pixels[:, -1], PHOTO[:, -1])
    # Pillow rounds once: half a step of 255.
    assert np.abs(pixels - over_white(PHOTO, alpha)).max() <= 1


def test_gray_with_alpha_is_laid_over_white(tmp_path: Path) -> None:
    alpha = np.full_like(GRAY, 128)
    path = save(Image.fromarray(np.dstack([GRAY, alpha]), "LA"), tmp_path / "a.png")
    want = over_white(np.dstack([GRAY] * 3), alpha)
    assert np.abs(read_image(path) - want).max() <= 1  # as above
    assert np.abs(read_image(path, channels=1) - want[..., :1]).max() <= 1


@pytest.mark.parametrize("transparency", [0, b"\x00\xff\x80"], ids=["one colour", "a table"])
def test_a_palette_with_transparency_is_laid_over_white(transparency: object, tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([200, 0, 0, 0, 100, 0, 0, 0, 50])
    pixels = read_image(save(image, tmp_path / "a.png", transparency=transparency))
    # 128 / 255 of (0, 0, 50) over white, where the table makes the third colour half transparent.
    third = [127, 127, 152] if isinstance(transparency, bytes) else [0, 0, 50]
    assert pixels.tolist() == [[[255, 255, 255], [0, 100, 0], third]]


def test_a_palette_without_transparency_gives_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(PHOTO).quantize(64)
    assert np.array_equal(read_image(save(image, tmp_path / "a.gif")), np.asarray(image.convert("RGB")))


def test_rgb_with_a_transparent_colour_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    pixels = read_image(save(image, tmp_path / "a.png", transparency=(1, 2, 3)))
    assert pixels.tolist() == [[[255, 255, 255], [4, 5, 6]]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(PHOTO).convert("CMYK")
    pixels = read_image(save(image, tmp_path / "a.tif"))
    assert np.array_equal(pixels, PHOTO)  # Pillow's CMYK of an RGB image has no black, and so inverts exactly
    # JPEG at quality 95 loses a few levels to the scene's noise: 1.4 on average measured; inverted, it would be 112.
    jpeg = read_image(save(image, tmp_path / "a.jpg", quality=95))
    assert np.abs(jpeg.astype(int) - PHOTO).mean() < 3


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = PHOTO[:, :, 0] > 128
    path = save(Image.fromarray(bits), tmp_path / "a.png")
    assert np.array_equal(read_image(path), np.dstack([bits * 255] * 3))
    assert np.array_equal(read_image(path, channels=1), bits[..., None] * 255)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_to_eight(name: str, tmp_path: Path) -> None:
    deep = np.array([[0, 128, 129, 256, 257 * 100, 257 * 100 + 128, 257 * 100 + 129, 65535]], np.uint16)
    image = Image.fromarray(deep)
    assert image.mode == "I;16"
    path = save(image, tmp_path / name)
    want = [0, 0, 1, 1, 100, 100, 101, 255]  # round(value / 257)
    assert read_image(path)[0].tolist() == [[v, v, v] for v in want]
    assert read_image(path, channels=1)[0].tolist() == [[v] for v in want]


def test_sixteen_bits_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = save(Image.fromarray(GRAY.astype(np.uint16) * 257), tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(path, channels=1)[..., 0], np.rot90(GRAY, -1))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_wider_values_are_clipped(dtype: type) -> None:
    scale = 257 if dtype is np.int32 else 1
    image = Image.fromarray(np.array([[-5 * scale, 7 * scale, 300 * scale]], dtype))
    assert to_pixels(image, channels=1)[0, :, 0].tolist() == [0, 7, 255]


def test_one_channel_is_luma() -> None:
    pixels = to_pixels(Image.fromarray(PHOTO), channels=1)
    assert pixels.shape == (40, 56, 1)
    assert np.array_equal(pixels[..., 0], GRAY)


def test_gray_becomes_three_equal_channels() -> None:
    assert np.array_equal(to_pixels(Image.fromarray(GRAY)), np.dstack([GRAY] * 3))


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "bmp"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_file_is_refused(suffix: str, part: float, tmp_path: Path) -> None:
    path = save(Image.fromarray(PHOTO), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    check_message(caught.value, path, "Save it again as PNG or JPEG.")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a"])
def test_what_is_not_an_image_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    check_message(caught.value, path, "Save it again as PNG or JPEG.")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "none.png")
    check_message(caught.value, tmp_path / "none.png", "no such file. Check the path.")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path)
    check_message(caught.value, tmp_path, "it is a folder")


@pytest.mark.parametrize("side_px", [8000, 60000], ids=["above ours", "above Pillow's"])
def test_an_absurd_size_is_refused(side_px: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bmp"
    # Only a header: it mustn't get as far as the pixels.
    header = struct.pack("<IiiHHIIiiII", 40, side_px, side_px + 1000, 1, 24, 0, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header)
    if side_px < 20000:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    check_message(caught.value, path, "Scale it down first.")


def test_find_images_looks_below_the_folder_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c.PNG", "a.jpeg", "b/d.webp", "b/notes.txt"):
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == ["a.jpeg", "b/d.webp", "c.PNG"]


def test_what_systems_and_editors_leave_is_no_image_and_the_rest_is_named(tmp_path: Path) -> None:
    junk = (".hidden/a.jpg", ".ipynb_checkpoints/b.png", "._x.png", "__MACOSX/c.jpg", "Thumbs.db", "IMG_1.HEIC")
    for name in (*junk, "d.jfif", "e.avif", "f.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.png")
    found, left_out = list_images(tmp_path)
    assert [path.name for path in found] == ["d.jfif", "e.avif", "f.JPG"]
    assert sorted(left_out) == sorted((*junk, "pipe.png"))
    assert left_out_text(left_out).startswith("7 files there are no images that are read: ")


def test_only_formats_that_are_meant_are_decoded(tmp_path: Path) -> None:
    """Whatever a file is called: Pillow's reader of EPS starts Ghostscript."""
    path = tmp_path / "x.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(ImageError) as caught:
        read_image(path)
    check_message(caught.value, path, "not an image, or none of")
    Image.fromarray(PHOTO).save(tmp_path / "y.ppm")
    with pytest.raises(ImageError, match="none of"):
        read_image(tmp_path / "y.ppm")


@pytest.mark.parametrize("suffix", ["avif", "bmp", "gif", "jpg", "png", "tif", "webp"])
def test_a_damaged_file_is_refused_in_a_line(suffix: str, tmp_path: Path) -> None:
    path = save(Image.fromarray(PHOTO), tmp_path / f"a.{suffix}")
    content, moments = path.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(content)
        for place in moments.integers(0, min(len(content), 300), 4):
            damaged[place] = moments.integers(0, 256)
        path.write_bytes(damaged)
        try:
            assert read_image(path).dtype == np.uint8
        except ImageError as exc:
            assert "\n" not in str(exc)  # noqa: PT017


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="it is no file"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_images_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError) as caught:
        find_images(tmp_path / name)
    check_message(caught.value, tmp_path / name, ", ".join(sorted(IMAGE_SUFFIXES)))


def check_message(error: ImageError, path: Path, way_out: str) -> None:
    assert "\n" not in str(error)
    assert str(path) in str(error)
    assert way_out in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_arent_finite_are_refused(value: float, tmp_path: Path) -> None:
    path = tmp_path / "float.tiff"
    Image.fromarray(np.full((8, 8), value, np.float32)).save(path)
    with pytest.raises(ImageError, match="aren't finite"):
        read_image(path)
