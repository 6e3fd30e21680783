"""Exports that can't go on: a folder that can't be written, a full disk, Ctrl-C."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.answers import PROGRESS, assert_refused, content
from tests.conftest import Answer
from tests.exports import ROOT

Command = Callable[..., Answer]

# After Ctrl-C: a worker is killed, not waited for. Measured 0.3 s; a busy machine gets ten times that and more.
STOP_S = 15.0

pytestmark = pytest.mark.usefixtures("paper_targets")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk of its own, where this machine lets us."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs the right to mount ({done.stderr.strip()})")
        return place

    yield mount
    subprocess.run(["umount", place], capture_output=True, check=False)


@pytest.mark.parametrize("below", ["a file", "proc"])
def test_an_output_folder_that_cant_be_made_is_refused(
    below: str, model: Path, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / "file"
    file.write_text("a file")
    out = file / "out" if below == "a file" else Path("/proc/nothing/out")
    answer = command("export", model, "--out", out, "--target", "paper")
    assert_refused(answer, str(out), "can't be written", "--out")
    assert "checkpoint" not in answer.err
    assert file.read_text() == "a file"


def test_a_read_only_output_folder_is_refused(model: Path, disk: Callable[[str], Path], command: Command) -> None:
    out = disk("ro,size=1m")
    assert_refused(command("export", model, "--out", out, "--target", "paper"), str(out), "Read-only", "--out")


@pytest.mark.parametrize("size_kb", [8, 256, 600])
def test_a_full_disk_is_named_and_left_empty(
    size_kb: int, model: Path, disk: Callable[[str], Path], command: Command
) -> None:
    """Full in the golden files, in the model's file, and in what comes after."""
    out = disk(f"size={size_kb}k")
    answer = command("export", model, "--out", out, "--target", "paper")
    assert_refused(answer, str(out), "the disk is full", "--out")
    assert content(out) == {}


def test_a_full_disk_is_named_where_none_can_be_mounted(
    model: Path, out: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", save)
    answer = command("export", model, "--out", out, "--target", "paper,hanging")
    assert_refused(answer, str(out), "the disk is full", "--out")
    assert not out.parent.exists()


def test_a_folder_in_the_place_of_a_failed_artifact_is_not_replaced(model: Path, out: Path, command: Command) -> None:
    place = out / model.name / "paper-fp32-failed"
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("mine")
    answer = command("export", model, "--out", out, "--target", "paper")
    assert_refused(answer, str(place), "is no artifact", "--out")
    assert content(out)[f"{model.name}/paper-fp32-failed/thesis.txt"] == b"mine"


def processes_of(marker: Path) -> list[str]:
    """The command lines of running processes that name a path."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended
            continue
    return [line for line in lines if str(marker) in line]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("moment", ["loading", "lowering"])
def test_ctrl_c_stops_at_once_and_leaves_nothing(moment: str, model: Path, out: Path, tmp_path: Path) -> None:
    temporary, partial = tmp_path / "temporary", out / ".partial-"
    temporary.mkdir()
    arguments = ["--out", out, "--target", "hanging,hanging_too", "--recipe", "fp32,fp16"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mobile_kit", "export", model, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        # A shell's background jobs ignore Ctrl-C, and so would all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if moment in line:
                break
        if moment == "lowering":
            assert processes_of(partial) != []
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        said, errors = process.communicate(timeout=4 * STOP_S)
        assert time.monotonic() - asked < STOP_S
    finally:
        process.kill()
    assert (process.returncode, said) == (1, "")
    assert [line for line in errors.splitlines() if not PROGRESS.fullmatch(line)] == [
        "mobile-kit: stopped. Nothing half-written was left behind."
    ]
    assert processes_of(partial) == []
    assert list(temporary.iterdir()) == []
    assert not out.parent.exists()
