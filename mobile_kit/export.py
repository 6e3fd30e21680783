"""The pipeline: a checkpoint in, verified artifacts out."""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mobile_kit.checkpoints import Checkpoint, load
from mobile_kit.errors import MobileKitError, UnsupportedError
from mobile_kit.families import Head
from mobile_kit.golden import write_golden
from mobile_kit.images import read_image
from mobile_kit.manifest import MANIFEST, Manifest, model_record, read_manifest
from mobile_kit.oracle import Oracle
from mobile_kit.outputs import check_outputs, select_outputs
from mobile_kit.pool import WorkerPool
from mobile_kit.progress import Progress
from mobile_kit.quantization import QuantRecipe, recipe
from mobile_kit.samples import further_inputs
from mobile_kit.scenes import scene
from mobile_kit.spec import ModelSpec
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
    with _staging(options.out) as staging:
        checkpoint, photo = _checkpoint(options, plan, progress)
        slug = _slug(checkpoint.source)
        logs = options.out / "logs"
        handed = staging / "model.pkl"
        spec = _write_model(options, checkpoint, handed)
        jobs = [_job(options, checkpoint, spec, choice, handed, logs / f"{slug}-{choice.name}.log") for choice in plan]
        oracle = Oracle(checkpoint, spec.outputs, further_inputs(spec.inputs[1:]))
        _check_oracle(oracle, photo, progress)
        places = {job.name: options.out / slug / job.name for job in jobs}
        _check_places(places.values())
        failures = _run(jobs, oracle, photo, progress)
        done = [job for job in jobs if job.name not in failures]
        artifacts = tuple(_publish(job, places[job.name], staging) for job in done)
        return ExportResult(artifacts, tuple(failures.values()), () if options.targets else _skipped())


def _checkpoint(
    options: ExportOptions, plan: list[_Choice], progress: Progress
) -> tuple[Checkpoint, NDArray[np.uint8]]:
    """Load the checkpoint and the golden photo, (H, W, C) uint8."""
    progress.stage("checkpoint", f"loading {options.model}")
    checkpoint = load(
        options.model,
        head=options.head,
        revision=options.revision,
        image_size=options.image_size,
        random_weights=options.random_weights,
        allow_pickle=options.allow_pickle,
        check=lambda head, parameters: _check(options, plan, head, parameters),
    )
    channels = checkpoint.preprocess.channels
    photo = scene(1)[:, :, :channels] if options.photo is None else read_image(options.photo, channels)
    return checkpoint, photo


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
        for name in options.recipes:
            check_request(target, recipe(name), backend, system)
            plan.append(_Choice(target, recipe(name), backend, system))
    return plan


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
    options: ExportOptions, checkpoint: Checkpoint, spec: ModelSpec, choice: _Choice, model: Path, log: Path
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


def _run(jobs: list[Job], oracle: Oracle, photo: NDArray[np.uint8], progress: Progress) -> dict[str, str]:
    """Lower all jobs in worker processes while the oracle computes its answers here.

    Returns: what went wrong, by job, where something else went well. Raises: the first error where nothing did.
    """
    workers = WorkerPool(progress)
    together = max(MOST_BYTES // (PEAK_BYTES * jobs[0].model_record["num_parameters"]), 1)
    with ThreadPoolExecutor(max_workers=min(len(jobs), os.cpu_count() or 1, together)) as threads:
        futures = {job.name: threads.submit(workers.run, job) for job in jobs}
        try:
            progress.stage("oracle", "Hugging Face answers for the golden photo")
            folders = {job.folder: job.half for job in jobs}
            write_golden(oracle, photo, jobs[0].inputs, folders, jobs[0].model_record)
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


@contextlib.contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """Give a folder beside the artifacts' places, removed at the end whatever happens."""
    made = [path for path in (out, *out.parents) if not path.exists()]
    staging = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=out))
        yield staging
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise MobileKitError(
                f"output folder {out}: the disk is full. Free some space, or choose another --out."
            ) from exc
        if staging is None or exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise MobileKitError(
                f"output folder {out}: can't be written ({exc.strerror}). Choose another --out."
            ) from exc
        raise
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for path in (out / "logs", *made):
            with contextlib.suppress(OSError):
                path.rmdir()  # what stayed empty


def _check_places(places: Iterable[Path]) -> None:
    """Raise UnsupportedError where something else than an artifact would be replaced."""
    for place in (path for asked in places for path in (asked, _failed(asked))):
        if place.exists() and not (place / MANIFEST).is_file():
            raise UnsupportedError(
                f"output folder {place}: exists and is no artifact. Move it away, or choose another --out."
            )


def _failed(place: Path) -> Path:
    """Return where an artifact goes that fails its verification."""
    return place.with_name(f"{place.name}-failed")


def _publish(job: Job, place: Path, staging: Path) -> Exported:
    """Move a finished artifact to its place, an older one out of the way first."""
    report = json.loads((job.folder / "verify.json").read_text(encoding="utf-8"))
    if report["status"] == "failed":
        place = _failed(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    old = staging / f"old-{job.name}"
    if place.exists():
        place.rename(old)
    try:
        job.folder.rename(place)
    except BaseException:
        if old.exists():
            old.rename(place)
        raise
    return Exported(read_manifest(place), report["status"], report["failure"] or "")


def _slug(source: str) -> str:
    return SLUG.sub("-", source.rpartition("/")[2]).strip("-.") or "model"
