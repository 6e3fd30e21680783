"""Killed at any rename, the older artifact or the newer one is whole and in place, and the next command tidies up."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mobile_kit import whole_file
from mobile_kit.artifacts.layout import MANIFEST
from mobile_kit.artifacts.staging import staging_folder
from tests.exports import ROOT

# Replaces an artifact, and is killed at a rename: argv is the folder, the rename's number, whether it is done by then,
# and whether the system can exchange folders.
REPLACES = """
import os, signal, sys
from pathlib import Path
from mobile_kit.artifacts import staging

out, number, done, exchanges = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "behind", sys.argv[4] == "exchange"
count = 0

def counted(move):
    def at(*arguments):
        global count
        count += 1
        if count == number and not done:
            os.kill(os.getpid(), signal.SIGKILL)
        result = move(*arguments)
        if count == number and done:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return at

Path.rename = counted(Path.rename)
staging.exchange = counted(staging.exchange if exchanges else lambda one, other: False)
with staging.staging_folder(out) as folder:
    new = folder / "paper-fp32"
    new.mkdir()
    for name in ("manifest.json", "model.paper"):
        (new / name).write_text("new")
    staging.move_to_place(new, out / "m" / "paper-fp32", folder)
"""


def holds(place: Path) -> set[str]:
    """What the files of an artifact say, of which each must be there."""
    return {(place / name).read_text() for name in (MANIFEST, "model.paper")}


@pytest.mark.parametrize("moment", ["ahead", "behind"])
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("way", ["exchange", "step by step"])
def test_killed_at_any_rename(way: str, number: int, moment: str, tmp_path: Path) -> None:
    place = tmp_path / "m" / "paper-fp32"
    place.mkdir(parents=True)
    for name in (MANIFEST, "model.paper"):
        (place / name).write_text("old")
    command = [sys.executable, "-c", REPLACES, str(tmp_path), str(number), moment, way]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    if done.returncode == 0:
        assert number > (1 if way == "exchange" else 4)
    elif way == "exchange":
        assert holds(place) in ({"old"}, {"new"})
    time.sleep(whole_file.YOUNG_S)
    with staging_folder(tmp_path):
        assert holds(place) in ({"old"}, {"new"})
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "m",
        "m/paper-fp32",
        f"m/paper-fp32/{MANIFEST}",
        "m/paper-fp32/model.paper",
    ]


def test_what_is_kept_is_where_it_is_kept(tmp_path: Path) -> None:
    """An app with changes of its user's, of which no copy may be lost at any time."""
    from mobile_kit.artifacts.staging import move_to_place

    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "mine").touch()
    with staging_folder(tmp_path) as staging:
        (staging / "app").mkdir()
        move_to_place(staging / "app", tmp_path / "app", staging, tmp_path / "app-before-1")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "app",
        "app-before-1",
        "app-before-1/mine",
    ]
