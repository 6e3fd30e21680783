"""What an export begins with: the checkpoint as oracle, what files are judged on, and a job a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit.artifacts.golden import Golden
from mobile_kit.artifacts.golden_inputs import further_inputs
from mobile_kit.artifacts.layout import LABELS, LOGS, SCENES_FILE
from mobile_kit.artifacts.manifest_record import JudgedRecord, ModelRecord
from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import UnsupportedError
from mobile_kit.exporting.artifact_names import check_name, folder_name, slug
from mobile_kit.exporting.job import ExportJob, write_pickle
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.exporting.plan import Choice
from mobile_kit.models.family import Head, with_activation
from mobile_kit.models.outputs import check_outputs, select_outputs
from mobile_kit.models.spec import ModelSpec
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.progress import Progress
from mobile_kit.quantization.calibration import Calibration, CalibrationRecord, Judged, read_calibration, read_judged
from mobile_kit.target_api.interface import ModelCard, Request

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A checkpoint that sees its input, as the oracle, what files are judged on, and a job for each choice.

    name: what the folder of its artifacts is called.
    """

    name: str
    oracle: Oracle
    golden: Golden
    jobs: list[ExportJob]


@dataclass(frozen=True)
class _Handed:
    """What all jobs of an export share, in files: the common model's pickle, and the calibration images.

    judged: what the manifest says of what files are judged on. calibration: the file, and what the manifest says of the
    images.
    """

    model: Path
    spec: ModelSpec
    judged: JudgedRecord
    calibration: tuple[Path, CalibrationRecord] | None


def prepare(
    options: ExportOptions, choices: list[Choice], staging: Path, progress: Progress, measures_only: bool = False
) -> Prepared:
    """Load what is asked and write what the workers need into a folder.

    measures_only: the jobs measure what each part costs, and make no file. Raises: MobileKitError of the kind that
    fits.
    """
    check_name(options.name)
    checkpoint = _checkpoint(options, choices, progress)
    name = folder_name(checkpoint, options.name)
    calibration = _calibration(options, checkpoint, progress)
    judged = _judged(options, checkpoint, calibration, progress)
    handed = _hand_over(options, checkpoint, calibration, _judged_record(options, judged), staging)
    golden = _golden(options, checkpoint, judged)
    oracle = _oracle(checkpoint, handed.spec, golden, progress)
    jobs = [_job(options, checkpoint, name, handed, measures_only, choice) for choice in choices]
    return Prepared(name, oracle, golden, jobs)


def _checkpoint(options: ExportOptions, plan: list[Choice], progress: Progress) -> Checkpoint:
    progress.stage("checkpoint", f"loading {options.model}")
    checkpoint = load(
        options.model,
        head=options.head,
        revision=options.revision,
        image_size=options.image_size,
        random_weights=options.random_weights,
        allow_pickle=options.allow_pickle,
        weights_prefix=options.weights_prefix,
        any_channels=options.pixel_values,
        check=lambda head, parameters: _check(options, plan, head, parameters),
    )
    for note in checkpoint.notes:
        progress.note(note)
    return checkpoint


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
    """Read the calibration images; None where none are given."""
    if options.calibration is None:
        return None
    progress.stage("calibration", f"reading images from {options.calibration}")
    held_out = options.judge_on is None
    found = read_calibration(options.calibration, checkpoint.preprocess, options.calibration_samples, held_out)
    for note in found.notes:
        progress.note(note)
    progress.stage("calibration", f"{len(found.images)} images", done=True)
    return found


def _judged(
    options: ExportOptions, checkpoint: Checkpoint, calibration: Calibration | None, progress: Progress
) -> Judged | None:
    """Return the images that files of lower precision are judged on; None for drawn scenes."""
    if options.judge_on is None:
        judged = None if calibration is None else calibration.judged
    else:
        calibrated = None if calibration is None else calibration.images
        judged = read_judged(options.judge_on, checkpoint.preprocess, calibrated)
    if judged is None:
        return None
    if judged.seen:
        progress.note(f"judged: {judged.seen} of {len(judged.images)} images are calibrated on too, and prove less")
    held = "held out of the calibration images" if judged.held_out else f"of {options.judge_on}"
    where = f"they lie in the artifacts, in {SCENES_FILE}; --no-samples leaves them out"
    kept = where if options.samples else "and they stay out of the artifacts"
    progress.note(f"judged: files of lower precision on {len(judged.images)} images {held}; {kept}")
    return judged


def _hand_over(
    options: ExportOptions,
    checkpoint: Checkpoint,
    calibration: Calibration | None,
    judged: JudgedRecord,
    staging: Path,
) -> _Handed:
    """Build the common model and pickle it, and leave calibration images in a file."""
    head, path = checkpoint.head, staging / "model.pkl"
    optional = tuple(name for name in options.outputs if name in head.optional)
    built = checkpoint.family.build(checkpoint.model, head.name, checkpoint.image_size, optional)
    # Of a family that doesn't say it.
    built.spec = with_activation(built.spec, checkpoint.model.config)
    model = select_outputs(built, head, options.outputs)
    _check_wanted(options, model.spec)
    write_pickle(model, path)
    if calibration is None:
        return _Handed(path, model.spec, judged, None)
    images = staging / "calibration.npy"
    np.save(images, calibration.images)
    return _Handed(path, model.spec, judged, (images, calibration.record))


def _golden(options: ExportOptions, checkpoint: Checkpoint, judged: Judged | None) -> Golden:
    """Return what the files are judged on; the photo is what was asked for, or one of the images, or a scene."""
    channels = checkpoint.preprocess.channels
    if options.photo is not None:
        photo = read_image(options.photo, channels)
    else:
        photo = judged.photo if judged is not None and options.samples else scene(1, channels=channels)
    return Golden(photo, None if judged is None else judged.images, options.wanted, options.samples)


def _judged_record(options: ExportOptions, judged: Judged | None) -> JudgedRecord:
    """Return what the manifest says of the images that files are judged on."""
    if judged is None:
        return JudgedRecord("drawn scenes", None, None, stored=True)
    on: Any = "held-out images" if judged.held_out else "other images"
    return JudgedRecord(on, len(judged.images), judged.sha256, options.samples)


def _oracle(checkpoint: Checkpoint, spec: ModelSpec, golden: Golden, progress: Progress) -> Oracle:
    """Return the oracle; refuse a checkpoint that nothing could be proven against.

    Its family has taken the image size by now.
    """
    progress.stage("checkpoint", "looking at two photos")
    oracle = Oracle(checkpoint, spec.outputs, further_inputs(spec.inputs[1:]))
    oracle.check_preprocess(golden.photo)
    # A gray photo says nothing of the order of colours.
    oracle.check_preprocess(scene(1, channels=checkpoint.preprocess.channels))
    oracle.check_sight(golden.photo)
    progress.stage("checkpoint", "loaded", done=True)
    return oracle


def _check_wanted(options: ExportOptions, spec: ModelSpec) -> None:
    """Raise UnsupportedError where something is asked of outputs that don't have it."""
    decided = any(out.meaning in {"logits", "mask"} for out in spec.outputs)
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
    options: ExportOptions, checkpoint: Checkpoint, name: str, handed: _Handed, measures_only: bool, choice: Choice
) -> ExportJob:
    """Write what a worker needs to make one file."""
    spec, folder = handed.spec, handed.model.parent / choice.name
    folder.mkdir()
    if spec.labels is not None:
        (folder / LABELS).write_text("\n".join(spec.labels) + "\n", encoding="utf-8")
    measurements = options.out / "sensitivity" / f"{name}-{choice.place}"
    job = ExportJob(
        name=choice.name,
        target=choice.target.name,
        model=handed.model,
        spec=spec,
        entry="pixel_values" if options.pixel_values else choice.target.entry,
        request=Request(choice.recipe, choice.backend, choice.deployment_target, _card(options, checkpoint)),
        preprocess=checkpoint.preprocess,
        model_record=ModelRecord.of(
            spec, checkpoint.source, checkpoint.revision, checkpoint.license, checkpoint.random_weights
        ),
        judged=handed.judged,
        folder=folder,
        kept_log=options.out / LOGS / f"{name}-{choice.name}.log",
        calibration=handed.calibration if choice.recipe.calibrated else None,
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
