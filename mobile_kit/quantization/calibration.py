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
from mobile_kit.preprocessing.image_files import find_images, read_image
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.records import Sha256

__all__ = ["LEAST_IMAGES", "Calibration", "Samples", "judged_images", "read_calibration"]

LEAST_IMAGES = 8
# Those that an artifact is judged on lie in it, so that it can be verified anywhere.
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
class Calibration:
    """Images at the network's size, (N, h, w, C) uint8, and the photo that the first of them was, (H, W, C).

    The photo lies in artifacts, so a large one is scaled down. unreadable: the files that couldn't be decoded. gray:
    whether none of the images has colours, though the model reads them.
    """

    images: NDArray[np.uint8] = field(repr=False)
    photo: NDArray[np.uint8] = field(repr=False)
    unreadable: tuple[str, ...] = ()
    gray: bool = False

    @property
    def record(self) -> CalibrationRecord:
        """What the manifest says of the images."""
        return CalibrationRecord(len(self.images), _sha256(self.images))


def read_calibration(folder: Path, preprocess: Preprocess, most: int) -> Calibration:
    """Read up to `most` images of a folder and those below it, evenly chosen in the order of their paths.

    Where one can't be read, another takes its place.
    Raises: ImageError where the folder has fewer than 8 that can be read, where all are the same, or where some have
        colours that the model can't read.
    """
    fitted: list[NDArray[np.uint8]] = []
    unreadable: list[str] = []
    colored: list[str] = []
    first: NDArray[np.uint8] | None = None
    for path in _evenly(find_images(folder), most):
        if len(fitted) == most:
            break
        try:
            photo = whole = read_image(path)
            photo = photo if preprocess.channels == 3 else read_image(path, preprocess.channels)
            fitted.append(preprocess.geometry(photo))
            colored += [path.relative_to(folder).as_posix()] if _colored(whole) else []
        except ImageError:
            unreadable.append(path.relative_to(folder).as_posix())
            continue
        first = photo if first is None else first
    if first is None or len(fitted) < LEAST_IMAGES:
        named = f"; {len(unreadable)} can't be decoded: {', '.join(unreadable[:5])}" if unreadable else ""
        raise ImageError(
            f"calibration {folder}: {len(fitted)} images can be read{named}. Give at least {LEAST_IMAGES}, better 100."
        )
    images = np.stack(fitted)
    if preprocess.channels == 1 and colored:
        raise ImageError(
            f"calibration {folder}: {len(colored)} of {len(images)} images have colours, such as {colored[0]}, and the "
            "model reads gray ones. Give images as the app will see them."
        )
    if (images == images[0]).all():
        raise ImageError(f"calibration {folder}: all {len(images)} images are the same. Give photos of many scenes.")
    return Calibration(images, _small(first), tuple(unreadable), gray=preprocess.channels == 3 and not colored)


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
        """Return those that files are judged on."""
        return [self._entered(np.asarray(image)) for image in judged_images(self._images).values()]

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


def judged_images(images: NDArray[np.uint8]) -> dict[int, Array]:
    """Return those of some calibration images that files are judged on, by their places."""
    places = np.linspace(0, len(images) - 1, min(MOST_JUDGED, len(images))).round().astype(int).tolist()
    return {place: images[place] for place in places}


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
