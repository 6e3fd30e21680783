"""What an export hands to its workers: the checkpoint, its common model, calibration images, and a job a file."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit.artifacts.layout import LABELS, LOGS
from mobile_kit.artifacts.manifest import model_record
from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.errors import UnsupportedError
from mobile_kit.exporting.job import ExportJob, write_pickle
from mobile_kit.exporting.plan import Choice, ExportOptions
from mobile_kit.models.family import Head
from mobile_kit.models.outputs import check_outputs, select_outputs
from mobile_kit.models.spec import ModelSpec
from mobile_kit.progress import Progress
from mobile_kit.quantization.calibration import Calibration, read_calibration
from mobile_kit.target_api.interface import ModelCard, Request

__all__ = ["Prepared", "prepare", "slug"]

SLUG = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Prepared:
    """A loaded checkpoint, the spec of its common model, the calibration images, and a job for each choice."""

    checkpoint: Checkpoint
    spec: ModelSpec
    calibration: Calibration | None
    jobs: list[ExportJob]


def prepare(
    options: ExportOptions, choices: list[Choice], staging: Path, progress: Progress, measures_only: bool = False
) -> Prepared:
    """Load what is asked and write what the workers need into a folder.

    measures_only: the jobs measure what each part costs, and make no file. Raises: MobileKitError of the kind that
    fits.
    """
    checkpoint = _checkpoint(options, choices, progress)
    calibration = _calibration(options, checkpoint, progress)
    handed = staging / "model.pkl"
    spec = _write_model(options, checkpoint, handed)
    job = partial(_job, options, checkpoint, spec, handed, _write_calibration(calibration, staging), measures_only)
    return Prepared(checkpoint, spec, calibration, [job(choice) for choice in choices])


def _checkpoint(options: ExportOptions, plan: list[Choice], progress: Progress) -> Checkpoint:
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


def _check(options: ExportOptions, plan: list[Choice], head: Head, parameters: int) -> None:
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


def _calibration(options: ExportOptions, checkpoint: Checkpoint, progress: Progress) -> Calibration | None:
    """Read the calibration images; null where none are given."""
    if options.calibration is None:
        return None
    progress.stage("calibration", f"reading images from {options.calibration}")
    found = read_calibration(options.calibration, checkpoint.preprocess, options.calibration_samples)
    if found.unreadable:
        progress.note(f"calibration: {len(found.unreadable)} files can't be decoded: {', '.join(found.unreadable)}")
    if found.gray:
        progress.note("calibration: all images are gray, and the model reads colours; are they what the app will see?")
    progress.stage("calibration", f"{len(found.images)} images", done=True)
    return found


def _write_calibration(calibration: Calibration | None, folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Leave calibration images in a file for the workers; return it, and what the manifest says of them."""
    if calibration is None:
        return None
    path = folder / "calibration.npy"
    np.save(path, calibration.images)
    return path, calibration.record


def _write_model(options: ExportOptions, checkpoint: Checkpoint, path: Path) -> ModelSpec:
    """Build the common model and pickle it; return its spec."""
    head = checkpoint.head
    optional = tuple(name for name in options.outputs if name in head.optional)
    built = checkpoint.family.build(checkpoint.model, head.name, checkpoint.image_size, optional)
    model = select_outputs(built, head, options.outputs)
    _check_wanted(options, model.spec)
    write_pickle(model, path)
    return model.spec


def _check_wanted(options: ExportOptions, spec: ModelSpec) -> None:
    """Raise UnsupportedError where something is asked of outputs that don't have it."""
    decided = any(out.meaning in {"logits", "mask"} for out in spec.outputs) and spec.num_labels != 1
    if options.min_agreement is not None and not decided:
        raise UnsupportedError(
            f"--min-agreement {options.min_agreement}: head {spec.head!r} decides between no classes. "
            "Give --min-sqnr instead."
        )
    if options.min_sqnr is not None and all(out.meaning == "mask" for out in spec.outputs):
        raise UnsupportedError(
            f"--min-sqnr {options.min_sqnr}: class maps have no decibels. Give --min-agreement instead."
        )


def _job(
    options: ExportOptions,
    checkpoint: Checkpoint,
    spec: ModelSpec,
    model: Path,
    calibration: tuple[Path, dict[str, Any]] | None,
    measures_only: bool,
    choice: Choice,
) -> ExportJob:
    """Write what a worker needs to make one file from the common model's pickle."""
    folder = model.parent / choice.name
    folder.mkdir()
    if spec.labels is not None:
        (folder / LABELS).write_text("\n".join(spec.labels) + "\n", encoding="utf-8")
    measurements = options.out / "sensitivity" / f"{slug(checkpoint.source)}-{choice.place}"
    job = ExportJob(
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
        log=options.out / LOGS / f"{slug(checkpoint.source)}-{choice.name}.log",
        calibration=calibration if choice.recipe.calibrated else None,
        wanted=options.wanted,
        measurements=measurements,
        costs=measurements.with_name(f"{measurements.name}.json") if measures_only else None,
    )
    write_pickle(job, job.handed)
    return job


def _card(options: ExportOptions, checkpoint: Checkpoint) -> ModelCard:
    owner, _, name = checkpoint.source.rpartition("/")
    return ModelCard(
        name=slug(checkpoint.source),
        description=f"{checkpoint.family.name} {checkpoint.head.name} exported from {name} by mobile_kit; "
        + ("takes the processor's pixel_values" if options.pixel_values else "colour order and scale are in the model"),
        author=owner or None,
        license=checkpoint.license,
        source=checkpoint.source,
        version=checkpoint.revision,
    )


def slug(source: str) -> str:
    """Return what the folder of a checkpoint's artifacts is called."""
    return SLUG.sub("-", source.rpartition("/")[2]).strip("-.") or "model"
