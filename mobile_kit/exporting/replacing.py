"""What an export would replace: artifacts of the same checkpoint and options, and no others unless that is asked."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mobile_kit.artifacts.export_record import ExportRecord, read_export
from mobile_kit.artifacts.layout import MANIFEST
from mobile_kit.artifacts.manifest import GOLDEN_PHOTO
from mobile_kit.artifacts.staging import failed_path
from mobile_kit.errors import UnsupportedError, shown
from mobile_kit.exporting.job import ExportJob
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.exporting.up_to_date import Origins, request_of
from mobile_kit.reading import ReadError, read_json_object

__all__ = ["check_replaced", "records_of"]

NAMES = {"calibration": "calibration images", "judged": "--judge-on images", "photo": "--photo"}
WAY = "Add --force to replace it, or --name for another folder"


def records_of(options: ExportOptions, origins: Origins, jobs: Iterable[ExportJob]) -> dict[str, ExportRecord]:
    """Return what the artifacts of an export are made of, by their names."""
    jobs, request = list(jobs), request_of(options, origins)
    names = tuple(job.name for job in jobs)
    return {
        job.name: ExportRecord(
            schema_version=1,
            request=request,
            artifacts=names,
            options=_described(job, options),
            judged_on=str(job.judged) if job.request.recipe.weight_bits < 32 else GOLDEN_PHOTO,
            checkpoint=origins.checkpoint,
            calibration=origins.calibration if job.request.recipe.weight_bits < 32 else None,
            judged=origins.judged if job.request.recipe.weight_bits < 32 else None,
            photo=origins.photo,
        )
        for job in jobs
    }


def check_replaced(places: Mapping[str, Path], jobs: Iterable[ExportJob], records: Mapping[str, ExportRecord]) -> None:
    """Raise UnsupportedError where an artifact of another checkpoint, or of other options, would be replaced.

    places, records: by the jobs' names; no records where nothing is known of the checkpoint's origin.
    """
    for job in jobs:
        for place in (places[job.name], failed_path(places[job.name])):
            if (place / MANIFEST).is_file():
                apart = _apart(read_export(place), records.get(job.name)) or _apart_as_described(place, job)
                if apart is not None:
                    raise UnsupportedError(f"artifact {place}: {apart}. {WAY}.")


def _described(job: ExportJob, options: ExportOptions) -> dict[str, str]:
    """Return in words what was asked that bears on a file."""
    height, width = job.spec.image_size
    asked = {
        "head": job.spec.head,
        "image size": f"{height}x{width}",
        "input": "pixel_values" if options.pixel_values else "image",
        "outputs": ", ".join(out.name for out in job.spec.outputs),
        "deployment target": job.request.deployment_target or "none",
    }
    if job.request.recipe.weight_bits < 32:
        asked |= {
            "calibration samples": str(options.calibration_samples),
            "least SQNR": _decibels(options.min_sqnr),
            "least agreement": "its recipe's" if options.min_agreement is None else str(options.min_agreement),
            "judged images in the artifact": "yes" if options.samples else "no",
        }
    return asked


def _decibels(least: float | None) -> str:
    return "its recipe's" if least is None else f"{least} dB"


def _apart(before: ExportRecord | None, now: ExportRecord | None) -> str | None:
    """Return what an artifact was made of that another would not be; None where nothing is known."""
    if before is None or now is None:
        return None
    if not before.checkpoint.is_same(now.checkpoint):
        return "is of another checkpoint"
    for what in ("calibration", "judged", "photo"):
        then, asked = getattr(before, what), getattr(now, what)
        if then != asked and (then is None or not then.is_same(asked)):
            return f"was exported with {'no' if then is None else 'another'} {NAMES[what]}"
    for key, asked in now.options.items():
        if before.options.get(key, asked) != asked:
            return f"was exported with {key} {before.options[key]}, and {asked} is asked"
    return None


def _apart_as_described(place: Path, job: ExportJob) -> str | None:
    """Return what a manifest says of a model that a job's wouldn't: all that is known of an older version's."""
    try:
        model = read_json_object(place / MANIFEST).get("model")
    except ReadError:
        return None
    then = model if isinstance(model, dict) else {}
    ours = {"source": job.model_record.source, "head": job.spec.head, "image_size": list(job.spec.image_size)}
    for key, asked in ours.items():
        if key in then and then[key] != asked:
            return f"was exported with {key} {shown(then[key])}, and {shown(asked)} is asked"
    return None
