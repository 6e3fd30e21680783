"""The Android app's way from a photo to what a file takes, held against Pillow's."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobile_kit.preprocessing.preprocess import Preprocess
from tests.apps.kotlin_app import App, write_artifact, write_photo
from tests.apps.vectors import write_geometry, write_large_photo

# Grey levels: what the app may be off.
MOST_LEVELS = 1
# From a decoded 12-megapixel photo to the input, on two cores after warming up.
LARGE_MS = 60
CALLS = 40


def test_geometry_is_pillows_for_random_sizes_and_crops(kotlin: App, tmp_path: Path) -> None:
    cases = write_geometry(tmp_path)
    for number, case in enumerate(cases):
        values = [0.0] * case["channels"], [1.0] * case["channels"]
        work = {key: case[key] for key in ("resize", "crop", "resample")}
        order = "GRAY" if case["channels"] == 1 else "RGB"
        preprocess = {**work, "mean": values[0], "std": values[1], "channel_order": order}
        write_artifact(tmp_path / str(number), preprocess=preprocess)
    kotlin.ask("geometry", tmp_path)
    off = []
    for number, case in enumerate(cases):
        ours = np.fromfile(tmp_path / str(number) / "picture.bin", np.uint8)
        pillows = np.fromfile(tmp_path / case["result"], np.uint8)
        assert ours.size == pillows.size, case
        off.append(np.abs(ours.astype(int) - pillows))
    print(f"mean difference {np.concatenate(off).mean():.5f} grey levels")
    assert len(cases) == 200
    assert max(int(each.max()) for each in off) <= MOST_LEVELS


@pytest.mark.parametrize("order", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("in_graph", [True, False])
def test_what_enters_is_the_kits(kotlin: App, tmp_path: Path, order: Any, in_graph: bool) -> None:
    count = 1 if order == "GRAY" else 3
    mean, std = (0.485, 0.456, 0.406)[:count], (0.229, 0.224, 0.225)[:count]
    work = Preprocess({"shortest_edge": 40}, (32, 48), "bicubic", order, 1 / 255, mean, std)
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    record = {"resize": work.resize, "crop": work.crop, "resample": work.resample, "channel_order": order}
    record |= {"mean": mean, "std": std, "in_graph": in_graph}
    write_artifact(tmp_path / "artifact", preprocess=record)
    write_photo(image, tmp_path)
    kotlin.ask("entering", tmp_path)
    seen = np.asarray(Image.fromarray(image).convert("L"))[..., None] if count == 1 else image
    expected = work.entering(work.geometry(seen), in_graph)
    ours = np.fromfile(tmp_path / "entering.bin", expected.dtype).reshape(expected.shape)
    # One grey level of the channel with the least deviation.
    most = MOST_LEVELS if in_graph else MOST_LEVELS / 255 / min(std) * 1.001
    assert np.abs(ours.astype(float) - expected).max() <= most


def test_photos_are_turned_as_exif_and_the_camera_say(kotlin: App, tmp_path: Path) -> None:
    turned = kotlin.ask("upright", tmp_path)
    photo = np.arange(6).reshape(2, 3)
    transposed = [photo, np.fliplr(photo), np.rot90(photo, 2), np.flipud(photo)]
    transposed += [photo.T, np.rot90(photo, -1), np.rot90(photo, 2).T, np.rot90(photo)]
    for orientation, expected in enumerate(transposed, start=1):
        assert turned[str(orientation)] == expected.tolist(), orientation
    for quarters in range(4):
        assert turned[f"turned {90 * quarters}"] == np.rot90(photo, -quarters).tolist()


def test_transparent_pixels_lie_over_white(kotlin: App, tmp_path: Path) -> None:
    said = kotlin.ask("upright", tmp_path)["over white"]
    pixels = np.array([[[0x12, 0x34, 0x56, 0], [0, 0, 0, 128], [0x10, 0x20, 0x30, 255]]], np.uint8)
    white = Image.new("RGBA", (3, 1), "white")
    expected = np.asarray(Image.alpha_composite(white, Image.fromarray(pixels, "RGBA")))[0, :, :3]
    assert said == [int.from_bytes(bytes(pixel), "big") for pixel in expected]


@pytest.mark.slow
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
def test_a_large_photo_is_there_in_time(kotlin: App, tmp_path: Path, resample: str) -> None:
    work = Preprocess({"shortest_edge": 288}, (256, 256), resample, "RGB", 1 / 255, (0.0,) * 3, (1.0,) * 3)
    record = {"resize": work.resize, "crop": work.crop, "resample": resample}
    write_artifact(tmp_path / "artifact", preprocess=record)
    image = np.fromfile(write_large_photo(tmp_path), np.uint8).reshape(3000, 4000, 3)
    write_photo(image, tmp_path)
    ours = kotlin.ask("speed", tmp_path, str(CALLS))["ms"]
    pillows = []
    for _ in range(CALLS // 4):
        start = time.perf_counter()
        expected = work.geometry(image)
        pillows.append(1e3 * (time.perf_counter() - start))
    found = np.fromfile(tmp_path / "entering.bin", np.uint8).reshape(expected.shape)
    figures = {name: [min(times), float(np.median(times))] for name, times in {"app": ours, "Pillow": pillows}.items()}
    print("fastest and median ms", json.dumps(figures))
    assert np.abs(found.astype(int) - expected).max() <= MOST_LEVELS
    # The fastest, as it had both cores: others use them during the rest.
    assert min(ours) < LARGE_MS
    assert min(ours) < min(pillows)
