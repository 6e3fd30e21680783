from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoConfig

from sample_apps.checkpoints import digits
from sample_apps.checkpoints.evaluate import Accuracy, evaluate

CHECKPOINTS = sorted(path.parent for path in Path(digits.__file__).parent.glob("*-digits/config.json"))
each_checkpoint = pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda folder: folder.name)

MAX_FOLDER_BYTES = 3_000_000
MIN_TOP1 = 0.97
MAX_TOP1_SWAPPED = 0.10
VIEWS = 200


@cache
def accuracy(folder: Path) -> Accuracy:
    return evaluate(folder, VIEWS)


def digit_of(scan: int) -> int:
    return digits.view(scan, seed=0, size_px=8)[1] % 10


def test_a_view_is_the_same_every_time() -> None:
    first, again = digits.view(7, seed=3, turn=1), digits.view(7, seed=3, turn=1)
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]


@pytest.mark.parametrize("other", [{"seed": 4}, {"turn": 2}, {"scan": 8}])
def test_a_view_depends_on_each_of_its_arguments(other: dict[str, int]) -> None:
    arguments = {"scan": 7, "seed": 3, "turn": 1}
    assert not np.array_equal(digits.view(**arguments)[0], digits.view(**{**arguments, **other})[0])


@pytest.mark.parametrize("size_px", [64, 128])
def test_a_view_is_an_rgb_image_of_the_asked_size(size_px: int) -> None:
    image, label = digits.view(0, seed=0, size_px=size_px)
    assert image.shape == (size_px, size_px, 3)
    assert image.dtype == np.uint8
    assert 0 <= label < len(digits.LABELS)


def test_views_show_every_scan_before_one_appears_again() -> None:
    count = len(digits.held_out_scans())
    shown = Counter(label % 10 for _, label in digits.held_out_views(count, seed=5, size_px=16))
    assert shown == Counter(digit_of(scan) for scan in digits.held_out_scans())
    images = [image.tobytes() for image, _ in digits.held_out_views(2 * count, seed=5, size_px=16)]
    assert len(set(images)) == 2 * count


def test_views_of_a_larger_count_begin_with_those_of_a_smaller_one() -> None:
    few = list(digits.training_views(3, seed=1))
    many = list(islice(digits.training_views(9, seed=1), 3))
    assert all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(few, many, strict=True))


def test_no_scan_is_both_trained_on_and_held_out() -> None:
    training, held_out = set(digits.training_scans()), set(digits.held_out_scans())
    assert (len(training), len(held_out)) == (1438, 359)
    assert training | held_out == set(range(1797))


def test_the_split_has_a_fifth_of_each_digit() -> None:
    every = Counter(digit_of(scan) for scan in range(1797))
    held_out = Counter(digit_of(scan) for scan in digits.held_out_scans())
    assert all(abs(held_out[digit] - every[digit] / 5) < 1 for digit in range(10))


def test_strokes_are_red_or_blue_as_the_label_says_and_the_background_is_grey() -> None:
    for image, label in digits.held_out_views(100, seed=2, size_px=64):
        red_over_blue = image[..., 0].astype(int) - image[..., 2]
        stroke = red_over_blue.min() if digits.LABELS[label].startswith("cool") else red_over_blue.max()
        assert abs(stroke) > 100
        assert np.sign(stroke) == (-1 if label >= 10 else 1)
        corners = red_over_blue[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert np.median(np.abs(corners)) < 20


def test_there_is_a_checkpoint() -> None:
    assert CHECKPOINTS


@each_checkpoint
def test_a_checkpoint_is_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_FOLDER_BYTES


@each_checkpoint
def test_a_checkpoint_names_its_classes(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder)
    assert tuple(config.id2label[index] for index in range(len(digits.LABELS))) == digits.LABELS


@each_checkpoint
def test_a_checkpoint_reads_unseen_digits(folder: Path) -> None:
    assert accuracy(folder).top1 >= MIN_TOP1


@each_checkpoint
def test_a_checkpoint_sees_colour(folder: Path) -> None:
    assert accuracy(folder).top1_swapped <= MAX_TOP1_SWAPPED
