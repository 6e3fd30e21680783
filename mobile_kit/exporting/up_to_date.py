"""Artifacts that an export would only make again: found by what they were made of, without a toolchain or torch."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mobile_kit.artifacts.export_record import ExportRecord, Origin, read_export
from mobile_kit.artifacts.layout import EXPORT, MANIFEST, VERIFY
from mobile_kit.checkpoints.hub_revision import hub_revision
from mobile_kit.errors import MobileKitError
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.preprocessing.image_files import find_images
from mobile_kit.reading import ReadError, read_json_object

__all__ = ["Origins", "UpToDate", "find_up_to_date", "origins_of", "request_of"]

DISTRIBUTION, GROUPS = "mobile-kit", ("mobile_kit.families", "mobile_kit.targets")
PACKAGES = ("mobile_kit", "targets")
# What a checkpoint's folder holds beside what is read of it, such as a training's optimizer.pt, has other endings.
READ_OF_CHECKPOINTS = frozenset({".bin", ".h5", ".json", ".md", ".safetensors"})
# Of more images the names, sizes and times stand for the contents: a data set may have gigabytes.
MOST_HASHED = 1024
REQUIREMENT = re.compile(r"[\w.-]+")
CHUNK = 1 << 20


@dataclass(frozen=True)
class Origins:
    """What an export is made from; calibration, judged and photo: None where none was given."""

    checkpoint: Origin
    calibration: Origin | None
    judged: Origin | None
    photo: Origin | None


@dataclass(frozen=True)
class UpToDate:
    """An artifact that is what an export would make. status: as its verification says it. license: the weights'.

    judged_on: what its file was judged on, in words.
    """

    folder: Path
    bytes: int
    status: str
    judged_on: str
    license: str | None


def find_up_to_date(options: ExportOptions) -> list[UpToDate]:
    """Return the artifacts of an export of the same checkpoint, options, images, kit and tools, all whole.

    Returns: none where one of them is missing, changed or failed, and where `force` is asked. It reads and hashes
    files only: a fault of what is asked is the export's to name.
    """
    try:
        origins = None if options.force else origins_of(options)
    except (MobileKitError, OSError, ValueError):
        return []
    if origins is None:
        return []
    request = request_of(options, origins)
    made: dict[Path, dict[str, ExportRecord]] = {}
    for path in options.out.glob(f"*/*/{EXPORT}"):
        record = read_export(path.parent)
        if record is not None and record.request == request:
            made.setdefault(path.parent.parent, {})[path.parent.name] = record
    for model, records in made.items():
        wanted = next(iter(records.values())).artifacts
        found = [_whole(model / name, records[name]) for name in wanted if name in records]
        whole = [each for each in found if each is not None]
        if len(whole) == len(wanted):
            return whole
    return []


def origins_of(options: ExportOptions) -> Origins | None:
    """Return what an export is made from; None where the checkpoint is neither a folder nor had from the Hub.

    Raises: OSError; ImageError for a folder without images.
    """
    checkpoint = _checkpoint(options)
    if checkpoint is None:
        return None
    photo = None if options.photo is None else Origin(_place(options.photo), _hash_files([options.photo]))
    return Origins(checkpoint, _images(options.calibration), _images(options.judge_on), photo)


def request_of(options: ExportOptions, origins: Origins) -> str:
    """Return a SHA-256 of all that an export depends on."""
    asked = {key: str(value) for key, value in vars(options).items()}
    for elsewhere in ("calibration", "force", "judge_on", "out", "photo"):
        del asked[elsewhere]
    # A copy of a checkpoint under another name makes other artifacts.
    asked["model"] = "/".join(Path(options.model).resolve().parts[-2:])
    contents = {name: origin and origin.content for name, origin in vars(origins).items()}
    return _sha256([json.dumps([asked, contents, _tools(), _hash_code()], sort_keys=True).encode()])


def _checkpoint(options: ExportOptions) -> Origin | None:
    folder = Path(options.model)
    if os.path.isdir(options.model):
        # Of a repository in the Hub's cache, all its snapshots.
        files = [*folder.iterdir(), *folder.glob("snapshots/*/*")]
        read = sorted(path for path in files if path.suffix in READ_OF_CHECKPOINTS and path.is_file())
        return Origin(_place(folder), _hash_files(read))
    named = _sha256([options.model.encode()])
    if options.random_weights:
        return Origin(named, _sha256([b"random weights ", options.model.encode()]))
    commit = hub_revision(options.model, options.revision)
    return None if commit is None else Origin(named, _sha256([options.model.encode(), commit.encode()]))


def _images(folder: Path | None) -> Origin | None:
    if folder is None:
        return None
    paths = find_images(folder)
    if len(paths) <= MOST_HASHED:
        return Origin(_place(folder), _hash_files(paths, folder))
    listed = [(path.relative_to(folder).as_posix(), path.stat()) for path in paths]
    lines = (f"{name} {status.st_size} {status.st_mtime_ns}\n".encode() for name, status in listed)
    return Origin(_place(folder), _sha256(lines))


def _place(path: Path) -> str:
    return _sha256([os.fsencode(path.resolve())])


def _hash_files(paths: Iterable[Path], folder: Path | None = None) -> str:
    """Return a SHA-256 of files, and of their names."""

    def content() -> Iterator[bytes]:
        for path in paths:
            name = path.name if folder is None else path.relative_to(folder).as_posix()
            yield f"{name} {path.stat().st_size}\n".encode()
            with path.open("rb") as stream:
                while part := stream.read(CHUNK):
                    yield part

    return _sha256(content())


def _sha256(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _tools() -> dict[str, str | None]:
    """Return the versions of all that the kit may use, and of what brings families and targets."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # run from its source
        lines = []
    names = {found[0] for line in lines if (found := REQUIREMENT.match(line))}
    names |= {entry.dist.name for group in GROUPS for entry in entry_points(group=group) if entry.dist is not None}
    return {name: _version(name) for name in sorted(names)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _hash_code() -> str:
    """Return a SHA-256 of the kit's own code, which moves on between two versions."""
    specs = [spec for name in PACKAGES if (spec := find_spec(name)) is not None]
    folders = [Path(place) for spec in specs for place in spec.submodule_search_locations or ()]
    found = ((path.relative_to(folder), path) for folder in folders for path in folder.rglob("*.py"))
    return _hash_files([path for _, path in sorted(found)])


def _whole(folder: Path, record: ExportRecord) -> UpToDate | None:
    """Return an artifact whose files are all as its manifest has them and which didn't fail, else None."""
    try:
        manifest, verified = read_json_object(folder / MANIFEST), read_json_object(folder / VERIFY)
        files: Mapping[str, Any] = manifest["files"]
        for name, listed in files.items():
            with (folder / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != listed["sha256"]:
                    return None
        model = manifest["model_file"]
        sizes = [listed["bytes"] for name, listed in files.items() if name == model or name.startswith(f"{model}/")]
        status = verified["status"]
        license_name = manifest["model"]["license"]
    except (AttributeError, KeyError, OSError, ReadError, TypeError):
        return None
    return None if status == "failed" else UpToDate(folder, sum(sizes), status, record.judged_on, license_name)
