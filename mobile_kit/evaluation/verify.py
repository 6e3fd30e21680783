"""Hold an artifact against the oracle: the file on disk must compute what the checkpoint computes.

The oracle's answers for the golden photo lie in the artifact, with how far Hugging Face is from itself in lower and
higher precision, so that an artifact can be verified where the checkpoint isn't. With a folder of images, the
checkpoint is loaded again and answers for each.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit.artifacts.golden import GoldenRecord, Sample, read_answers, read_golden
from mobile_kit.artifacts.layout import PHOTO, verify_name
from mobile_kit.artifacts.manifest import Manifest, open_runtime, read_manifest
from mobile_kit.checkpoints.oracle import Oracle, ReferenceNoise
from mobile_kit.errors import CheckpointError, UnsupportedError, unwritable
from mobile_kit.evaluation.checks import (
    Check,
    Status,
    check_contract,
    check_finite,
    check_geometry,
    check_input_sensitivity,
    check_interface,
    check_labels,
    check_probabilities,
    not_finite,
    swapped_channels_distance,
)
from mobile_kit.evaluation.parity import EXACT, OutputParity, parity
from mobile_kit.measurements import metrics
from mobile_kit.models.spec import DISCRETE, Array
from mobile_kit.preprocessing.image_files import find_images, read_image
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import Runtime
from mobile_kit.target_api.registry import find_target
from mobile_kit.whole_file import write_whole

__all__ = [
    "VerifyReport",
    "check_checkpoint",
    "failure",
    "load_oracle",
    "verify",
    "write_report",
]

# Float32 on another machine, in standard deviations (masks: part of the pixels); another checkpoint is off by about 1.
SAME_CHECKPOINT = 1e-2


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    quantized: whether the file's weights are integers. canary: how far each output moves, in its standard deviations,
    with red and blue swapped.
    """

    artifact: str
    runtime: str | None
    images: int
    checks: tuple[Check, ...]
    outputs: tuple[OutputParity, ...] = ()
    canary: Mapping[str, float] = field(default_factory=dict)
    quantized: bool = False

    @property
    def status(self) -> Status:
        """Failed where any check failed; passed where parity was measured and every check was run."""
        found = [check.status for check in self.checks] + ["passed" if out.passed else "failed" for out in self.outputs]
        if "failed" in found:
            return "failed"
        return "passed" if self.outputs and "not run" not in found else "not run"

    def also(self, *checks: Check) -> "VerifyReport":
        """Return the report with further checks."""
        return replace(self, checks=(*self.checks, *checks))

    @property
    def sqnr_db(self) -> float | None:
        """The least signal to noise of the outputs that were judged, None where none has any."""
        return min((out.sqnr_db for out in self.outputs if out.judged and out.sqnr_db is not None), default=None)

    @property
    def max_error(self) -> float | None:
        """The largest error of the outputs that were judged, in their standard deviations; None where none has any."""
        return max((out.max_error for out in self.outputs if out.judged and out.max_error is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; what isn't finite, such as the decibels of no noise, becomes null."""
        figures = {"sqnr_db": self.sqnr_db, "max_error": self.max_error}
        record: dict[str, Any] = _finite({"status": self.status, "failure": failure(self), **figures, **asdict(self)})
        return record


def verify(
    folder: Path,
    images: Path | None = None,
    checkpoint: str | None = None,
    allow_pickle: bool = False,
    other_runtime: str | None = None,
) -> VerifyReport:
    """Compare an artifact with the oracle on its golden photo, and on every image of a folder.

    checkpoint: where the oracle is loaded from, which `images` needs; None for the manifest's source, where that is a
    Hub id or a known name. With a checkpoint given, the golden answers must be its own. other_runtime: what runs the
    file in place of the installed runtime, see `target.Target.load_with`.
    Raises: ArtifactError where the artifact is incomplete, changed or can't be loaded; CheckpointError; ImageError.
    """
    manifest = read_manifest(folder)
    answers = read_answers(manifest)
    quantized = recipe(manifest.data["recipe"]["name"]).quantized
    report = VerifyReport(folder.resolve().name, None, 0, _described(manifest, answers), quantized=quantized)
    reason = find_target(manifest.data["target"]).needs_device(manifest.data["backend"])
    if reason is not None and other_runtime is not None:
        raise UnsupportedError(f"runtime {other_runtime!r}: {reason}. Leave it out.")
    if reason is not None:
        return report.also(Check("parity", "not run", reason))
    runtime = open_runtime(manifest, other_runtime)
    report = replace(report, runtime=runtime.name).also(
        check_interface(manifest, runtime), check_labels(manifest, runtime)
    )
    if report.status == "failed":
        return report
    golden = read_golden(manifest)
    if images is None and checkpoint is None:
        return _compared(report, manifest, runtime, answers, [golden, *answers.samples(manifest, golden)])
    oracle = load_oracle(manifest, checkpoint, allow_pickle)
    report = report.also(check_checkpoint(manifest, oracle, golden))
    if report.status == "failed":
        return report
    if images is None:
        return _compared(report, manifest, runtime, answers, [golden, *answers.samples(manifest, golden)])
    yardsticks, others = _on_images(manifest, oracle, images)
    return _compared(report, manifest, runtime, replace(answers, yardsticks=yardsticks), [golden, *others])


def _described(manifest: Manifest, answers: GoldenRecord) -> tuple[Check, ...]:
    """Check what needs no runtime: that the manifest says what the golden files do, and the app's geometry."""
    contract = check_contract(manifest, answers)
    return (contract, check_geometry(manifest)) if contract.status == "passed" else (contract,)


def _compared(
    report: VerifyReport,
    manifest: Manifest,
    runtime: Runtime,
    answers: GoldenRecord,
    samples: list[Sample],
) -> VerifyReport:
    """Run the file on all samples, the golden one first, and add to the report what was found."""
    first: Mapping[str, Array] = {}
    results, infinite = [], Counter[str]()
    for sample in samples:
        found = runtime.run(sample.inputs)
        first = first or found
        infinite.update(not_finite(manifest, found))
        # Large outputs are judged on the photo alone, and need not wait for the end.
        results.append({name: found[name] for name in sample.reference})
    report = replace(report, images=len(samples)).also(check_finite(infinite))
    if report.checks[-1].status == "failed":
        return report
    return replace(
        report,
        checks=(
            *report.checks,
            check_input_sensitivity(manifest, runtime, samples[0], first),
            *check_probabilities(manifest, results),
        ),
        outputs=parity(manifest, answers, samples, results),
        canary=swapped_channels_distance(manifest, runtime, samples[0], first),
    )


def write_report(report: VerifyReport, folder: Path, other_runtime: str | None = None) -> None:
    """Write verify.json into the artifact, or verify-RUNTIME.json. Raises: ArtifactError where it can't be written."""
    name = verify_name(other_runtime)
    text = json.dumps(report.to_json(), indent=1, sort_keys=True, allow_nan=False)
    try:
        write_whole(folder / name, text + "\n")
    except OSError as exc:
        raise unwritable(folder / name, exc) from exc


def _finite(value: Any) -> Any:
    """Replace every number that JSON has no word for by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load_oracle(manifest: Manifest, source: str | None, allow_pickle: bool) -> Oracle:
    """Load the checkpoint that an artifact was made from; source: None for the manifest's.

    Raises: CheckpointError where it can't be found or loaded.
    """
    from mobile_kit.checkpoints.load import load

    model = manifest.data["model"]
    if source is None and model["revision"] is None and not model["random_weights"]:
        raise CheckpointError(
            f"artifact {manifest.folder}: was exported from the folder {model['source']!r}, wherever that is now. "
            "Add --checkpoint with its path."
        )
    checkpoint = load(
        source or model["source"],
        head=model["head"],
        revision=None if source else model["revision"],
        image_size=tuple(model["image_size"]),
        random_weights=model["random_weights"],
        allow_pickle=allow_pickle,
    )
    return Oracle(checkpoint, manifest.outputs, read_golden(manifest).further(manifest))


def check_checkpoint(manifest: Manifest, oracle: Oracle, golden: Sample) -> Check:
    """The checkpoint's answers for the golden photo must be the golden ones: another was exported otherwise."""
    if manifest.preprocess != oracle.checkpoint.preprocess:
        return Check("checkpoint", "failed", "its processor does something else than the manifest says")
    photo = read_image(manifest.folder / PHOTO, manifest.preprocess.channels)
    answers = oracle.run(oracle.pixel_values(photo))
    for spec in manifest.outputs:
        got, want = answers[spec.name], golden.reference[spec.name]
        apart = 1 - metrics.pixel_agreement(got, want) if spec.meaning in DISCRETE else metrics.distance(got, want)
        if not apart <= SAME_CHECKPOINT:
            detail = f"its {spec.name} for the golden photo are others: not the checkpoint that was exported"
            return Check("checkpoint", "failed", detail)
    return Check("checkpoint", "passed", "its answers for the golden photo are the golden ones")


def _on_images(manifest: Manifest, oracle: Oracle, images: Path) -> tuple[dict[str, ReferenceNoise], list[Sample]]:
    """Return the oracle's answers for a folder of images, and the yardsticks on those and the golden photo.

    On other images, Hugging Face's own noise is another.
    """
    paths = [manifest.folder / PHOTO, *find_images(images)]
    pixel_values, entering = [], []
    for path in paths:  # one after the other: a folder of photos is larger than what the file makes of them
        photo = read_image(path, manifest.preprocess.channels)
        pixel_values.append(oracle.pixel_values(photo))
        entering.append(manifest.preprocess.entering(manifest.preprocess.geometry(photo), manifest.in_graph))
    yardsticks, answers = oracle.measure(np.concatenate(pixel_values), manifest.data["recipe"]["weight_bits"] == 16)
    samples = [
        Sample(
            {**oracle.further, manifest.inputs[0].name: image},
            {name: answer[place : place + 1] for name, answer in answers.items()},
        )
        for place, image in enumerate(entering)
    ]
    return yardsticks, samples[1:]


def failure(report: VerifyReport) -> str | None:
    """Return in one line why a report isn't a pass, None where it is."""
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
            if "agreement" in out.bound and out.max_error is not None:
                got += f", agreement {out.pixel_agreement if out.top1 is None else out.top1:.4f}"
            # Numbers that must be right, such as those of kept units, have no bound that could be relaxed.
            asked = {"SQNR", "agreement"} if EXACT not in out.bound else set()
            options = [f"--min-{name.lower()}" for name in sorted(asked, reverse=True) if name in out.bound]
            relax = f"; {' and '.join(options)} asks for less" if report.quantized and options else ""
            wrong.append(f"{out.name} ({got}; wanted {out.bound}{relax})")
    return "; ".join(wrong)
