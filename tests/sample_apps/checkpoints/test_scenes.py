from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sample_apps.checkpoints import digits
from sample_apps.checkpoints.scenes import CLASSES, held_out_scenes, training_scenes
from sample_apps.checkpoints.train_scenes import evaluate


def test_every_pixel_has_the_class_of_its_digit() -> None:
    seen: set[int] = set()
    for image, mask in held_out_scenes(12, 3):
        assert image.shape == (128, 128, 3)
        assert mask.shape == (128, 128)
        assert 0.05 < np.mean(mask > 0) < 0.7
        seen |= set(np.unique(mask).tolist())
        # A warm stroke has more red than blue, a cool one more blue.
        warm = image[..., 0].astype(int) - image[..., 2]
        for label in np.unique(mask[mask > 0]).tolist():
            strongest = warm[mask == label][np.abs(warm[mask == label]) > 100]
            assert np.all((strongest > 0) == CLASSES[label].startswith("warm"))
    assert len(seen) > 10
    assert max(seen) < len(CLASSES)


def test_scenes_are_the_same_again_and_those_to_train_on_are_others() -> None:
    first, again, others = (list(draw(3, 1)) for draw in (held_out_scenes, held_out_scenes, training_scenes))
    for (image, mask), (same, same_mask), (other, _) in zip(first, again, others, strict=True):
        assert np.array_equal(image, same)
        assert np.array_equal(mask, same_mask)
        assert not np.array_equal(image, other)


def test_the_segmenter_is_small_and_finds_unseen_digits() -> None:
    folder = Path(digits.__file__).with_name("mobilevitv2-scenes")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000
    # 89.6 % on 359 scenes.
    assert evaluate(folder, 24) > 0.85


@pytest.mark.parametrize("held_out", [False, True])
def test_views_are_written_into_a_folder_a_class(
    held_out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["digits", str(tmp_path / "views"), "--count", "9", *(["--held-out"] if held_out else [])]
    monkeypatch.setattr("sys.argv", asked)
    digits.main()
    found = sorted((tmp_path / "views").rglob("*.png"), key=lambda path: path.name)
    views = list((digits.held_out_views if held_out else digits.training_views)(9, 1))
    assert len(found) == len(views)
    for path, (image, label) in zip(found, views, strict=True):
        assert path.parent.name == digits.LABELS[label]
        with Image.open(path) as stored:
            assert np.array_equal(np.asarray(stored), image)
