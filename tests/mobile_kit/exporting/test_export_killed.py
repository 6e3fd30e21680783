"""Exports that are killed: the older artifact or the newer one is whole and in place, and nothing else is left."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mobile_kit import whole_file
from mobile_kit.artifacts.manifest import read_manifest
from tests.conftest import Answer
from tests.exports import ROOT

Command = Callable[..., Answer]

pytestmark = [
    pytest.mark.usefixtures("paper_targets"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc"),
]

# A worker's own thread sees that its parent is gone, once it gets its turn.
END_S = 10.0
SEED = 19


def processes_below(out: Path) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended
            continue
    return [line for line in found if str(out) in line and "mobile_kit.exporting.worker" in line]


def start(arguments: Sequence[str | Path], said: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "mobile_kit", "export", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=said,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_workers_end_with_their_parent_and_the_next_export_sweeps(
    number: int, model: Path, out: Path, command: Command
) -> None:
    with start((model, "--out", out, "--target", "hanging"), subprocess.PIPE) as process:
        assert process.stderr is not None
        assert any("lowering" in line for line in process.stderr)
        process.send_signal(number)
        process.communicate()
    assert process.returncode == (1 if number == signal.SIGHUP else -number)
    deadline = time.monotonic() + END_S
    while processes_below(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_below(out) == []
    time.sleep(whole_file.YOUNG_S)
    assert command("export", model, "--out", out, "--target", "paper").code == 0
    assert [path.name for path in out.iterdir()] == [model.name]
    assert [path.name for path in (out / model.name).iterdir()] == ["paper-fp32"]


def kill_at_random(kills: int, model: Path, out: Path, command: Command) -> None:
    arguments = (model, "--out", out, "--target", "paper")
    assert command("export", *arguments).code == 0
    place = out / model.name / "paper-fp32"
    began = time.monotonic()
    assert start((*arguments, "--force")).wait() == 0
    whole_s = time.monotonic() - began
    moments = random.Random(SEED)  # noqa: S311
    for _ in range(kills):
        process = start((*arguments, "--force"))
        time.sleep(moments.uniform(0.1, 1.05) * whole_s)
        process.kill()
        process.wait()
        read_manifest(place)
    time.sleep(whole_file.YOUNG_S)
    assert command("export", *arguments, "--force").code == 0
    assert [path.name for path in out.iterdir()] == [model.name]
    assert [path.name for path in (out / model.name).iterdir()] == ["paper-fp32"]


def test_killed_at_some_time(model: Path, out: Path, command: Command) -> None:
    kill_at_random(3, model, out, command)


@pytest.mark.slow
def test_killed_two_hundred_times(model: Path, out: Path, command: Command) -> None:
    kill_at_random(200, model, out, command)
