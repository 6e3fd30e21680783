"""One lowering in a process of its own: toolchains are heavy, talk a lot and may crash.

The parent hands over a pickled `ExportJob`. Standard output carries one status line a stage; whatever a toolchain
prints goes to the job's log. Between lowering and describing, the worker waits for the parent to have written the
golden files, which the parent computes meanwhile.
"""

import gc
import json
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from torch.fx.traceback import NodeSource

from mobile_kit.artifacts.golden_inputs import further_inputs
from mobile_kit.artifacts.manifest import build_manifest, write_manifest
from mobile_kit.artifacts.verification import VerifyReport, write_report
from mobile_kit.errors import MobileKitError, UnsupportedError, named_line
from mobile_kit.evaluation.verify import verify
from mobile_kit.exporting.job import GOLDEN_READY, ExportJob
from mobile_kit.exporting.mixed_precision import MixedModel, stricter, wanted_of
from mobile_kit.models.spec import Array, CommonModel
from mobile_kit.preprocessing.in_graph import attach
from mobile_kit.quantization.calibration import Samples
from mobile_kit.quantization.recipes import NOTHING_ASKED, QualityTarget
from mobile_kit.target_api.interface import Lowered, Target
from mobile_kit.target_api.registry import find_target

__all__ = []

# Toolchains allocate graphs of small objects by the million: Python's own 700 costs a tenth of the export's time.
OBJECTS_UNTIL_COLLECTION = 100_000
SHOW_EVERY_S = 2.0
# How often a mixed recipe's file is written, where it keeps less than the search promised.
TRIES = 3


def work(job: ExportJob, status: TextIO) -> None:
    """Lower, describe and verify; see the module's docstring for the status lines."""
    target = find_target(job.target)
    recipe = job.request.recipe
    _say(status, stage=f"lowering ({recipe.name})")
    write = _writer(job, target, status)
    wanted = asked = wanted_of(job.spec, job.wanted.by(recipe)) if recipe.quantized else NOTHING_ASKED
    lowered = write(asked)
    gc.collect()
    _say(status, stage="waiting for the oracle", lowered=True)
    if sys.stdin.readline().strip() != GOLDEN_READY:
        return
    report = _verified(job, target, lowered, status)
    for _ in range(TRIES - 1):
        further = stricter(wanted, asked, report) if recipe.mixed else None
        if further is None:
            break
        try:
            lowered, asked = write(further), further
        except UnsupportedError:
            break  # the file that is there says itself what it keeps
        gc.collect()
        report = _verified(job, target, lowered, status)
    write_report(report, job.folder)
    _say(status, stage=report.failure or "verified", done=True)


def _verified(job: ExportJob, target: Target, lowered: Lowered, status: TextIO) -> VerifyReport:
    """Describe the file in the artifact's manifest, and verify the artifact."""
    manifest = build_manifest(
        model=job.model_record,
        target=job.target,
        backend=job.request.backend,
        model_file=target.model_file,
        preprocess=job.preprocess,
        lowered=lowered,
        calibration=None if job.calibration is None else job.calibration[1],
        folder=job.folder,
        judged=job.judged,
    )
    write_manifest(job.folder, manifest)
    _say(status, stage="verifying")
    return verify(job.folder, fresh=True)


def measure(job: ExportJob, status: TextIO) -> None:
    """Measure what each part of a model costs in int8."""
    assert job.costs is not None
    _mixed(job, find_target(job.target), status).write_costs(job.costs)
    _say(status, stage="measured", done=True)


def _writer(job: ExportJob, target: Target, status: TextIO) -> Callable[[QualityTarget], Lowered]:
    """Return what writes the file; of a mixed recipe, one that keeps what it is given."""
    path = job.folder / target.model_file
    # The model has no name here, and nothing that holds it but a search: verification needs its room.
    if job.calibration is None:
        return lambda wanted: target.lower(_model(job, target), job.request, path)
    if job.request.recipe.mixed:
        mixed = _mixed(job, target, status)
        return lambda wanted: mixed.write(wanted, path)

    def write(wanted: QualityTarget) -> Lowered:
        samples = _samples(job, status)
        calibrated = target.calibrate(_model(job, target), job.request, samples, _own_folder(job))
        return calibrated.write(calibrated.static, path)

    return write


def _mixed(job: ExportJob, target: Target, status: TextIO) -> MixedModel:
    assert job.measurements is not None
    return MixedModel(
        target,
        _model(job, target),
        job.request,
        _samples(job, status),
        _own_folder(job),
        job.measurements,
        f"{job.preprocess} {job.entry}",
        lambda text: _say(status, stage=f"measuring {text}"),
    )


def _own_folder(job: ExportJob) -> Path:
    """Return a folder for the target's own files, which goes with the others of the export."""
    folder = job.folder.with_name(f"{job.name}-own")
    folder.mkdir()
    return folder


def _samples(job: ExportJob, status: TextIO) -> Samples:
    """Return the calibration images as the model's inputs, one of its stages each time that one is taken."""
    assert job.calibration is not None
    images = np.load(job.calibration[0], mmap_mode="r")
    first, *others = job.inputs
    shown = time.monotonic()

    def seen(number: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > SHOW_EVERY_S:
            shown = time.monotonic()
            _say(status, stage=f"calibrating, image {number} of {len(images)}")

    def enter(image: Array) -> Array:
        return job.preprocess.as_example(image, job.entry)

    return Samples(images, first.name, enter, further_inputs(others), seen)


def _model(job: ExportJob, target: Target) -> CommonModel:
    with job.model.open("rb") as stream:
        model: CommonModel = pickle.load(stream)  # noqa: S301  the parent process has just written it
    return attach(model, job.preprocess, job.entry, target.has_halves(job.request.recipe))


def _die_with(parent: int) -> None:
    """Kill this process, and those that it started, when the other end of a pipe closes."""

    def wait() -> None:
        os.read(parent, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Run the job whose pickle is named by the first argument; the second is the pipe of `_die_with`."""
    for parent in sys.argv[2:]:
        _die_with(int(parent))
    gc.set_threshold(OBJECTS_UNTIL_COLLECTION)
    # A node's history is never changed, and yet torch 2.13 copies the whole of it at each of a hundred passes: a sixth
    # of ExecuTorch's lowering. To go when torch shares it.
    NodeSource.__deepcopy__ = lambda source, memo: source  # type: ignore[attr-defined]
    job: ExportJob = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301
    status = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        (work if job.costs is None else measure)(job, status)
    except MobileKitError as exc:
        _say(status, error=str(exc))
        return 1
    except Exception as exc:
        traceback.print_exc()
        _say(status, crash=named_line(exc))
        return 1
    return 0


def _say(status: TextIO, **message: Any) -> None:
    status.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    sys.exit(main())
