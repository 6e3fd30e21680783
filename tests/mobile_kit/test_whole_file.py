"""A file that was there stays as it was until the new one is whole, and what killed processes left is swept."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mobile_kit import whole_file
from mobile_kit.whole_file import PARTIAL, exchange, partial_folder, sweep, write_whole
from tests.exports import ROOT

# Writes beside a place for ever, and says when it has begun.
WRITES = """
import sys
from pathlib import Path
from mobile_kit.whole_file import partial_folder
with partial_folder(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    print("begun", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def old(path: Path) -> Path:
    """Let a path be older than what its maker is about to lock."""
    deadline = time.time() + 10
    while time.time() - path.lstat().st_ctime < whole_file.YOUNG_S and time.time() < deadline:
        time.sleep(0.05)
    return path


def test_a_text_and_bytes_are_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "text", "größer\n")
    write_whole(tmp_path / "bytes", b"\x00\xff")
    assert (tmp_path / "text").read_bytes() == "größer\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["bytes", "text"]


def test_a_file_is_readable_as_others_are(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_whole(tmp_path / "text", "text")
    assert (tmp_path / "text").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    place = tmp_path / "verify.json"
    place.write_text("old")

    def torn(path: Path, target: Path) -> None:
        raise stop

    monkeypatch.setattr(Path, "replace", torn)
    with pytest.raises(type(stop)):
        write_whole(place, "the new one")
    assert place.read_text() == "old"
    assert names(tmp_path) == ["verify.json"]


def test_a_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "folder").mkdir()
    place = tmp_path / "folder" / "verify.json"
    place.symlink_to(tmp_path / "mine")
    write_whole(place, "new")
    assert not place.is_symlink()
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_process_left_is_swept_and_a_running_one_s_is_not(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        (left,) = tmp_path.iterdir()
        sweep(old(left).parent)
        assert names(left) == ["half"]
        process.send_signal(number)
    write_whole(tmp_path / "next", "")
    assert names(tmp_path) == ["next"]


def test_no_link_is_swept_into(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    link = tmp_path / f"{PARTIAL}x"
    link.symlink_to(tmp_path / "mine")
    sweep(old(link).parent)
    assert names(tmp_path / "mine") == ["thesis.txt"]


def test_a_folder_goes_whatever_happens(tmp_path: Path) -> None:
    def stopped() -> None:
        with partial_folder(tmp_path) as folder:
            (folder / "half").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert names(tmp_path) == []


def test_folders_are_exchanged_at_once_where_the_system_can(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if exchange(tmp_path / "one", tmp_path / "other"):
        assert (names(tmp_path / "one"), names(tmp_path / "other")) == (["other"], ["one"])
    else:
        assert (names(tmp_path / "one"), names(tmp_path / "other")) == (["one"], ["other"])


def test_what_can_not_be_exchanged_for_another_reason_is_an_error(tmp_path: Path) -> None:
    if exchange(*_two(tmp_path)):
        with pytest.raises(OSError, match="No such file") as caught:
            exchange(tmp_path / "one", tmp_path / "none")
        assert caught.value.errno == errno.ENOENT


def _two(folder: Path) -> tuple[Path, Path]:
    for name in ("one", "other"):
        (folder / name).mkdir()
    return folder / "one", folder / "other"
