"""The pipeline: a checkpoint in, verified artifacts out."""

import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mobile_kit.calibration import LEAST_IMAGES, Calibration, read_calibration
from mobile_kit.checkpoints import Checkpoint, load
from mobile_kit.errors import MobileKitError, UnsupportedError
from mobile_kit.families import Head
from mobile_kit.golden import Golden, write_golden
from mobile_kit.images import read_image
from mobile_kit.manifest import Manifest, model_record, read_manifest
from mobile_kit.oracle import Oracle
from mobile_kit.outputs import check_outputs, select_outputs
from mobile_kit.pool import WorkerPool
from mobile_kit.progress import Progress
from mobile_kit.quantization import QuantRecipe, recipe
from mobile_kit.samples import further_inputs
from mobile_kit.scenes import scene
from mobile_kit.spec import ModelSpec
from mobile_kit.staging import check_places, failed, move_to_place, staging_folder
from mobile_kit.target import (
    ModelCard,
    Request,
    Target,
    check_installed,
    check_request,
    find_target,
    install_command,
    installed_targets,
    missing_modules,
    targets,
)
from mobile_kit.worker import Job, write_pickle

__all__ = ["ExportOptions", "ExportResult", "Exported", "export"]

SLUG = re.compile(r"[^A-Za-z0-9._-]+")
# What workers may take together, and what one takes at its peak for each parameter: copies of the weights in float32.
MOST_BYTES, PEAK_BYTES = 12 * 10**9, 16


@dataclass(frozen=True)
class ExportOptions:
    """What to export. Null means the checkpoint's or the target's own default.

    targets: names, all installed ones where empty. outputs: names as `outputs.known_outputs` has them.
    pixel_values: the file takes the processor's result in place of image bytes. photo: becomes the golden photo.
    calibration: a folder of images, for static recipes; what is judged in lower precision is judged on them.
    min_sqnr: decibels that every quantized file must keep, in place of its recipe's own bound.
    """

    model: str
    out: Path
    targets: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("fp32",)
    head: str | None = None
    backend: str | None = None
    deployment_target: str | None = None
    image_size: tuple[int, int] | None = None
    pixel_values: bool = False
    outputs: tuple[str, ...] = ()
    revision: str | None = None
    random_weights: bool = False
    allow_pickle: bool = False
    photo: Path | None = None
    calibration: Path | None = None
    calibration_samples: int = 128
    min_sqnr: float | None = None


@dataclass(frozen=True)
class Exported:
    """One finished artifact, and what verification said: "passed", "failed" or "not run", with the reason."""

    manifest: Manifest
    status: str
    detail: str

    @property
    def bytes(self) -> int:
        """Size of the model file, or of all files of a package."""
        name = self.manifest.data["model_file"]
        files = self.manifest.data["files"].items()
        return sum(record["bytes"] for path, record in files if path == name or path.startswith(f"{name}/"))


@dataclass(frozen=True)
class ExportResult:
    """The finished artifacts, one line for each target that failed beside them, and one for each left out.

    A target is left out where none was named and its toolchain isn't installed.
    """

    artifacts: tuple[Exported, ...]
    failures: tuple[str, ...]
    skipped: tuple[str, ...]


class _Choice(NamedTuple):
    """One file to make."""

    target: Target
    recipe: QuantRecipe
    backend: str | None
    deployment_target: str | None

    @property
    def name(self) -> str:
        backend = f"-{self.backend}" if self.backend else ""
        return f"{self.target.name}{backend}-{self.recipe.name}"


def export(options: ExportOptions, progress: Progress | None = None) -> ExportResult:
    """Lower a checkpoint to every asked target and recipe, verify each file, and put the artifacts in place.

    An artifact is whole or not there; an existing one is replaced as a whole, but never by one that fails its
    verification: that one gets `-failed` behind its name. Where one target fails and others don't, the others are
    kept and the failure is listed.
    Raises: MobileKitError of the kind that fits; LoweringError, naming the log, where every toolchain failed.
    """
    plan = _plan(options)
    progress = progress or Progress(quiet=True)
    with staging_folder(options.out) as staging:
        checkpoint = _checkpoint(options, plan, progress)
        calibration = _calibration(options, checkpoint, progress)
        golden = _golden(options, checkpoint, calibration)
        slug = _slug(checkpoint.source)
        logs = options.out / "logs"
        handed = staging / "model.pkl"
        spec = _write_model(options, checkpoint, handed)
        job = partial(_job, options, checkpoint, spec, handed, _write_calibration(calibration, staging))
        jobs = [job(choice, logs / f"{slug}-{choice.name}.log") for choice in plan]
        oracle = Oracle(checkpoint, spec.outputs, further_inputs(spec.inputs[1:]))
        _check_oracle(oracle, golden.photo, progress)
        places = {job.name: options.out / slug / job.name for job in jobs}
        check_places(places.values())
        failures = _run(jobs, oracle, golden, progress)
        done = [job for job in jobs if job.name not in failures]
        artifacts = tuple(_publish(job, places[job.name], staging) for job in done)
        return ExportResult(artifacts, tuple(failures.values()), () if options.targets else _skipped())


def _checkpoint(options: ExportOptions, plan: list[_Choice], progress: Progress) -> Checkpoint:
    progress.stage("checkpoint", f"loading {options.model}")
    return load(
        options.model,
        head=options.head,
        revision=options.revision,
        image_size=options.image_size,
        random_weights=options.random_weights,
        allow_pickle=options.allow_pickle,
        check=lambda head, parameters: _check(options, plan, head, parameters),
    )


def _calibration(options: ExportOptions, checkpoint: Checkpoint, progress: Progress) -> Calibration | None:
    """Read the calibration images; null where none are given."""
    if options.calibration is None:
        return None
    progress.stage("calibration", f"reading images from {options.calibration}")
    found = read_calibration(options.calibration, checkpoint.preprocess, options.calibration_samples)
    if found.unreadable:
        progress.note(f"calibration: {len(found.unreadable)} files can't be decoded: {', '.join(found.unreadable)}")
    progress.stage("calibration", f"{len(found.images)} images", done=True)
    return found


def _write_calibration(calibration: Calibration | None, folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Leave calibration images in a file for the workers; return it, and what the manifest says of them."""
    if calibration is None:
        return None
    path = folder / "calibration.npy"
    np.save(path, calibration.images)
    return path, calibration.record


def _golden(options: ExportOptions, checkpoint: Checkpoint, calibration: Calibration | None) -> Golden:
    """Return what the files are judged on; the photo is what was asked for, or a calibration image, or a scene."""
    channels = checkpoint.preprocess.channels
    if options.photo is not None:
        photo = read_image(options.photo, channels)
    else:
        photo = scene(1)[:, :, :channels] if calibration is None else calibration.photo
    return Golden(photo, None if calibration is None else calibration.images, options.min_sqnr)


def _check(options: ExportOptions, plan: list[_Choice], head: Head, parameters: int) -> None:
    """Raise UnsupportedError for an unknown output, and where a format has no room for so many parameters."""
    check_outputs(head, options.outputs)
    full = {c.target.name: most for c in plan if (most := c.target.most_parameters) is not None and parameters > most}
    if not full:
        return
    name, most = next(iter(full.items()))
    others = ",".join(dict.fromkeys(choice.target.name for choice in plan if choice.target.name not in full))
    raise UnsupportedError(
        f"model {options.model!r} for target {name!r}: has {parameters:,} parameters, and its files hold at most "
        f"{most:,}. Choose another --target{f', such as {others}' if others else ''}."
    )


def _check_oracle(oracle: Oracle, photo: NDArray[np.uint8], progress: Progress) -> None:
    """Refuse a checkpoint that nothing could be proven against. Its family has taken the image size by now."""
    progress.stage("checkpoint", "looking at two photos")
    oracle.check_preprocess(photo)
    oracle.check_sight(photo)
    progress.stage("checkpoint", "loaded", done=True)


def _plan(options: ExportOptions) -> list[_Choice]:
    """Check everything that can be checked before any work."""
    chosen = [find_target(name) for name in options.targets or installed_targets()]
    for target in chosen:
        check_installed(target)
    # A choice that only some targets offer is theirs; where none offers it, it is refused.
    backends = [(target, _own(options.backend, target.backends, [t.backends for t in chosen])) for target in chosen]
    systems = [target.deployment_targets(backend) for target, backend in backends]
    plan = []
    for (target, backend), offered in zip(backends, systems, strict=True):
        system = _own(options.deployment_target, offered, systems)
        # An alias may stand beside what it means.
        for used in dict.fromkeys(recipe(name) for name in options.recipes):
            check_request(target, used, backend, system)
            _check_calibration(options, used)
            plan.append(_Choice(target, used, backend, system))
    return plan


def _check_calibration(options: ExportOptions, used: QuantRecipe) -> None:
    if used.calibrated and options.calibration is None:
        raise UnsupportedError(
            f"recipe {used.name!r}: measures the activations' ranges on images, and none were given. Add --calibration "
            f"with a folder of at least {LEAST_IMAGES}, better 100, such as the app will see."
        )
    if used.calibrated and options.calibration_samples < LEAST_IMAGES:
        raise UnsupportedError(
            f"--calibration-samples {options.calibration_samples}: fewer than {LEAST_IMAGES} say little. "
            "Give more, or leave it out."
        )


def _own(asked: str | None, offered: tuple[str, ...], everywhere: Iterable[tuple[str, ...]]) -> str | None:
    """Return a target's part of a choice: what was asked, its default, or nothing where it has no such choice."""
    if not offered:
        return None if any(everywhere) else asked
    return asked or offered[0]


def _skipped() -> tuple[str, ...]:
    return tuple(
        f"target {name!r}: left out, as its toolchain isn't installed. Run: {install_command(target)}"
        for name, target in targets().items()
        if missing_modules(target)
    )


def _card(options: ExportOptions, checkpoint: Checkpoint) -> ModelCard:
    owner, _, name = checkpoint.source.rpartition("/")
    return ModelCard(
        name=_slug(checkpoint.source),
        description=f"{checkpoint.family.name} {checkpoint.head.name} exported from {name} by mobile_kit; "
        + ("takes the processor's pixel_values" if options.pixel_values else "colour order and scale are in the model"),
        author=owner or None,
        license=checkpoint.license,
        source=checkpoint.source,
        version=checkpoint.revision,
    )


def _job(
    options: ExportOptions,
    checkpoint: Checkpoint,
    spec: ModelSpec,
    model: Path,
    calibration: tuple[Path, dict[str, Any]] | None,
    choice: _Choice,
    log: Path,
) -> Job:
    """Write what a worker needs to make one file from the common model's pickle."""
    folder = model.parent / choice.name
    folder.mkdir()
    if spec.labels is not None:
        (folder / "labels.txt").write_text("\n".join(spec.labels) + "\n", encoding="utf-8")
    job = Job(
        name=choice.name,
        target=choice.target.name,
        model=model,
        spec=spec,
        entry="pixel_values" if options.pixel_values else choice.target.entry,
        request=Request(choice.recipe, choice.backend, choice.deployment_target, _card(options, checkpoint)),
        preprocess=checkpoint.preprocess,
        model_record=model_record(
            spec, checkpoint.source, checkpoint.revision, checkpoint.license, checkpoint.random_weights
        ),
        folder=folder,
        log=log,
        calibration=calibration if choice.recipe.calibrated else None,
    )
    write_pickle(job, job.handed)
    return job


def _write_model(options: ExportOptions, checkpoint: Checkpoint, path: Path) -> ModelSpec:
    """Build the common model and pickle it; return its spec."""
    head = checkpoint.head
    optional = tuple(name for name in options.outputs if name in head.optional)
    built = checkpoint.family.build(checkpoint.model, head.name, checkpoint.image_size, optional)
    model = select_outputs(built, head, options.outputs)
    write_pickle(model, path)
    return model.spec


def _run(jobs: list[Job], oracle: Oracle, golden: Golden, progress: Progress) -> dict[str, str]:
    """Lower all jobs in worker processes while the oracle computes its answers here.

    Returns: what went wrong, by job, where something else went well. Raises: the first error where nothing did.
    """
    workers = WorkerPool(progress)
    together = max(MOST_BYTES // (PEAK_BYTES * jobs[0].model_record["num_parameters"]), 1)
    with ThreadPoolExecutor(max_workers=min(len(jobs), os.cpu_count() or 1, together)) as threads:
        futures = {job.name: threads.submit(workers.run, job) for job in jobs}
        try:
            progress.stage("oracle", "Hugging Face answers for the golden photo")
            folders = {job.folder: job.request.recipe for job in jobs}
            write_golden(oracle, golden, jobs[0].inputs, folders, jobs[0].model_record)
            progress.stage("oracle", "done", done=True)
            workers.golden.set()
            errors = {name: error for name, future in futures.items() if (error := future.exception()) is not None}
        except BaseException:
            workers.stop()
            raise
    for error in errors.values():
        if not isinstance(error, MobileKitError) or len(errors) == len(jobs):
            raise error
    return {name: str(error) for name, error in errors.items()}


def _publish(job: Job, place: Path, staging: Path) -> Exported:
    """Move a finished artifact to its place, or beside it where it failed its verification."""
    report = json.loads((job.folder / "verify.json").read_text(encoding="utf-8"))
    if report["status"] == "failed":
        place = failed(place)
    move_to_place(job.folder, place, staging)
    return Exported(read_manifest(place), report["status"], report["failure"] or "")


def _slug(source: str) -> str:
    return SLUG.sub("-", source.rpartition("/")[2]).strip("-.") or "model"
