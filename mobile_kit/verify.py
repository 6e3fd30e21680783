"""Hold an artifact against the oracle: the file on disk must compute what the checkpoint computes.

The oracle's answers for the golden photo lie in the artifact, with how far Hugging Face is from itself in lower and
higher precision, so that an artifact can be verified where the checkpoint isn't. With a folder of images, the
checkpoint is loaded again and answers for each.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mobile_kit import metrics
from mobile_kit.errors import ArtifactError
from mobile_kit.images import find_images, read_image
from mobile_kit.manifest import Manifest, read_manifest
from mobile_kit.oracle import LEAST_DIFFERENCE, Oracle, Yardstick
from mobile_kit.scenes import scene
from mobile_kit.spec import TensorSpec
from mobile_kit.target import Array, Runtime, find_target

__all__ = ["Check", "OutputParity", "VerifyReport", "failure", "verify", "write_report"]

ORACLE_FILE = "golden/oracle.json"
# Parity bounds. float32: in standard deviations of the output, or this many times Hugging Face's own float32 error.
FLOAT32_BOUND, FLOAT32_FACTOR = 1e-4, 4.0
# Reduced precision: no more than this below Hugging Face's own float16.
FLOAT16_MARGIN_DB = 3.0
# Never asked for more: one rounding to float16 leaves 72 dB, and a saturated output of Hugging Face's has no noise.
FLOAT16_CEILING_DB = 65.0
# Class maps: pixels at a boundary flip with any rounding; this part, or the factor times Hugging Face's own.
MASK_BOUND, MASK_FACTOR = 1e-3, 2.0

Status = Literal["passed", "failed", "not run"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what was found."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class OutputParity:
    """Distance of one output from the oracle's, over all images; what doesn't apply to an output is null.

    max_error: largest difference in standard deviations of the reference. bound: what max_error (float32) or sqnr_db
    (lower precision) or pixel_agreement (masks) was held against.
    """

    name: str
    max_error: float | None
    sqnr_db: float | None
    cosine: float | None
    top1: float | None
    top5: float | None
    pixel_agreement: float | None
    mean_iou: float | None
    bound: str
    passed: bool


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    canary: how far each output moves, in its standard deviations, with red and blue swapped.
    """

    artifact: str
    runtime: str | None
    images: int
    checks: tuple[Check, ...]
    outputs: tuple[OutputParity, ...] = ()
    canary: Mapping[str, float] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """Failed where any check failed; passed where parity was measured and every check was run."""
        found = [check.status for check in self.checks] + ["passed" if out.passed else "failed" for out in self.outputs]
        if "failed" in found:
            return "failed"
        return "passed" if self.outputs and "not run" not in found else "not run"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; what isn't finite, such as the decibels of no noise, becomes null."""
        record: dict[str, Any] = _finite({"status": self.status, "failure": failure(self), **asdict(self)})
        return record


@dataclass(frozen=True)
class _Sample:
    """One image as it enters the file, with the oracle's outputs for it."""

    inputs: Mapping[str, Array]
    reference: Mapping[str, Array]


def verify(folder: Path, images: Path | None = None, oracle: Oracle | None = None) -> VerifyReport:
    """Compare an artifact with the oracle on its golden photo, and on every image of a folder.

    oracle: spares loading the checkpoint again where `images` needs it.
    Raises: ArtifactError where the artifact is incomplete, changed or can't be loaded; ImageError.
    """
    manifest = read_manifest(folder)
    yardsticks, golden = _read_yardsticks(manifest), _golden(manifest)
    checks = [_check_geometry(manifest)]
    if manifest.data["backend"] in {"coreml", "vulkan"}:
        detail = f"ExecuTorch's {manifest.data['backend']} delegate runs on a device only"
        return VerifyReport(folder.resolve().name, None, 0, (*checks, Check("parity", "not run", detail)))
    target = find_target(manifest.data["target"])
    runtime = target.load(manifest.model_path, manifest.inputs, manifest.outputs)
    checks.append(_check_interface(manifest, runtime))
    if checks[-1].status == "failed":
        return VerifyReport(folder.resolve().name, runtime.name, 0, tuple(checks))
    samples = [golden]
    if images is not None:
        oracle = oracle or _load_oracle(manifest)
        channels = manifest.preprocess.channels
        paths = [manifest.folder / "golden/photo.png", *find_images(images)]
        photos = [read_image(path, channels) for path in paths]
        samples += [_sample(manifest, oracle, photo) for photo in photos[1:]]
        yardsticks = _measured(manifest, oracle, photos)
    results = [runtime.run(sample.inputs) for sample in samples]
    finite = _check_finite(manifest, results)
    checks.append(finite)
    if finite.status == "failed":
        return VerifyReport(folder.resolve().name, runtime.name, len(samples), tuple(checks))
    checks.append(_check_sight(manifest, runtime, golden, results[0]))
    parity = tuple(
        _parity(
            spec,
            manifest,
            yardsticks[spec.name],
            [r[spec.name] for r in results],
            [s.reference[spec.name] for s in samples],
        )
        for spec in manifest.outputs
    )
    return VerifyReport(
        folder.resolve().name,
        runtime.name,
        len(samples),
        tuple(checks),
        parity,
        _canary(manifest, runtime, samples[0], results[0]),
    )


def write_report(report: VerifyReport, folder: Path) -> None:
    """Write verify.json into the artifact. Raises: ArtifactError where it can't be written."""
    text = json.dumps(report.to_json(), indent=1, sort_keys=True, allow_nan=False)
    try:
        (folder / "verify.json").write_text(text + "\n", encoding="utf-8")
    except OSError as exc:
        raise ArtifactError(
            f"artifact {folder}: verify.json can't be written ({exc.strerror}). Copy the artifact to a folder of yours."
        ) from exc


def _read_yardsticks(manifest: Manifest) -> dict[str, Yardstick]:
    try:
        record = json.loads((manifest.folder / ORACLE_FILE).read_text(encoding="utf-8"))
        return {name: Yardstick(**values) for name, values in record["yardsticks"].items()}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ArtifactError(
            f"artifact {manifest.folder}: {ORACLE_FILE} can't be read ({exc}). Export the model again."
        ) from exc


def _finite(value: Any) -> Any:
    """Replace every number that JSON has no word for by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _golden(manifest: Manifest) -> _Sample:
    return _Sample(
        {record["name"]: manifest.golden(record) for record in manifest.data["inputs"]},
        {record["name"]: manifest.golden(record) for record in manifest.data["outputs"]},
    )


def _load_oracle(manifest: Manifest) -> Oracle:
    from mobile_kit.checkpoints import load

    model = manifest.data["model"]
    checkpoint = load(
        model["source"],
        head=model["head"],
        revision=model["revision"],
        image_size=tuple(model["image_size"]),
        random_weights=model["random_weights"],
    )
    return Oracle(checkpoint, manifest.outputs)


def _sample(manifest: Manifest, oracle: Oracle, image: NDArray[np.uint8]) -> _Sample:
    fitted = manifest.preprocess.geometry(image)
    inputs = {manifest.inputs[0].name: manifest.preprocess.entering(fitted, manifest.in_graph)}
    return _Sample(inputs, oracle.run(oracle.pixel_values(image)))


def _measured(manifest: Manifest, oracle: Oracle, images: list[NDArray[np.uint8]]) -> dict[str, Yardstick]:
    """Return the yardsticks on the images that are compared: on others, Hugging Face's own noise is another."""
    pixel_values = np.concatenate([oracle.pixel_values(image) for image in images])
    return oracle.yardsticks(pixel_values, half=manifest.data["recipe"]["weight_bits"] < 32)


def _check_geometry(manifest: Manifest) -> Check:
    """The photo through the manifest's own preprocessing must be the golden input, byte for byte."""
    record = manifest.data["inputs"][0]
    fitted = manifest.preprocess.geometry(
        read_image(manifest.folder / "golden/photo.png", manifest.preprocess.channels)
    )
    entering = manifest.preprocess.entering(fitted, manifest.in_graph)
    same = entering.shape == tuple(record["shape"]) and bool(np.array_equal(entering, manifest.golden(record)))
    detail = "golden photo through the manifest's preprocessing gives the golden input"
    return Check("preprocessing", "passed" if same else "failed", detail if same else "doesn't hold: " + detail)


def _check_interface(manifest: Manifest, runtime: Runtime) -> Check:
    """What the manifest declares must be what the file has, in the same order."""
    wrong = []
    for specs, found in ((manifest.inputs, runtime.inputs), (manifest.outputs, runtime.outputs)):
        if [spec.name for spec in specs] != list(found) and {spec.name for spec in specs} == set(found):
            wrong.append(f"order: manifest {', '.join(spec.name for spec in specs)}, file {', '.join(found)}")
        declared = {spec.name: (spec.shape, spec.dtype) for spec in specs}
        wrong += [
            f"{name}: manifest {_text(declared.get(name))}, file {_text(found.get(name))}"
            for name in sorted(declared.keys() | found.keys())
            if declared.get(name) != found.get(name)
        ]
    if wrong:
        return Check("interface", "failed", "; ".join(wrong))
    return Check("interface", "passed", "names, shapes and dtypes are those of the file")


def _text(described: tuple[tuple[int, ...], str] | None) -> str:
    return "none" if described is None else f"{described[1]} {list(described[0])}"


def _check_finite(manifest: Manifest, results: list[dict[str, Array]]) -> Check:
    """No output may be infinite or not a number: float16 overflows so."""
    names = [spec.name for spec in manifest.outputs]
    counts = {name: sum(int(np.sum(~np.isfinite(result[name]))) for result in results) for name in names}
    wrong = [f"{name} has {count} values that are infinite or not a number" for name, count in counts.items() if count]
    return Check("finite", "failed" if wrong else "passed", "; ".join(wrong) or "every value is a finite number")


def _check_sight(manifest: Manifest, runtime: Runtime, golden: _Sample, first: Mapping[str, Array]) -> Check:
    """Another photo must give another result: a file and an oracle that are blind would agree on everything."""
    if all(spec.meaning == "mask" for spec in manifest.outputs):
        # Two photos may well be all background; a golden mask of several classes shows that the oracle sees.
        classes = min(len(np.unique(golden.reference[spec.name])) for spec in manifest.outputs)
        if classes < 2:
            return Check("sight", "not run", "the golden photo is of one class only; export with --photo of several")
        return Check("sight", "passed", f"the golden photo's mask has {classes} classes")
    other = scene(7, *manifest.preprocess.image_size)[:, :, : manifest.preprocess.channels]
    inputs = {manifest.inputs[0].name: manifest.preprocess.entering(other, manifest.in_graph)}
    moved = _moved(manifest, first, runtime.run(inputs))
    # Probabilities may well be the same for two photos of one class: they speak only where nothing else does.
    speaking = [out.name for out in manifest.outputs if out.meaning in {"features", "logits"}] or list(moved)
    least = min(moved[name] for name in speaking)
    status: Status = "passed" if least >= LEAST_DIFFERENCE else "failed"
    return Check("sight", status, f"another photo moves the outputs by at least {least:.2g} standard deviations")


def _canary(manifest: Manifest, runtime: Runtime, golden: _Sample, first: Mapping[str, Array]) -> dict[str, float]:
    if manifest.preprocess.channels != 3:
        return {}
    spec = manifest.inputs[0]
    swapped = np.ascontiguousarray(np.flip(golden.inputs[spec.name], axis=3 if spec.layout == "NHWC" else 1))
    return _moved(manifest, first, runtime.run({**golden.inputs, spec.name: swapped}))


def _moved(manifest: Manifest, first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, float]:
    """Return how far each output moved: root mean square in standard deviations; of a mask, the part that changed."""
    moved = {}
    for spec in manifest.outputs:
        a, b = first[spec.name].astype(np.float64), second[spec.name].astype(np.float64)
        if spec.meaning == "mask":
            moved[spec.name] = float(np.mean(a != b))
        else:
            moved[spec.name] = float(np.sqrt(np.mean((a - b) ** 2)) / max(metrics.spread(a), metrics.spread(b), 1e-12))
    return moved


def _parity(
    spec: TensorSpec, manifest: Manifest, yardstick: Yardstick, values: list[Array], references: list[Array]
) -> OutputParity:
    got, want = np.concatenate(values), np.concatenate(references)
    if spec.meaning == "mask":
        return _mask_parity(spec, manifest, yardstick, got, want)
    error, noise = metrics.distance(got, want), metrics.sqnr_db(got, want)
    classes = spec.layout == "NK"
    maps = spec.meaning == "logits" and not classes
    axis = 3 if spec.layout == "NHWK" else 1
    if manifest.data["recipe"]["weight_bits"] == 32:
        limit = max(FLOAT32_BOUND, FLOAT32_FACTOR * yardstick.float32_error)
        bound, passed = f"max error <= {limit:.2g} sigma", error <= limit
    else:
        if yardstick.float16_sqnr_db is None:
            raise ArtifactError(
                f"artifact {manifest.folder}: {ORACLE_FILE} lacks the float16 yardstick. Export the model again."
            )
        floor = min(yardstick.float16_sqnr_db - FLOAT16_MARGIN_DB, FLOAT16_CEILING_DB)
        bound, passed = f"SQNR >= {floor:.1f} dB", noise >= floor
    return OutputParity(
        name=spec.name,
        max_error=error,
        sqnr_db=noise,
        cosine=metrics.cosine(got, want),
        top1=metrics.top_k_agreement(got, want, 1) if classes else None,
        top5=metrics.top_k_agreement(got, want, 5) if classes else None,
        pixel_agreement=metrics.pixel_agreement(got.argmax(axis), want.argmax(axis)) if maps else None,
        mean_iou=metrics.mean_iou(got.argmax(axis), want.argmax(axis)) if maps else None,
        bound=bound,
        passed=bool(passed),
    )


def _mask_parity(spec: TensorSpec, manifest: Manifest, yardstick: Yardstick, got: Array, want: Array) -> OutputParity:
    half = manifest.data["recipe"]["weight_bits"] < 32
    own = yardstick.float16_changed if half else yardstick.float32_error
    limit = max(MASK_BOUND, MASK_FACTOR * (own or 0.0))
    agreement = metrics.pixel_agreement(got, want)
    return OutputParity(
        name=spec.name,
        max_error=None,
        sqnr_db=None,
        cosine=None,
        top1=None,
        top5=None,
        pixel_agreement=agreement,
        mean_iou=metrics.mean_iou(got, want),
        bound=f"pixel agreement >= {1 - limit:.4f}",
        passed=agreement >= 1 - limit,
    )


def failure(report: VerifyReport) -> str | None:
    """Return in one line why a report isn't a pass, null where it is."""
    if report.status == "passed":
        return None
    if report.status == "not run":
        return "; ".join(check.detail for check in report.checks if check.status == "not run")
    wrong = [f"{check.name} ({check.detail})" for check in report.checks if check.status == "failed"]
    for out in report.outputs:
        if not out.passed:
            got = (
                f"pixel agreement {out.pixel_agreement:.4f}"
                if out.max_error is None
                else f"max error {out.max_error:.2g} sigma, SQNR {out.sqnr_db:.1f} dB"
            )
            wrong.append(f"{out.name} ({got}; wanted {out.bound})")
    return "; ".join(wrong)
