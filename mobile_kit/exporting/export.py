"""The pipeline: a checkpoint in, verified artifacts out."""

from dataclasses import dataclass, replace
from pathlib import Path

from mobile_kit.artifacts.export_record import write_export
from mobile_kit.artifacts.golden import measure_golden, write_golden
from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.artifacts.results import keep_results
from mobile_kit.artifacts.staging import check_places, failed_path, move_to_place, staging_folder
from mobile_kit.artifacts.verification import read_report
from mobile_kit.exporting.job import ExportJob
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.exporting.plan import plan
from mobile_kit.exporting.prepare import Prepared, prepare
from mobile_kit.exporting.replacing import check_replaced, records_of
from mobile_kit.exporting.up_to_date import Origins, UpToDate, find_up_to_date, origins_of
from mobile_kit.exporting.worker_pool import run_jobs, threads_beside
from mobile_kit.progress import Progress
from mobile_kit.target_api.registry import broken_targets, install_command, missing_modules, targets

__all__ = ["ExportResult", "Exported", "export"]


@dataclass(frozen=True)
class Exported:
    """One finished artifact, and what verification said: "passed", "failed" or "not run", with the reason."""

    manifest: Manifest
    status: str
    detail: str

    @property
    def bytes(self) -> int:
        """Size of the model file, or of all files of a package."""
        return self.manifest.model_bytes


@dataclass(frozen=True)
class ExportResult:
    """The finished artifacts, one line for each target that failed beside them, and one for each left out.

    A target is left out where none was named and its toolchain isn't installed. up_to_date: whether the artifacts were
    there already, of the same checkpoint, options and tools.
    """

    artifacts: tuple[Exported, ...]
    failures: tuple[str, ...]
    skipped: tuple[str, ...]
    up_to_date: bool = False


def export(options: ExportOptions, progress: Progress | None = None) -> ExportResult:
    """Lower a checkpoint to every asked target and recipe, verify each file, and put the artifacts in place.

    An artifact is whole or not there; an existing one of the same checkpoint and options is replaced as a whole, but
    never by one that fails its verification: that one gets `-failed` behind its name. Where nothing has changed since
    an earlier export, its artifacts are returned. Where one target fails and others don't, the others are
    kept and the failure is listed.
    Raises: MobileKitError of the kind that fits; LoweringError, naming the log, where every toolchain failed.
    """
    choices = plan(options)
    progress = progress or Progress(quiet=True)
    found = find_up_to_date(options)
    if found:
        return ExportResult(tuple(map(_as_it_is, found)), (), (), up_to_date=True)
    origins = _origins(options)
    with staging_folder(options.out) as staging:
        prepared = prepare(options, choices, staging, progress)
        places = {job.name: options.out / prepared.name / job.name for job in prepared.jobs}
        check_places(places.values())
        records = {} if origins is None else records_of(options, origins, prepared.jobs)
        if not options.force:
            check_replaced(places, prepared.jobs, records)
        failures = run_jobs(prepared.jobs, progress, lambda: _answer(prepared, progress))
        done = [job for job in prepared.jobs if job.name not in failures]
        artifacts = []
        for job in done:
            if job.name in records:
                write_export(records[job.name], job.folder)
            artifacts.append(_publish(job, places[job.name], staging, progress))
        return ExportResult(tuple(artifacts), tuple(failures.values()), () if options.targets else _skipped())


def _origins(options: ExportOptions) -> Origins | None:
    try:
        return origins_of(options)
    except OSError:  # what can't be read is named by what reads it
        return None


def _as_it_is(found: UpToDate) -> Exported:
    """Return an artifact that is up to date as one that was made."""
    manifest = read_manifest(found.folder)
    report = read_report(manifest)
    assert report is not None, "an export's last act"
    return Exported(manifest, report.status, report.failure or "")


def _answer(prepared: Prepared, progress: Progress) -> None:
    """Write the golden files, which the workers wait for."""
    progress.stage("oracle", "Hugging Face answers for the golden photo")
    jobs = prepared.jobs
    folders = {job.folder: job.request.recipe for job in jobs}
    with threads_beside(len(jobs)):
        files = measure_golden(prepared.oracle, prepared.golden, jobs[0].inputs, folders.values())
    write_golden(files, jobs[0].model_record, folders)
    progress.stage("oracle", "done", done=True)


def _publish(job: ExportJob, place: Path, staging: Path, progress: Progress) -> Exported:
    """Move a finished artifact to its place, or beside it where it failed its verification.

    What was measured of the same file stays with it, and of another is kept beside it.
    """
    manifest = read_manifest(job.folder)
    report = read_report(manifest)
    assert report is not None, "a worker's last act"
    if report.status == "failed":
        place = failed_path(place)
    kept = keep_results(place, manifest, staging) if place.exists() else None
    if kept is not None:
        progress.note(f"{place.name}: what was measured of the file before it is in {kept}")
    move_to_place(job.folder, place, staging)
    return Exported(replace(manifest, folder=place), report.status, report.failure or "")


def _skipped() -> tuple[str, ...]:
    missing = (
        f"target {name!r}: left out, as its toolchain isn't installed. Run: {install_command(target)}"
        for name, target in targets().items()
        if missing_modules(target)
    )
    return (*missing, *(f"left out: {reason}" for reason in broken_targets().values()))
