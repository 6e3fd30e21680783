import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.errors import ImageError
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.quantization.calibration import (
    LEAST_IMAGES,
    Calibration,
    CalibrationRecord,
    Samples,
    read_calibration,
    read_judged,
)

PREPROCESS = Preprocess({"height": 16, "width": 24}, None, "bilinear", "RGB", 1 / 255, (0.5,) * 3, (0.5,) * 3)
GRAY = Preprocess({"height": 16, "width": 24}, None, "bilinear", "GRAY", 1 / 255, (0.5,), (0.5,))


def photo(number: int) -> NDArray[np.uint8]:
    return scene(number, 40, 50)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty scenes, half of them in a folder below."""
    (tmp_path / "below").mkdir()
    for number in range(20):
        place = tmp_path if number % 2 else tmp_path / "below"
        Image.fromarray(photo(number)).save(place / f"{number:02}.png")
    return tmp_path


def gray(found: Calibration) -> bool:
    return any("all images are gray" in note for note in found.notes)


def paths(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def test_images_are_chosen_evenly_and_always_the_same(folder: Path) -> None:
    found = read_calibration(folder, PREPROCESS, 10, hold_out=False)
    assert found.judged is None
    assert found.images.shape == (10, 16, 24, 3)
    chosen = [paths(folder)[place] for place in np.linspace(0, 19, 10).round().astype(int)]
    for image, path in zip(found.images, chosen, strict=True):
        assert np.array_equal(image, PREPROCESS.geometry(np.asarray(Image.open(path))))
    assert np.array_equal(read_calibration(folder, PREPROCESS, 10, hold_out=False).images, found.images)


def test_a_part_is_held_out_and_seen_by_no_calibration(folder: Path) -> None:
    found = read_calibration(folder, PREPROCESS, 128)
    assert found.judged is not None
    assert (len(found.images), len(found.judged.images)) == (15, 5)
    assert (found.judged.held_out, found.judged.seen) == (True, 0)
    calibrated = {image.tobytes() for image in found.images}
    judged = {image.tobytes() for image in found.judged.images}
    assert not calibrated & judged
    assert len(calibrated | judged) == 20
    first = PREPROCESS.geometry(found.judged.photo)
    assert np.array_equal(first, found.judged.images[0])
    again = read_calibration(folder, PREPROCESS, 128)
    assert np.array_equal(again.images, found.images)


@pytest.mark.parametrize(("asked", "calibrated", "judged"), [(128, 15, 5), (10, 10, 4), (15, 15, 5), (8, 8, 3)])
def test_what_is_asked_is_calibrated_on_where_there_are_enough(
    asked: int, calibrated: int, judged: int, folder: Path
) -> None:
    found = read_calibration(folder, PREPROCESS, asked)
    assert found.judged is not None
    assert (len(found.images), len(found.judged.images)) == (calibrated, judged)


def test_no_more_than_there_are(folder: Path) -> None:
    found = read_calibration(folder, PREPROCESS, 128, hold_out=False)
    assert found.record == CalibrationRecord(20, hashlib.sha256(found.images.tobytes()).hexdigest())


def test_others_judge_where_they_are_given(folder: Path) -> None:
    calibrated = read_calibration(folder, PREPROCESS, 10, hold_out=False).images
    judged = read_judged(folder, PREPROCESS, calibrated)
    assert (len(judged.images), judged.held_out) == (20, False)
    assert judged.seen == 10  # which is said
    assert read_judged(folder, PREPROCESS, None).seen == 0


def test_what_makes_figures_doubtful_is_said(folder: Path) -> None:
    (note,) = read_calibration(folder, PREPROCESS, 128).notes
    assert note == "calibration: 20 images are few: ranges and figures of 100 and more hold better"
    _, note = read_calibration(folder / "below", PREPROCESS, 128).notes
    assert note == "calibration: all 10 images are of one folder; are all classes and scenes among them?"


def test_what_cannot_be_read_is_named_and_replaced(folder: Path) -> None:
    broken = paths(folder)[0]
    broken.write_bytes(b"no image")
    found = read_calibration(folder, PREPROCESS, 10, hold_out=False)
    assert f"calibration: 1 files can't be decoded: {broken.relative_to(folder).as_posix()}" in found.notes
    assert len(found.images) == 10


def test_too_few_images_are_refused(folder: Path) -> None:
    for path in paths(folder)[LEAST_IMAGES - 1 :]:
        path.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"7 images can be read; 13 can't be decoded: .*\. Give at least 8"):
        read_calibration(folder, PREPROCESS, 128)


def test_the_same_image_again_and_again_is_refused(folder: Path) -> None:
    for path in paths(folder):
        Image.fromarray(photo(1)).save(path)
    with pytest.raises(ImageError, match="all 20 images are the same"):
        read_calibration(folder, PREPROCESS, 128)


def test_images_of_another_kind_are_refused(folder: Path) -> None:
    for number, path in enumerate(paths(folder)[1:], start=1):
        Image.fromarray(photo(number)).convert("L").save(path)
    (colored, *others) = paths(folder)
    with pytest.raises(ImageError, match=f"1 of 20 images have colours, such as {colored.name}"):
        read_calibration(folder, GRAY, 128)
    assert not gray(read_calibration(folder, PREPROCESS, 128))
    # An app that shows documents or X-rays to a network of colours is right to calibrate on them.
    colored.unlink()
    assert gray(read_calibration(folder, PREPROCESS, 128))
    found = read_calibration(folder, GRAY, 128, hold_out=False)
    assert found.images.shape == (len(others), 16, 24, 1)
    assert not gray(found)


def test_a_large_photo_is_kept_small(folder: Path) -> None:
    Image.fromarray(scene(3, 1500, 2000)).save(paths(folder)[0])
    found = read_judged(folder, PREPROCESS, None)
    assert found.photo.shape == (480, 640, 3)
    # What is judged on is the photo itself.
    assert np.array_equal(found.images[0], PREPROCESS.geometry(scene(3, 1500, 2000)))


def test_an_image_that_is_not_used_has_no_colours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, path in enumerate(paths(folder)[1:], start=1):
        Image.fromarray(photo(100 + number)).convert("L").save(path)
    geometry = Preprocess.geometry

    def failing(self: Preprocess, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if np.array_equal(image, whole):
            raise ImageError("too small")
        return geometry(self, image)

    whole = read_image(paths(folder)[0], 1)
    monkeypatch.setattr(Preprocess, "geometry", failing)
    found = read_calibration(folder, GRAY, 128, hold_out=False)
    assert len(found.images) == 19
    assert any("1 files can't be decoded" in note for note in found.notes)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not a folder"):
        read_calibration(tmp_path / "nowhere", PREPROCESS, 128)


def test_samples_are_what_enters_a_graph() -> None:
    images = np.stack([photo(number)[:16, :24] for number in range(3)])
    noise, seen = np.ones((1, 4), np.float32), list[int]()

    def enter(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return PREPROCESS.as_example(image, "rgb_nchw")

    samples = Samples(images, "image", enter, {"noise": noise}, seen.append)
    assert len(samples) == 3
    for image, sample in zip(images, samples, strict=True):
        assert list(sample) == ["image", "noise"]
        assert sample["image"].dtype == np.float32
        assert np.array_equal(sample["image"][0], image.transpose(2, 0, 1))
    assert seen == [1, 2, 3]
    assert len(samples[1:]) == 2
