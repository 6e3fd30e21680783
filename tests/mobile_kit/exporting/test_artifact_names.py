"""A folder's name is readable, and another for another checkpoint."""

from pathlib import Path

import pytest

from mobile_kit.checkpoints.load import load
from mobile_kit.errors import UnsupportedError
from mobile_kit.exporting.artifact_names import MOST_BYTES, check_name, folder_name, slug
from tests.small_checkpoints import save, small_model


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("owner/name-1.0", "owner-name-1.0"),
        ("name", "name"),
        ("owner/a name!", "owner-a-name"),
        ("..", "model"),
        ("猫", "猫"),
        ("größer", "größer"),
        ("gro\u0308ßer", "größer"),  # as macOS spells it
        ("-rf", "rf"),
        ("$(rm)", "rm"),
        ("\U0001f408", "model"),
    ],
)
def test_a_folder_is_named_after_the_checkpoint(model: str, named: str) -> None:
    assert slug(model) == named


def test_a_long_name_leaves_room_for_what_is_added() -> None:
    assert len(slug("猫" * 200).encode()) <= MOST_BYTES


def test_only_a_folder_s_name_can_be_asked_for() -> None:
    check_name(None)
    check_name("my-cats_2.0")
    for asked in ("../x", "a/b", "a b", "", ".hidden"):
        with pytest.raises(UnsupportedError, match="--name"):
            check_name(asked)


def saved(folder: Path) -> str:
    return str(save(small_model("classification"), folder))


def test_a_trainer_s_checkpoints_have_their_run_s_name(tmp_path: Path) -> None:
    names = {folder_name(load(saved(tmp_path / run / "checkpoint-500")), None) for run in ("runA", "runB")}
    assert names == {"runA-checkpoint-500", "runB-checkpoint-500"}


def test_a_size_that_is_not_the_checkpoint_s_stands_in_the_name(tmp_path: Path) -> None:
    model = saved(tmp_path / "cats")
    height, width = load(model).image_size
    assert folder_name(load(model, image_size=(height, width)), None) == "cats"
    assert folder_name(load(model, image_size=(2 * height, 2 * height)), None) == f"cats-{2 * height}"
    assert folder_name(load(model, image_size=(height, 2 * width)), None) == f"cats-{height}x{2 * width}"
    assert folder_name(load(model, image_size=(height, 2 * width)), "mine") == "mine"
