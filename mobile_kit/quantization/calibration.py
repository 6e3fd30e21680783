"""Calibration: from a folder of images to what a static recipe measures the ranges of activations on."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.errors import ImageError
from mobile_kit.models.spec import Array
from mobile_kit.preprocessing.image_files import left_out_text, list_images, read_image
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.records import Sha256

__all__ = ["LEAST_IMAGES", "Calibration", "CalibrationRecord", "Judged", "Samples", "read_calibration", "read_judged"]

LEAST_IMAGES, ENOUGH_IMAGES = 8, 100
# Those that files are judged on lie in the artifacts, so that they can be verified anywhere.
MOST_JUDGED = 31
# A photo has colours where at least this part of its pixels has channels that are more than so many levels apart.
COLORED_PART, COLORED_LEVELS = 1e-3, 8
MOST_SIDE = 640


@dataclass(frozen=True)
class CalibrationRecord:
    """How many images there were, and the hash of their pixels."""

    images: int
    sha256: Sha256


@dataclass(frozen=True)
class Pictures:
    """Images that were read at the network's size, (N, h, w, C) uint8, and their files.

    left_out: the other files of the folder. unreadable: those that couldn't be decoded. colored: those of the images
    that have colours.
    """

    images: NDArray[np.uint8] = field(repr=False)
    paths: tuple[Path, ...]
    left_out: tuple[str, ...]
    unreadable: tuple[str, ...]
    colored: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """Images that files of lower precision are judged on, (N, h, w, C) uint8, and the photo that one of them was.

    photo: (H, W, C); it lies in artifacts, so a large one is scaled down. held_out: whether they were given to be
    calibrated on, and held out. seen: how many of them are among those that are calibrated on all the same.
    """

    images: NDArray[np.uint8] = field(repr=False)
    photo: NDArray[np.uint8] = field(repr=False)
    held_out: bool
    seen: int = 0

    @property
    def sha256(self) -> str:
        """Of the images' pixels."""
        return _sha256(self.images)


@dataclass(frozen=True)
class Calibration:
    """Images that the ranges of activations are measured on, (N, h, w, C) uint8, and those held out of them.

    judged: None where others are to judge. notes: what whoever gave them should know.
    """

    images: NDArray[np.uint8] = field(repr=False)
    judged: Judged | None
    notes: tuple[str, ...] = ()

    @property
    def record(self) -> CalibrationRecord:
        """What the manifest says of the images."""
        return CalibrationRecord(len(self.images), _sha256(self.images))


def read_calibration(folder: Path, preprocess: Preprocess, most: int, hold_out: bool = True) -> Calibration:
    """Read up to `most` images of a folder and those below it, evenly chosen in the order of their paths.

    hold_out: read some more, and hold at least a quarter of all, at most 31, out of what is calibrated on. Where an
    image can't be read, another takes its place.
    Raises: ImageError where the folder has fewer than 8 that can be read, where all are the same, or where some have
        colours that the model can't read.
    """
    further = min(MOST_JUDGED, -(-most // 3)) if hold_out else 0
    read = _read("calibration", folder, preprocess, most + further)
    count, notes = len(read.images), _notes(folder, read, preprocess)
    if not hold_out:
        return Calibration(read.images, None, notes)
    held = min(max(count - most, count // 4), MOST_JUDGED)
    places = ((np.arange(held) + 0.5) * count / held).astype(int)
    kept = np.delete(read.images, places, axis=0)
    photo = _small(read_image(read.paths[places[0]], preprocess.channels))
    judged = _judged(read.images[places], photo, True, kept)
    return Calibration(kept, judged, notes)


def read_judged(folder: Path, preprocess: Preprocess, calibrated: NDArray[np.uint8] | None) -> Judged:
    """Read up to 31 images of a folder, evenly chosen, to judge files on. calibrated: the images calibrated on, if any.

    Raises: ImageError as `read_calibration` does.
    """
    read = _read("judge-on", folder, preprocess, MOST_JUDGED)
    photo = _small(read_image(read.paths[0], preprocess.channels))
    return _judged(read.images, photo, False, calibrated)


def _judged(
    images: NDArray[np.uint8], photo: NDArray[np.uint8], held_out: bool, calibrated: NDArray[np.uint8] | None
) -> Judged:
    known = set() if calibrated is None else {image.tobytes() for image in calibrated}
    return Judged(images, photo, held_out, sum(image.tobytes() in known for image in images))


def _read(role: str, folder: Path, preprocess: Preprocess, most: int) -> Pictures:
    """Read up to `most` images. role: what errors call the folder."""
    fitted: list[NDArray[np.uint8]] = []
    paths: list[Path] = []
    unreadable: list[str] = []
    colored: list[str] = []
    images, left_out = list_images(folder)
    for path in _evenly(images, most):
        if len(fitted) == most:
            break
        name = path.relative_to(folder).as_posix()
        try:
            photo = whole = read_image(path)
            photo = photo if preprocess.channels == 3 else read_image(path, preprocess.channels)
            fitted.append(preprocess.geometry(photo))
        except ImageError:
            unreadable.append(name)
            continue
        paths.append(path)
        colored += [name] if _colored(whole) else []
    if len(fitted) < LEAST_IMAGES:
        named = f"; {len(unreadable)} can't be decoded: {', '.join(unreadable[:5])}" if unreadable else ""
        raise ImageError(
            f"{role} {folder}: {len(fitted)} images can be read{named}. Give at least {LEAST_IMAGES}, better 100."
        )
    read = Pictures(np.stack(fitted), tuple(paths), tuple(left_out), tuple(unreadable), tuple(colored))
    _check_kind(role, folder, read, preprocess)
    return read


def _check_kind(role: str, folder: Path, read: Pictures, preprocess: Preprocess) -> None:
    """Raise ImageError for images that say nothing, or that the model can't read."""
    count = len(read.images)
    if preprocess.channels == 1 and read.colored:
        raise ImageError(
            f"{role} {folder}: {len(read.colored)} of {count} images have colours, such as {read.colored[0]}, and the "
            "model reads gray ones. Give images as the app will see them."
        )
    if (read.images == read.images[0]).all():
        raise ImageError(f"{role} {folder}: all {count} images are the same. Give photos of many scenes.")


def _notes(folder: Path, read: Pictures, preprocess: Preprocess) -> tuple[str, ...]:
    """Return what may make calibration images bad ones, in sentences."""
    found, count = [left_out_text(read.left_out)] if read.left_out else [], len(read.images)
    if read.unreadable:
        found.append(f"{len(read.unreadable)} files can't be decoded: {', '.join(read.unreadable)}")
    if preprocess.channels == 3 and not read.colored:
        found.append("all images are gray, and the model reads colours; are they what the app will see?")
    if count < ENOUGH_IMAGES:
        found.append(f"{count} images are few: ranges and figures of {ENOUGH_IMAGES} and more hold better")
    if len({path.parent for path in read.paths}) == 1:
        found.append(f"all {count} images are of one folder; are all classes and scenes among them?")
    return tuple(f"calibration: {each}" for each in found)


class Samples(Sequence[Mapping[str, Array]]):
    """Calibration images as the inputs of a model, one mapping by name an image.

    enter: what makes an image (h, w, C) uint8 the model's first input. seen: told the number of each that is taken.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        name: str,
        enter: Callable[[NDArray[np.uint8]], Array],
        further: Mapping[str, Array],
        seen: Callable[[int], None],
    ) -> None:
        self._images, self._name, self._enter, self._further, self._seen = images, name, enter, further, seen

    def __len__(self) -> int:
        return len(self._images)

    @property
    def sha256(self) -> str:
        """Of the images' pixels."""
        return _sha256(self._images)

    def judged(self) -> list[Mapping[str, Array]]:
        """Return those that a search judges by: at most 31, evenly chosen. Files are judged on others."""
        places = np.linspace(0, len(self._images) - 1, min(MOST_JUDGED, len(self._images))).round().astype(int)
        return [self._entered(np.asarray(self._images[place])) for place in places]

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Array]: ...

    @overload
    def __getitem__(self, place: slice) -> "Samples": ...

    def __getitem__(self, place: int | slice) -> "Mapping[str, Array] | Samples":
        if isinstance(place, slice):
            return Samples(self._images[place], self._name, self._enter, self._further, self._seen)
        image = self._images[place]
        self._seen(place + 1)
        return self._entered(np.asarray(image))

    def _entered(self, image: NDArray[np.uint8]) -> Mapping[str, Array]:
        return {self._name: self._enter(image), **self._further}


def _sha256(images: NDArray[np.uint8]) -> str:
    return hashlib.sha256(images.tobytes()).hexdigest()


def _evenly(paths: list[Path], count: int) -> Iterator[Path]:
    """Yield paths: first so many at even distances, then the others in their order."""
    places = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)).tolist()
    yield from (paths[place] for place in places)
    chosen = set(places)
    yield from (path for place, path in enumerate(paths) if place not in chosen)


def _small(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, C) to the same, at most so many pixels high and wide."""
    height, width = photo.shape[:2]
    if max(height, width) <= MOST_SIDE:
        return photo
    image = Image.fromarray(photo if photo.shape[2] == 3 else photo[:, :, 0])
    image.thumbnail((MOST_SIDE, MOST_SIDE))
    return np.asarray(image).reshape(image.height, image.width, photo.shape[2])


def _colored(photo: NDArray[np.uint8]) -> bool:
    apart = photo.max(axis=2).astype(np.int16) - photo.min(axis=2)
    return bool(np.mean(apart > COLORED_LEVELS) >= COLORED_PART)
