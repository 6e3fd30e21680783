from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobile_kit.errors import ImageError
from mobile_kit.evaluation.labelled_images import Example, read_classes, read_masks, read_table

LABELS = ("cat", "dog", "eel")


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path)
    return path


def test_a_folder_a_class(tmp_path: Path) -> None:
    eel, dog = image(tmp_path / "eel/deep/1.png"), image(tmp_path / "1/2.png")
    assert read_classes(tmp_path, LABELS, 3) == [Example(dog, 1), Example(eel, 2)]


def test_a_table(tmp_path: Path) -> None:
    first, second = image(tmp_path / "a/x.png"), image(tmp_path / "y.png")
    table = tmp_path / "labels.csv"
    table.write_text("image,label\na/x.png,dog\ny.png, 0\n")
    assert read_classes(table, LABELS, 3) == [Example(first, 1), Example(second, 0)]


def test_a_label_that_is_a_number_is_that_label(tmp_path: Path) -> None:
    image(tmp_path / "7/1.png")
    assert [example.label for example in read_classes(tmp_path, ("3", "7"), 2)] == [1]


def test_a_table_is_read_by_labels_or_by_numbers_and_by_no_mix(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    table = tmp_path / "labels.csv"
    numbers = ("1", "2", "3")
    table.write_text("image,0,1,2\nx.png,1,0,0\n")
    assert [each.values for each in read_table(table, numbers, 3, each=True)] == [(1.0, 0.0, 0.0)]
    table.write_text("image,3,2,1\nx.png,1,0,0\n")
    assert [each.values for each in read_table(table, numbers, 3, each=True)] == [(0.0, 0.0, 1.0)]
    table.write_text("image,0,2,3\nx.png,1,0,0\n")
    with pytest.raises(ImageError, match="has no column '1'"):
        read_table(table, numbers, 3, each=True)
    table.write_text("image,1,2,3\n")
    with pytest.raises(ImageError, match="has no rows"):
        read_table(table, numbers, 3, each=True)


def test_labels_of_other_classes_are_named(tmp_path: Path) -> None:
    for name in ("fox", "cat", "3"):
        image(tmp_path / name / "1.png")
    with pytest.raises(ImageError, match="'3', 'fox' are no class of the checkpoint, which has 'cat', 'dog', 'eel'"):
        read_classes(tmp_path, LABELS, 3)
    with pytest.raises(ImageError, match="'cat', 'fox' are no class of the checkpoint, which has '0', '1', '2', '3'"):
        read_classes(tmp_path, None, 4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name,class\nx.png,cat\n", "has no columns image and label"),
        (b"", "has no columns image and label"),
        (b"\xff\xfe\x00", "can't be read"),
        (b"image,label\nnowhere.png,cat\n", "1 images are missing: '.*nowhere.png'"),
        (b"image,label\nx.png,cat\ny.png\n,dog\n", "lines '3', '4' lack an image or a label"),
        (b"label,image\n\ncat\n", "lines '3' lack an image or a label"),
    ],
)
def test_a_table_that_is_none_is_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_bytes(content)
    with pytest.raises(ImageError, match=expected):
        read_classes(table, LABELS, 3)


def test_images_without_classes_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "1.png")
    with pytest.raises(ImageError, match="in no folder of a class"):
        read_classes(tmp_path, LABELS, 3)


def test_masks_beside_images_and_in_a_folder_of_their_own(tmp_path: Path) -> None:
    beside, mask = image(tmp_path / "a.jpg"), image(tmp_path / "a.png")
    own, own_mask = image(tmp_path / "images/b.png"), image(tmp_path / "masks/b.png")
    image(tmp_path / "c.jpg")
    assert read_masks(tmp_path) == [Example(beside, mask=mask), Example(own, mask=own_mask)]


def test_images_without_masks_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="no image has a mask"):
        read_masks(tmp_path)
