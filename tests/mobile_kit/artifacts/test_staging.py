"""An artifact comes to its place whole, or what was there stays."""

import errno
from pathlib import Path

import pytest

from mobile_kit.artifacts.layout import LOGS, MANIFEST
from mobile_kit.artifacts.staging import check_places, failed_path, move_to_place, staging_folder
from mobile_kit.errors import MobileKitError, UnsupportedError


def artifact(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(content)
    return folder


def test_what_is_moved_stays_and_the_rest_goes(tmp_path: Path) -> None:
    out = tmp_path / "build" / "artifacts"
    with staging_folder(out) as staging:
        assert staging.parent == out
        (staging / "model.pkl").write_text("handed over")
        move_to_place(artifact(staging / "paper-fp32", "new"), out / "m" / "paper-fp32", staging)
    assert [path.relative_to(out).as_posix() for path in sorted(out.rglob("*"))] == [
        "m",
        "m/paper-fp32",
        f"m/paper-fp32/{MANIFEST}",
    ]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), ValueError("torn")])
def test_an_interruption_leaves_nothing_not_even_the_folders_that_were_made(
    stop: BaseException, tmp_path: Path
) -> None:
    def torn() -> None:
        with staging_folder(tmp_path / "build" / "artifacts") as staging:
            artifact(staging / "paper-fp32", "half")
            (tmp_path / "build" / "artifacts" / LOGS).mkdir()
            raise stop

    with pytest.raises(type(stop)):
        torn()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_stay(tmp_path: Path) -> None:
    (tmp_path / "build" / LOGS).mkdir(parents=True)
    (tmp_path / "build" / LOGS / "x.log").touch()
    with staging_folder(tmp_path / "build"):
        pass
    assert (tmp_path / "build" / LOGS / "x.log").is_file()


def test_an_older_artifact_is_replaced_as_a_whole(tmp_path: Path) -> None:
    place = artifact(tmp_path / "out" / "paper-fp32", "old")
    (place / "surplus").touch()
    with staging_folder(tmp_path / "out") as staging:
        move_to_place(artifact(staging / "paper-fp32", "new"), place, staging)
    assert [path.name for path in place.iterdir()] == [MANIFEST]
    assert (place / MANIFEST).read_text() == "new"


def test_where_the_new_one_can_not_be_moved_the_older_one_stays(tmp_path: Path) -> None:
    place = artifact(tmp_path / "out" / "paper-fp32", "old")
    with staging_folder(tmp_path / "out") as staging:
        with pytest.raises(FileNotFoundError):
            move_to_place(staging / "not-there", place, staging)
        assert (place / MANIFEST).read_text() == "old"


def test_a_full_disk_and_a_folder_of_somebody_else_s_are_said_in_a_line(tmp_path: Path) -> None:
    for code, words in ((errno.ENOSPC, "the disk is full. Free some space"), (errno.EACCES, "can't be written (No)")):
        with pytest.raises(MobileKitError) as caught, staging_folder(tmp_path / "out"):
            raise OSError(code, "No")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(MobileKitError, match=r"file/out: can't be written"), staging_folder(tmp_path / "file" / "out"):
        raise AssertionError("not reached")


def test_what_is_no_artifact_is_never_replaced(tmp_path: Path) -> None:
    place = tmp_path / "paper-fp32"
    check_places([place, artifact(tmp_path / "one", "there")])
    failed_path(place).mkdir()
    with pytest.raises(UnsupportedError, match="paper-fp32-failed: exists and is no artifact"):
        check_places([place])
