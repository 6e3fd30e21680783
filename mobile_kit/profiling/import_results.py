"""Results that other tools measured, as the kit's own: each format has an importer, of a target or in `formats`."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.artifacts.manifest import Manifest, read_manifest
from mobile_kit.errors import ResultError
from mobile_kit.measurements.importers import IMPORTERS
from mobile_kit.measurements.importers.base import Importer
from mobile_kit.measurements.result import ModelInfo, Result, write_results
from mobile_kit.profiling.validity import model_info, with_validity
from mobile_kit.target_api.registry import targets

__all__ = ["import_results", "importers"]

HEAD_BYTES = 1 << 16
# How far a size in megabytes may be from the file's: of two decimals, or of six digits.
ROUNDED_BYTES, ROUNDED = 5000, 1e-5
# So many values that weren't read are named.
NAMED = 5


def import_results(
    path: Path, artifact: Path, etrecord: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> list[Result]:
    """Read what another tool measured of an artifact, and leave `profile-import-FILE-HASH.json` in it.

    etrecord: of an ETDump. tell: is given a line on what the file has that isn't known.
    Raises: ArtifactError; ResultError for a file that can't be read, or is of another model; MissingToolError.
    """
    manifest = read_manifest(artifact)
    importer = _importer(path)
    if etrecord is not None:
        _check_record(path, importer, etrecord)
    try:
        found = importer.read(path, etrecord)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if found.unread:
        more = f" and {len(found.unread) - NAMED} more" if len(found.unread) > NAMED else ""
        tell(f"result {path.name}: not known and left out: {', '.join(found.unread[:NAMED])}{more}.")
    digest = _sha256(path)
    results = [_finished(result, manifest, digest) for result in _of(manifest, path, found.results)]
    # Some tools call every result alike.
    write_results(results, manifest.folder / profile_name(f"import-{path.stem}-{digest[:8]}"))
    return results


def importers() -> tuple[Importer, ...]:
    """Return all importers: those of the kit, then those of each target."""
    return (*IMPORTERS, *(importer for target in targets().values() for importer in target.importers))


def _importer(path: Path) -> Importer:
    """Return the importer of a file. Raises: ResultError with the known formats."""
    try:
        if path.is_dir():
            head = b""
        else:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if not head and not path.is_dir():
        raise ResultError(f"result {path.name}: is empty. Give the file as the tool wrote it.")
    for importer in importers():
        if importer.knows(path, head):
            return importer
    known = "; ".join(importer.name for importer in importers())
    raise ResultError(f"result {path.name}: is of no known format. Known: {known}.")


def _check_record(path: Path, importer: Importer, record: Path) -> None:
    if not importer.takes_record:
        raise ResultError(
            f"result {path.name}: is {importer.name}, and an ETRecord is of an ETDump. Leave --etrecord out."
        )
    if not record.is_file():
        raise ResultError(
            f"ETRecord {record.name}: isn't there. Give the file that was written when the .pte was made."
        )


def _of(manifest: Manifest, path: Path, results: Sequence[Result]) -> list[Result]:
    """Return the results that are of an artifact.

    Raises: ResultError where a file is plainly of another model, or of several, of which none is named as this one is.
    """
    own = model_info(manifest)
    reasons = [_stranger(result.model, own, manifest) for result in results]
    kept = [result for result, reason in zip(results, reasons, strict=True) if reason is None]
    if not kept:
        why = reasons[0] if reasons else "it has no result"
        raise ResultError(f"result {path.name}: isn't of artifact {own.name}: {why}. Give the one it was measured of.")
    models = sorted({result.model.name for result in kept if result.model.sha256 is None})
    if len(models) > 1:
        alike = {own.name, manifest.folder.resolve().parent.name, manifest.record.model_file}
        kept = [result for result in kept if result.model.name in alike]
        if not kept:
            raise ResultError(
                f"result {path.name}: is of several models ({', '.join(models)}), of which none is called "
                f"{' or '.join(sorted(alike))}. Give a file of one model."
            )
    return kept


def _stranger(said: ModelInfo, own: ModelInfo, manifest: Manifest) -> str | None:
    """Return why a file's model can't be the artifact's, None where it can."""
    if said.sha256 is not None and said.sha256 != own.sha256:
        return f"it was measured on {said.name}, whose model file is another"
    size, file = said.size_bytes, manifest.record.model_file
    if size is not None and abs(size - manifest.model_bytes) > max(ROUNDED_BYTES, ROUNDED * size):
        return f"it was measured on a file of {size / 1e6:g} MB, and {file} has {manifest.model_bytes / 1e6:g} MB"
    suffix = PurePosixPath(said.name).suffix
    others = {PurePosixPath(target.model_file).suffix for target in targets().values()}
    if suffix in others and suffix != PurePosixPath(file).suffix:
        return f"it was measured on {said.name}, and this is {file}"
    return None


def _finished(result: Result, manifest: Manifest, digest: str) -> Result:
    """Fill in what the importer can't know, and judge it. What the file says against itself stays."""
    said = result.validity
    error = next(iter(said.reasons), "it ended early") if said.completed is False else None
    run = replace(result.run, id=result.run.id or digest, source_file_sha256=digest)
    found = with_validity(
        replace(result, run=run, model=model_info(manifest)),
        error,
        said.undisturbed,
        manifest.record.graph.partitions,
    )
    if said.parity_held is not False or found.validity.parity_held is False:
        return found
    # An app looks at more than outputs: its own geometry, and what red and blue swapped do.
    reasons = (*found.validity.reasons, *(said.reasons or ("its self-test failed there",)))
    return replace(found, validity=replace(found.validity, parity_held=False, reasons=reasons))


def _sha256(path: Path) -> str:
    """Return the hash of a file, or of all files in a folder, in the order of their names."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for each in files:
        with each.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _unreadable(path: Path, cause: OSError) -> ResultError:
    return ResultError(f"result {path.name}: can't be read ({cause.strerror}). Give a file that is there.")
