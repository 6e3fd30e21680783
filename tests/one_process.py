"""Commands in this process, and their workers in it too: each of many processes would import its toolchain anew."""

import contextlib
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from torch import Tensor
from torch.fx.traceback import NodeSource

from mobile_kit.cli.main import main
from mobile_kit.exporting import worker
from mobile_kit.exporting.job import GOLDEN_READY, ExportJob
from mobile_kit.exporting.worker_pool import WorkerPool
from mobile_kit.models.spec import CommonModel
from tests.exports import Export

ONE_AT_A_TIME = Lock()
# Float files by all that they are made of: a file in integers, or in float16, is made of one.
CONVERTED: dict[str, "Converted"] = {}
PLAIN = (bool, float, int, list, str, tuple, type(None))


@dataclass(frozen=True)
class Converted:
    """What LiteRT's converter gives."""

    content: bytes

    def export(self, path: str) -> None:
        Path(path).write_bytes(self.content)


def key_of(model: CommonModel, examples: tuple[Tensor, ...]) -> str:
    """Return a SHA-256 of all that a model's graph and weights are made of."""
    found = hashlib.sha256(f"{model.spec} {[(example.shape, example.dtype) for example in examples]}".encode())
    for path, module in model.named_modules():
        plain = {name: value for name, value in sorted(vars(module).items()) if isinstance(value, PLAIN)}
        found.update(f"{path} {type(module).__qualname__} {plain}".encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def converted_once(convert: Callable[..., Any]) -> Callable[..., Converted]:
    """Let LiteRT's converter convert the same model once."""

    def converted(model: CommonModel, examples: tuple[Tensor, ...]) -> Converted:
        key = key_of(model, examples)
        if key not in CONVERTED:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.tflite")
                convert(model, examples).export(str(path))
                CONVERTED[key] = Converted(path.read_bytes())
        return CONVERTED[key]

    return converted


def run_here(pool: WorkerPool, job: ExportJob) -> None:
    """Do a job as its worker does, after the golden files are written and after the jobs before it."""
    pool.golden.wait()
    with ONE_AT_A_TIME, pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "stdin", io.StringIO(f"{GOLDEN_READY}\n"))
        patch.setattr(NodeSource, "__deepcopy__", lambda source, memo: source, raising=False)
        if job.target == "tflite":
            import litert_torch

            patch.setattr("litert_torch.convert", converted_once(litert_torch.convert))
        (worker.work if job.costs is None else worker.measure)(job, io.StringIO())


@contextlib.contextmanager
def workers_here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerPool, "run", run_here)
        yield


def mobile_kit(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command that succeeds or fails, but is no wrong usage."""
    command = [str(argument) for argument in arguments]
    with (
        workers_here(),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = main(command)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def export(checkpoint: Path, out: Path, *arguments: str) -> Export:
    """Export a checkpoint to `out`; it must succeed."""
    done = mobile_kit("export", checkpoint, "--out", out, "--json", *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    records = json.loads(done.stdout)["artifacts"]
    return Export(checkpoint, {Path(record["artifact"]).name: record for record in records}, out, done.stderr)


def exports_of(checkpoint: Path, out: Path, *made: tuple[str, ...]) -> Export:
    """Export a checkpoint to `out` file by file. made: target, recipe, and what else the command is given."""
    found = [export(checkpoint, out, "--target", target, "--recipe", recipe, *more) for target, recipe, *more in made]
    records = {name: record for each in found for name, record in each.records.items()}
    return Export(checkpoint, records, out, "".join(each.stderr for each in found))
