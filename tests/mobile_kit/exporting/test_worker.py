"""A worker by itself: what it says, where its toolchain's words go, and how it waits for the parent."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.artifacts.manifest_record import JudgedRecord, ModelRecord
from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.errors import LoweringError, MobileKitError
from mobile_kit.exporting.job import GOLDEN_READY, ExportJob, write_pickle
from mobile_kit.exporting.worker_pool import WorkerPool
from mobile_kit.progress import Progress
from mobile_kit.quantization.recipes import RECIPES
from mobile_kit.target_api.interface import ModelCard, Request
from tests.exports import ROOT
from tests.paper_target import NATIVE_CHATTER, PYTHON_CHATTER

pytestmark = pytest.mark.usefixtures("paper_targets")

CARD = ModelCard("name", "description", "author", None, "source", "1")


def job_for(target: str, checkpoint: Checkpoint, folder: Path) -> ExportJob:
    folder.mkdir()
    model = checkpoint.family.build(checkpoint.model, checkpoint.head.name, checkpoint.image_size, ())
    pickled = folder.parent / f"{target}.model.pkl"
    write_pickle(model, pickled)
    job = ExportJob(
        name=f"{target}-fp32",
        target=target,
        model=pickled,
        spec=model.spec,
        entry="uint8_nhwc",
        request=Request(RECIPES["fp32"], None, None, CARD),
        preprocess=checkpoint.preprocess,
        model_record=ModelRecord.of(model.spec, "source", None, None, False),
        judged=JudgedRecord("drawn scenes", None, None, stored=True),
        folder=folder,
        kept_log=folder.parent / "logs" / f"{target}.log",
    )
    write_pickle(job, job.handed)
    return job


@dataclass(frozen=True)
class Ended:
    """What a worker said, line by line, and its exit code."""

    code: int
    said: list[dict[str, Any]]


def work(job: ExportJob, answer: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "mobile_kit.exporting.worker", job.handed],
        input=answer,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stderr == ""
    return Ended(done.returncode, [json.loads(line) for line in done.stdout.splitlines()])


@pytest.fixture
def checkpoint(small_checkpoints: dict[str, Checkpoint]) -> Checkpoint:
    return small_checkpoints["classification"]


def test_a_worker_whose_parent_is_gone_ends_quietly(checkpoint: Checkpoint, tmp_path: Path) -> None:
    job = job_for("paper", checkpoint, tmp_path / "paper")
    ended = work(job, answer="")
    assert ended.code == 0
    assert [line["stage"] for line in ended.said] == ["lowering (fp32)", "waiting for the oracle"]
    assert "done" not in ended.said[-1]
    assert [path.name for path in job.folder.iterdir()] == ["model.paper"]
    assert sorted(job.log.read_text().splitlines()) == sorted([PYTHON_CHATTER, NATIVE_CHATTER, NATIVE_CHATTER])


def test_a_refusal_is_said_as_it_is(checkpoint: Checkpoint, tmp_path: Path) -> None:
    ended = work(job_for("refusing", checkpoint, tmp_path / "refusing"), answer=f"{GOLDEN_READY}\n")
    assert ended.code == 1
    assert ended.said[-1] == {"error": "paper: doesn't take this model. Try another --target."}


def test_a_crash_is_said_in_one_line_and_traced_in_the_log(checkpoint: Checkpoint, tmp_path: Path) -> None:
    job = job_for("raising", checkpoint, tmp_path / "raising")
    ended = work(job, answer=f"{GOLDEN_READY}\n")
    assert ended.code == 1
    assert ended.said[-1] == {"crash": "RuntimeError: torn in two"}
    assert "Traceback (most recent call last)" in job.log.read_text()


def test_without_golden_files_nothing_is_verified(checkpoint: Checkpoint, tmp_path: Path) -> None:
    ended = work(job_for("paper", checkpoint, tmp_path / "paper"), answer=f"{GOLDEN_READY}\n")
    assert ended.code == 1
    assert "golden/inputs/image.bin has no hash under files" in ended.said[-1]["error"]


def pool() -> WorkerPool:
    made = WorkerPool(Progress(quiet=True))
    made.golden.set()
    return made


def test_the_pool_raises_what_a_worker_says(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(MobileKitError, match="doesn't take this model"):
        pool().run(job_for("refusing", checkpoint, tmp_path / "refusing"))
    with pytest.raises(LoweringError, match=rf"ended with code {-signal.SIGABRT}.*{tmp_path}/logs/dying\.log"):
        pool().run(job_for("dying", checkpoint, tmp_path / "dying"))
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["dying.log"]


def test_a_stopped_pool_starts_nothing(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = pool()
    stopped.stop()
    monkeypatch.setattr(subprocess, "Popen", None)
    stopped.run(job_for("paper", checkpoint, tmp_path / "paper"))
    assert not (tmp_path / "paper-fp32.log").exists()


def test_a_worker_that_started_while_the_pool_stopped_is_killed(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = pool()
    started: list[subprocess.Popen[str]] = []
    start = subprocess.Popen

    def start_late(*arguments: Any, **options: Any) -> Any:
        stopping.stop()  # it can't know of the process that is about to be
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start_late)
    stopping.run(job_for("hanging", checkpoint, tmp_path / "hanging"))
    assert [process.returncode for process in started] == [-signal.SIGKILL]
    assert not (tmp_path / "hanging.log").exists()
