"""manifest.json: what an artifact is, written by the pipeline and read by everything after it, the apps included."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit import __version__
from mobile_kit.artifacts.layout import ANSWERS, INPUTS, LABELS, MANIFEST, OUTPUTS, VERIFY, tensor_file
from mobile_kit.errors import ArtifactError, UnsupportedError, one_line
from mobile_kit.models.spec import Array, ModelSpec, TensorSpec
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.target_api.interface import Lowered, Runtime, Target
from mobile_kit.target_api.registry import check_installed, find_target

__all__ = [
    "MANIFEST",
    "PLATFORM_ONLY",
    "SCHEMA_VERSION",
    "Manifest",
    "build_manifest",
    "input_record",
    "model_record",
    "open_runtime",
    "output_record",
    "preprocess_record",
    "read_manifest",
    "schema",
    "sha256_of",
    "target_of",
    "untimed",
    "write_manifest",
]

SCHEMA_VERSION = 1
# Written after the manifest, by commands that measure the artifact.
UNLISTED = (MANIFEST, VERIFY, ANSWERS)


PLATFORM_ONLY = "only a Mac or a phone runs it"


@dataclass(frozen=True)
class Manifest:
    """A read manifest. `data` is the JSON object as design and schema have it; the rest is derived from it."""

    folder: Path
    data: dict[str, Any] = field(repr=False)

    @property
    def model_bytes(self) -> int:
        """Size of the model file, or of all files of a package."""
        name, files = self.data["model_file"], self.data["files"].items()
        return sum(record["bytes"] for path, record in files if path == name or path.startswith(f"{name}/"))

    @property
    def model_path(self) -> Path:
        """The model file (or package folder)."""
        return self.folder / self.data["model_file"]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The file's inputs, in its order."""
        first, *further = self.data["inputs"]
        image = _tensor(first, "image" if first["color"] else "pixel_values")
        return (image, *(_tensor(record, "features") for record in further))

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The file's outputs, in its order."""
        return tuple(_tensor(record, record["meaning"]) for record in self.data["outputs"])

    @property
    def preprocess(self) -> Preprocess:
        """What the app does to a photo, and the graph after it."""
        record = self.data["preprocess"]
        return Preprocess(
            resize=record["resize"],
            crop=None if record["crop"] is None else (record["crop"][0], record["crop"][1]),
            resample=record["resample"],
            channel_order=record["channel_order"],
            scale=record["scale"],
            mean=tuple(record["mean"]),
            std=tuple(record["std"]),
        )

    @property
    def in_graph(self) -> bool:
        """Whether the file takes image bytes and does the arithmetic itself."""
        return bool(self.data["preprocess"]["in_graph"])

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The class names, None where the checkpoint has none."""
        path = self.folder / LABELS
        return tuple(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else None

    def golden(self, record: Mapping[str, Any]) -> Array:
        """Read the golden tensor of an input or output record.

        Raises: ArtifactError where the file's size isn't that of the declared shape and dtype.
        """
        values = np.fromfile(self.folder / record["golden"], dtype=np.dtype(record["dtype"]).newbyteorder("<"))
        if values.size != int(np.prod(record["shape"])):
            raise ArtifactError(
                f"artifact {self.folder}: {record['name']} is declared as {record['shape']}, but its golden file holds "
                f"{values.size} values. Export the model again."
            )
        return values.reshape(record["shape"])


def build_manifest(
    *,
    model: Mapping[str, Any],
    target: str,
    backend: str | None,
    model_file: str,
    preprocess: Preprocess,
    lowered: Lowered,
    folder: Path,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the manifest of the files in a folder; see manifest.schema.json for every key.

    calibration: its own record, of a recipe that was calibrated.
    """
    in_graph = lowered.inputs[0].meaning == "image"
    return {
        "schema_version": SCHEMA_VERSION,
        "kit_version": __version__,
        "model": dict(model),
        "target": target,
        "backend": backend,
        "deployment_target": lowered.deployment_target,
        "model_file": model_file,
        "recipe": {
            **asdict(lowered.recipe),
            "float_ops": [asdict(part) for part in lowered.float_parts],
            "calibration": None if calibration is None else dict(calibration),
        },
        "preprocess": preprocess_record(preprocess, in_graph),
        "inputs": [input_record(spec) for spec in lowered.inputs],
        "outputs": [output_record(spec) for spec in lowered.outputs],
        "graph": {
            "ops": dict(sorted(lowered.ops.items())),
            "partitions": lowered.partitions,
            "fallback_ops": [asdict(fallback) for fallback in lowered.fallback_ops],
        },
        "files": _files(folder),
        "tools": dict(sorted(lowered.tools.items())),
    }


def model_record(
    spec: ModelSpec, source: str, revision: str | None, license_name: str | None, random_weights: bool
) -> dict[str, Any]:
    """Return the manifest's `model` object."""
    return {
        "family": spec.family,
        "head": spec.head,
        "source": source,
        "revision": revision,
        "license": license_name,
        "image_size": list(spec.image_size),
        "num_parameters": spec.num_parameters,
        "num_labels": spec.num_labels,
        "random_weights": random_weights,
    }


def write_manifest(folder: Path, data: Mapping[str, Any]) -> None:
    """Write manifest.json with sorted keys."""
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest and check its schema and the hash of every file.

    Raises: ArtifactError naming what is missing, changed or of an unknown version.
    """
    data = _load(folder)
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"artifact {folder}: schema version {version!r} is unknown. Known: {SCHEMA_VERSION}. Update the kit."
        )
    _validate(folder, data)
    for name, record in data["files"].items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"artifact {folder}: {name} is missing. Export the model again.")
        if path.stat().st_size != record["bytes"] or sha256_of(path) != record["sha256"]:
            raise ArtifactError(f"artifact {folder}: {name} has changed since the export. Export the model again.")
    named = [data["model_file"], *(record["golden"] for record in (*data["inputs"], *data["outputs"]))]
    for name in named:
        if not any(path == name or path.startswith(f"{name}/") for path in data["files"]):
            raise ArtifactError(f"artifact {folder}: {name} has no hash under files. Export the model again.")
    return Manifest(folder, data)


def open_runtime(manifest: Manifest, other: str | None = None) -> Runtime:
    """Load an artifact's file with its target's runtime. other: another one, see `target.Target.load_with`.

    Raises: MissingToolError; UnsupportedError where the file runs on a device only; ArtifactError.
    """
    target = find_target(manifest.data["target"])
    check_installed(target)
    reason = target.needs_device(manifest.data["backend"])
    if reason is not None:
        raise UnsupportedError(f"artifact {manifest.folder}: can't be run here, as {reason}. Run it there.")
    if other is not None:
        return target.load_with(other, manifest.model_path)
    return target.load(manifest.model_path, manifest.inputs, manifest.outputs)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the manifest."""
    text = resources.files(__package__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _load(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"artifact {folder}: no {MANIFEST}. Give a folder that `mobile-kit export` wrote.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as exc:
        raise ArtifactError(
            f"artifact {folder}: {MANIFEST} isn't JSON ({one_line(exc)}). Export the model again."
        ) from exc
    if not isinstance(data, dict):
        raise ArtifactError(f"artifact {folder}: {MANIFEST} isn't a JSON object. Export the model again.")
    return data


def _validate(folder: Path, data: Mapping[str, Any]) -> None:
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema()).iter_errors(data):
        place = "/".join(str(part) for part in error.absolute_path) or "top level"
        raise ArtifactError(f"artifact {folder}: {MANIFEST} at {place}: {error.message}. Export the model again.")


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in UNLISTED)
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size} for path in paths
    }


def sha256_of(path: Path) -> str:
    """Return a file's hash, as `files` has it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def preprocess_record(preprocess: Preprocess, in_graph: bool) -> dict[str, Any]:
    """Return the manifest's `preprocess` object."""
    record = asdict(preprocess)
    record["crop"] = None if preprocess.crop is None else list(preprocess.crop)
    record["mean"], record["std"] = list(preprocess.mean), list(preprocess.std)
    return {**record, "rounding": "truncate", "in_graph": in_graph}


def input_record(spec: TensorSpec) -> dict[str, Any]:
    """Return what the manifest says of an input."""
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": spec.dtype,
        "layout": spec.layout,
        "color": spec.color,
        "range": None if spec.range is None else list(spec.range),
        "golden": tensor_file(INPUTS, spec.name),
    }


def output_record(spec: TensorSpec) -> dict[str, Any]:
    """Return what the manifest says of an output."""
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": spec.dtype,
        "layout": spec.layout,
        "meaning": spec.meaning,
        "golden": tensor_file(OUTPUTS, spec.name),
    }


def _tensor(record: Mapping[str, Any], meaning: Any) -> TensorSpec:
    return TensorSpec(
        record["name"],
        tuple(record["shape"]),
        record["dtype"],
        record["layout"],
        meaning,
        record.get("color"),
        None if record.get("range") is None else (record["range"][0], record["range"][1]),
    )


def untimed(manifest: Manifest, kind: str = "host", elsewhere: str = PLATFORM_ONLY) -> str | None:
    """Return why nothing that the kit can start times an artifact on a kind of device, None where something does.

    elsewhere: why not, where the artifact's target runs nothing there.
    Raises: UnsupportedError for a target that isn't installed.
    """
    target = target_of(manifest)
    reason = target.needs_device(manifest.data["backend"])
    if reason is None and (target.engine is None or kind not in target.devices):
        reason = elsewhere
    return reason


def target_of(manifest: Manifest) -> Target:
    """Return the target of an artifact. Raises: UnsupportedError where it isn't installed."""
    return find_target(manifest.data["target"])
