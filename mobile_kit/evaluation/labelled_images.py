"""Labelled images: a folder a class as torchvision's ImageFolder has them, CSVs, or masks beside images."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_kit.errors import ImageError, one_line
from mobile_kit.preprocessing.image_files import find_images

__all__ = ["Example", "read_classes", "read_masks", "read_table"]

MOST_NAMED = 5


@dataclass(frozen=True)
class Example:
    """An image, and its class by number, its mask, or a number for each label; the others are None."""

    image: Path
    label: int | None = None
    mask: Path | None = None
    values: tuple[float, ...] | None = None


def read_classes(source: Path, labels: Sequence[str] | None, classes: int) -> list[Example]:
    """Return the images of a folder with a folder a class, or of a CSV with the columns image and label.

    A class is called by its label in the checkpoint, or by its number. Paths in a CSV are relative to it.
    Raises: ImageError where the source is neither, where a class is none of the checkpoint's (naming which), or where
        an image is missing.
    """
    known = {str(number): number for number in range(classes)}
    known |= {label: number for number, label in enumerate(labels or ())}
    pairs = _rows(source) if source.is_file() else _folders(source)
    strange = sorted({name for _, name in pairs if name not in known})
    if strange:
        raise ImageError(
            f"labels {source}: {_some(strange)} {'is' if len(strange) == 1 else 'are'} no class of the checkpoint, "
            f"which has {_some(list(labels) if labels else list(known))}. Name them by label or by number."
        )
    return [Example(path, known[name]) for path, name in pairs]


def read_table(source: Path, labels: Sequence[str] | None, count: int, each: bool) -> list[Example]:
    """Return the images of a CSV with the column image and one for each label, called by the label or by its number.

    each: whether a label is or isn't right, 1 or 0; else its value is any number. Paths are relative to the CSV.
    Raises: ImageError where the source is none, lacks a column, has something else in one, or an image is missing.
    """
    kind = "0 or 1" if each else "a number"
    way = f"Give a CSV with the column image and one for each label, each with {kind}."
    if not source.is_file():
        raise ImageError(f"labels {source}: is no file, and a label of this checkpoint is {kind}. {way}")
    rows = _csv_rows(source, way)
    names = list(labels) if labels else [str(number) for number in range(count)]
    columns = set(rows[0][1]) if rows else set()
    if not rows:
        raise ImageError(f"labels {source}: has no rows. {way}")
    # All by label, or all by number: a number may be another's label.
    numbers = [str(number) for number in range(count)]
    known = next((each for each in (names, numbers) if set(each) <= columns), names)
    lacking = [name for name in ("image", *known) if name not in columns]
    if lacking:
        raise ImageError(f"labels {source}: has no column {_some(lacking)}. {way}")
    found = [
        Example(source.parent / (row["image"] or ""), values=_values(source, line, row, known, each))
        for line, row in rows
    ]
    _check_images(source, [example.image for example in found])
    return found


def _values(
    source: Path, line: int, row: Mapping[str, str | None], columns: list[str], each: bool
) -> tuple[float, ...]:
    values = []
    for column in columns:
        try:
            value = float(row[column] or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (each and value not in {0, 1}):
            kind = "0 or 1" if each else "a number"
            raise ImageError(f"labels {source}: line {line} has {row[column]!r} for {column!r}. Give {kind}.")
        values.append(value)
    return tuple(values)


def read_masks(folder: Path) -> list[Example]:
    """Return the images below a folder that have a mask: `masks/NAME.png` for `images/NAME.*`, or beside `NAME.jpg`.

    A mask's pixels are numbers of classes; 255 is ignored.
    Raises: ImageError where there is none.
    """
    found = []
    for image in find_images(folder):
        parts = ["masks" if part == "images" else part for part in image.relative_to(folder).parts]
        mask = folder.joinpath(*parts).with_suffix(".png")
        if mask != image and mask.is_file():
            found.append(Example(image, mask=mask))
    if not found:
        raise ImageError(
            f"labels {folder}: no image has a mask. Put NAME.png into masks/ for images/NAME.jpg, or beside NAME.jpg."
        )
    return found


def _folders(folder: Path) -> list[tuple[Path, str]]:
    pairs = [(path, path.relative_to(folder).parts[0]) for path in find_images(folder) if path.parent != folder]
    if not pairs:
        raise ImageError(f"labels {folder}: its images are in no folder of a class. Give DIR/CLASS/IMAGE, or a CSV.")
    return pairs


def _rows(path: Path) -> list[tuple[Path, str]]:
    rows = _csv_rows(path, "Give a CSV with the columns image and label.")
    if not rows or not {"image", "label"} <= rows[0][1].keys():
        raise ImageError(f"labels {path}: has no columns image and label. Give a CSV with both.")
    # A row that is too short has None in the columns behind it.
    short = [str(line) for line, row in rows if not (row["image"] and row["label"])]
    if short:
        raise ImageError(f"labels {path}: lines {_some(short)} lack an image or a label. Fill them in.")
    pairs = [(path.parent / (row["image"] or ""), (row["label"] or "").strip()) for _, row in rows]
    _check_images(path, [image for image, _ in pairs])
    return pairs


def _csv_rows(path: Path, way: str) -> list[tuple[int, dict[str, str | None]]]:
    """Return the rows of a CSV with the numbers of their lines."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            return [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise ImageError(f"labels {path}: can't be read ({one_line(exc)}). {way}") from exc


def _check_images(source: Path, images: Sequence[Path]) -> None:
    missing = [str(image) for image in images if not image.is_file()]
    if missing:
        raise ImageError(f"labels {source}: {len(missing)} images are missing: {_some(missing)}. Check the paths.")


def _some(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(repr(name) for name in names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
