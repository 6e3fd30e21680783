"""manifest.json: what an artifact is, written by the pipeline and read by everything after it, the apps included."""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit import __version__
from mobile_kit.artifacts.layout import ANSWERS, EXPORT, LABELS, MANIFEST, VERIFY
from mobile_kit.artifacts.manifest_record import (
    SCHEMA_VERSION,
    FileRecord,
    GraphRecord,
    InputRecord,
    JudgedRecord,
    ManifestRecord,
    ModelRecord,
    OutputRecord,
    PreprocessRecord,
    RecipeRecord,
)
from mobile_kit.artifacts.older_versions import KNOWN_VERSIONS, newer_manifest
from mobile_kit.errors import ArtifactError, UnsupportedError, one_line, plain
from mobile_kit.models.spec import Array, TensorSpec
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.quantization.calibration import CalibrationRecord
from mobile_kit.reading import MOST_JSON_BYTES, ReadError, read_bytes, read_text
from mobile_kit.records import RecordError, dumped, parse, read_record
from mobile_kit.target_api.interface import Lowered, Runtime, Target
from mobile_kit.target_api.registry import check_installed, find_target
from mobile_kit.target_api.separate_runtime import SeparateRuntime

__all__ = [
    "GOLDEN_PHOTO",
    "PLATFORM_ONLY",
    "Manifest",
    "build_manifest",
    "open_runtime",
    "read_manifest",
    "sha256_of",
    "target_of",
    "untimed",
    "write_manifest",
]

# Written after the manifest, by commands that measure the artifact.
UNLISTED = (MANIFEST, EXPORT, VERIFY, ANSWERS)

GOLDEN_PHOTO = "golden photo"
# The largest model of a known checkpoint has 2.7 GB in float32.
MOST_FILE_BYTES = 16 << 30
PLATFORM_ONLY = "only a Mac or a phone runs it"


@dataclass(frozen=True)
class Manifest:
    """A read manifest: what its file holds, and what follows from that. version: the schema's that the file has."""

    folder: Path
    record: ManifestRecord = field(repr=False)
    version: int = SCHEMA_VERSION

    @property
    def model_files(self) -> dict[str, FileRecord]:
        """The model file, or all files of a package, by path."""
        name, files = self.record.model_file, self.record.files.items()
        return {path: record for path, record in files if path == name or path.startswith(f"{name}/")}

    @property
    def model_bytes(self) -> int:
        """Size of the model file, or of all files of a package."""
        return sum(record.bytes for record in self.model_files.values())

    @property
    def judged_on(self) -> str:
        """What its file was held against the checkpoint on at export, in words."""
        judged = self.record.judged
        return GOLDEN_PHOTO if judged is None or self.record.recipe.weight_bits >= 32 else str(judged)

    @property
    def model_path(self) -> Path:
        """The model file (or package folder)."""
        return self.folder / self.record.model_file

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The file's inputs, in its order."""
        first, *further = self.record.inputs
        return (first.spec("image" if first.color else "pixel_values"), *(each.spec("features") for each in further))

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The file's outputs, in its order."""
        return tuple(each.spec for each in self.record.outputs)

    @property
    def preprocess(self) -> Preprocess:
        """What the app does to a photo, and the graph after it."""
        return self.record.preprocess.preprocess

    @property
    def in_graph(self) -> bool:
        """Whether the file takes image bytes and does the arithmetic itself."""
        return self.record.preprocess.in_graph

    @property
    def num_classes(self) -> int:
        """How many classes the outputs tell apart. Raises: ArtifactError where the checkpoint says none."""
        count = self.record.model.num_labels
        if count is None:
            raise ArtifactError(f"artifact {self.folder}: has no number of classes. Export one that has.")
        return count

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The class names, None where the checkpoint has none. Raises: ArtifactError where they can't be read."""
        path = self.folder / LABELS
        try:
            return tuple(read_text(path).splitlines()) if path.is_file() else None
        except ReadError as exc:
            raise _refused(self.folder, f"{LABELS} {one_line(exc)}") from exc

    def golden(self, tensor: InputRecord | OutputRecord) -> Array:
        """Read the golden value of an input or output.

        Raises: ArtifactError where the file's size isn't that of the declared shape and dtype.
        """
        dtype = np.dtype(tensor.dtype).newbyteorder("<")
        count, held = math.prod(tensor.shape), self.record.files[tensor.golden].bytes / dtype.itemsize
        if held != count:
            raise ArtifactError(
                f"artifact {self.folder}: {tensor.name} is declared as {list(tensor.shape)}, but its golden file holds "
                f"{held:g} values. Export the model again."
            )
        return np.fromfile(self.folder / tensor.golden, dtype).reshape(tensor.shape)


def build_manifest(
    *,
    model: ModelRecord,
    target: str,
    backend: str | None,
    model_file: str,
    preprocess: Preprocess,
    lowered: Lowered,
    folder: Path,
    judged: JudgedRecord,
    calibration: CalibrationRecord | None = None,
) -> ManifestRecord:
    """Return the manifest of the files in a folder. calibration: of a recipe that was calibrated."""
    recipe, floats = vars(lowered.recipe), lowered.float_parts
    return ManifestRecord(
        schema_version=SCHEMA_VERSION,
        kit_version=__version__,
        model=model,
        target=target,
        backend=backend,
        deployment_target=lowered.deployment_target,
        model_file=model_file,
        recipe=RecipeRecord(**recipe, float_ops=floats, calibration=calibration),
        preprocess=PreprocessRecord.of(preprocess, in_graph=lowered.inputs[0].meaning == "image"),
        inputs=tuple(map(InputRecord.of, lowered.inputs)),
        outputs=tuple(map(OutputRecord.of, lowered.outputs)),
        graph=GraphRecord(lowered.ops, lowered.partitions, lowered.fallback_ops),
        judged=judged,
        files=_files(folder),
        tools=lowered.tools,
    )


def write_manifest(folder: Path, record: ManifestRecord) -> None:
    """Write manifest.json with sorted keys. Raises: ValueError for a number that isn't finite."""
    (folder / MANIFEST).write_text(dumped(record), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest and check its schema and the hash of every file.

    Raises: ArtifactError naming what is missing, changed or of an unknown version.
    """
    values = _load(folder)
    version = values.get("schema_version")
    if type(version) is not int or version not in KNOWN_VERSIONS:
        known = ", ".join(map(str, KNOWN_VERSIONS))
        raise ArtifactError(
            f"artifact {folder}: schema version {version!r} is unknown. Known: {known}. Update the kit."
        )
    try:
        record = read_record(ManifestRecord, newer_manifest(values))
    except RecordError as exc:
        raise _refused(folder, f"{MANIFEST} {one_line(exc)}") from exc
    _check_files(folder, record)
    return Manifest(folder, record, version)


def _check_files(folder: Path, record: ManifestRecord) -> None:
    """Raise ArtifactError where a file isn't the one that was exported, or has no hash."""
    for name, listed in record.files.items():
        path = folder / name
        if not path.is_file():
            raise _refused(folder, f"{name} is missing")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise _refused(folder, f"{name} is a link out of it")
        if listed.bytes > MOST_FILE_BYTES:
            raise _refused(folder, f"{name} has {listed.bytes:,} bytes, of which {MOST_FILE_BYTES:,} are read at most")
        if path.stat().st_size != listed.bytes or sha256_of(path) != listed.sha256:
            raise _refused(folder, f"{name} has changed since the export")
    golden = [each.golden for each in record.inputs] + [each.golden for each in record.outputs]
    for name in (record.model_file, *golden):
        if not any(path == name or path.startswith(f"{name}/") for path in record.files):
            raise _refused(folder, f"{name} has no hash under files")


def _refused(folder: Path, reason: str) -> ArtifactError:
    return ArtifactError(f"artifact {folder}: {plain(reason)}. Export the model again.")


def open_runtime(manifest: Manifest, other: str | None = None, trusted: bool = False) -> Runtime:
    """Load an artifact's file with its target's runtime. other: another one, see `target.Target.load_with`.

    trusted: run it in this process, as it was just made here, also where its runtime ends over a damaged file.

    Raises: MissingToolError; UnsupportedError where the file runs on a device only; ArtifactError.
    """
    target = find_target(manifest.record.target)
    check_installed(target)
    reason = target.needs_device(manifest.record.backend)
    if reason is not None:
        raise UnsupportedError(f"artifact {manifest.folder}: can't be run here, as {reason}. Run it there.")
    if other is not None:
        return target.load_with(other, manifest.model_path)
    if target.ends_over_damaged_files and not trusted:
        return SeparateRuntime(target.name, manifest.model_path, manifest.inputs, manifest.outputs)
    return target.load(manifest.model_path, manifest.inputs, manifest.outputs)


def _load(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"artifact {folder}: no {MANIFEST}. Give a folder that `mobile-kit export` wrote.")
    try:
        values = parse(read_bytes(path, MOST_JSON_BYTES))
    except (ReadError, RecordError) as exc:
        raise _refused(folder, f"{MANIFEST} {one_line(exc)}") from exc
    if not isinstance(values, dict):
        raise _refused(folder, f"{MANIFEST} isn't a JSON object")
    return values


def _files(folder: Path) -> dict[str, FileRecord]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in UNLISTED)
    return {path.relative_to(folder).as_posix(): FileRecord(sha256_of(path), path.stat().st_size) for path in paths}


def sha256_of(path: Path) -> str:
    """Return a file's hash, as `files` has it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def untimed(manifest: Manifest, kind: str = "host", elsewhere: str = PLATFORM_ONLY) -> str | None:
    """Return why nothing that the kit can start times an artifact on a kind of device, None where something does.

    elsewhere: why not, where the artifact's target runs nothing there.
    Raises: UnsupportedError for a target that isn't installed.
    """
    target = target_of(manifest)
    reason = target.needs_device(manifest.record.backend)
    if reason is None and (target.engine is None or kind not in target.devices):
        reason = elsewhere
    return reason


def target_of(manifest: Manifest) -> Target:
    """Return the target of an artifact. Raises: UnsupportedError where it isn't installed."""
    return find_target(manifest.record.target)
