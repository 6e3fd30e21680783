"""Hold an artifact against the oracle: the file on disk must compute what the checkpoint computes.

The oracle's answers for the golden photo lie in the artifact, with how far Hugging Face is from itself in lower and
higher precision, so that an artifact can be verified where the checkpoint isn't. With a folder of images, the
checkpoint is loaded again and answers for each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobile_kit.artifacts.golden import GoldenRecord, Sample, read_answers, read_golden, scenes_beside
from mobile_kit.artifacts.layout import PHOTO
from mobile_kit.artifacts.manifest import Manifest, open_runtime, read_manifest
from mobile_kit.artifacts.verification import LEFT_OUT, Check, VerifyReport
from mobile_kit.checkpoints.oracle import Oracle, ReferenceNoise
from mobile_kit.errors import CheckpointError, UnsupportedError
from mobile_kit.evaluation.checks import (
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
from mobile_kit.evaluation.parity import parity
from mobile_kit.measurements import metrics
from mobile_kit.models.spec import DISCRETE, Array
from mobile_kit.preprocessing.image_files import find_images, read_image
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import Runtime
from mobile_kit.target_api.registry import find_target

__all__ = [
    "check_checkpoint",
    "load_oracle",
    "verify",
]

# Float32 on another machine, in standard deviations (masks: part of the pixels); another checkpoint is off by about 1.
SAME_CHECKPOINT = 1e-2


def verify(
    folder: Path,
    images: Path | None = None,
    checkpoint: str | None = None,
    allow_pickle: bool = False,
    other_runtime: str | None = None,
    weights_prefix: str = "",
    fresh: bool = False,
) -> VerifyReport:
    """Compare an artifact with the oracle on its golden photo, and on every image of a folder.

    checkpoint: where the oracle is loaded from, which `images` needs; None for the manifest's source, where that is a
    Hub id or a known name. With a checkpoint given, the golden answers must be its own. other_runtime: what runs the
    file in place of the installed runtime, see `target.Target.load_with`. fresh: of an artifact that is being
    made here: its file is trusted, and images that are to be no part of it lie beside it.
    Raises: ArtifactError where the artifact is incomplete, changed or can't be loaded; CheckpointError; ImageError.
    """
    manifest = read_manifest(folder)
    answers = read_answers(manifest, _scenes_beside(folder) if fresh else None)
    used = recipe(manifest.record.recipe.name)
    report = VerifyReport(folder.resolve().name, None, 0, _described(manifest, answers), quantized=used.quantized)
    if reason := _needs_device(manifest, other_runtime):
        return report.also(Check("parity", "not run", reason))
    runtime = open_runtime(manifest, other_runtime, trusted=fresh)
    report = replace(report, runtime=runtime.name)
    report = report.also(check_interface(manifest, runtime), check_labels(manifest, runtime))
    if report.status == "failed":
        return report
    golden = read_golden(manifest)
    samples = answers.samples(manifest, golden)
    if images is not None or checkpoint is not None:
        oracle = load_oracle(manifest, checkpoint, allow_pickle, weights_prefix)
        report = report.also(check_checkpoint(manifest, oracle, [golden, *samples]))
        if report.status == "failed":
            return report
        if images is not None:
            yardsticks, samples = _on_images(manifest, oracle, images)
            answers = replace(answers, yardsticks=yardsticks)
    compared = _compared(report, manifest, runtime, answers, [golden, *samples])
    return compared if fresh or images or _stored(manifest) else _on_the_photo_alone(compared, manifest)


def _scenes_beside(folder: Path) -> Path | None:
    beside = scenes_beside(folder)
    return beside if beside.is_file() else None


def _needs_device(manifest: Manifest, other_runtime: str | None) -> str | None:
    """Return why a file runs on a device only, None where it runs here."""
    reason = find_target(manifest.record.target).needs_device(manifest.record.backend)
    if reason is not None and other_runtime is not None:
        raise UnsupportedError(f"runtime {other_runtime!r}: {reason}. Leave it out.")
    return reason


def _stored(manifest: Manifest) -> bool:
    """Whether what the file was judged on at export lies in the artifact."""
    judged = manifest.record.judged
    return judged is None or judged.stored or manifest.record.recipe.weight_bits >= 32


def _on_the_photo_alone(report: VerifyReport, manifest: Manifest) -> VerifyReport:
    """Return a report whose outputs are compared, but not judged: a photo's decibels are a draw of luck."""
    judged = manifest.record.judged
    assert judged is not None
    detail = (
        f"the {judged.images} images that the file was judged on at export aren't in the artifact, and its figures "
        "here are the golden photo's alone; give --images, and --checkpoint where that is a folder"
    )
    outputs = tuple(replace(out, bounds=(), passed=True) for out in report.outputs)
    return replace(report, outputs=outputs).also(Check(LEFT_OUT, "not run", detail))


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


def load_oracle(manifest: Manifest, source: str | None, allow_pickle: bool, weights_prefix: str) -> Oracle:
    """Load the checkpoint that an artifact was made from; source: None for the manifest's.

    Raises: CheckpointError where it can't be found or loaded.
    """
    from mobile_kit.checkpoints.load import load

    model = manifest.record.model
    if source is None and model.revision is None and not model.random_weights:
        raise CheckpointError(
            f"artifact {manifest.folder}: was exported from the folder {model.source!r}, wherever that is now. "
            "Add --checkpoint with its path."
        )
    checkpoint = load(
        source or model.source,
        head=model.head,
        revision=None if source else model.revision,
        image_size=model.image_size,
        random_weights=model.random_weights,
        allow_pickle=allow_pickle,
        weights_prefix=weights_prefix,
        any_channels=not manifest.in_graph,
    )
    # Of the manifest's own: the first version took every classifier for one of which one class is right.
    return Oracle(checkpoint, manifest.outputs, read_golden(manifest).further(manifest), model.activation)


def check_checkpoint(manifest: Manifest, oracle: Oracle, samples: Sequence[Sample]) -> Check:
    """The checkpoint's answers for the golden photo must be the golden ones: another was exported otherwise.

    samples: the golden one first; the others give the standard deviation over photos where an output needs it.
    """
    if manifest.preprocess != oracle.checkpoint.preprocess:
        return Check("checkpoint", "failed", "its processor does something else than the manifest says")
    photo = read_image(manifest.folder / PHOTO, manifest.preprocess.channels)
    answers = oracle.run(oracle.pixel_values(photo))
    for spec in manifest.outputs:
        got, want = answers[spec.name], samples[0].reference[spec.name]
        if spec.meaning in DISCRETE:
            apart = 1 - metrics.pixel_agreement(got, want)
        elif spec.spread_over_photos:
            known = [sample.reference[spec.name] for sample in samples if spec.name in sample.reference]
            reference = np.concatenate(known)
            apart = metrics.distance(
                *metrics.comparable(np.concatenate([got, *known[1:]]), reference, over_photos=True)
            )
        else:
            apart = metrics.distance(got, want)
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
    yardsticks, answers = oracle.measure(np.concatenate(pixel_values), manifest.record.recipe.weight_bits == 16)
    samples = [
        Sample(
            {**oracle.further, manifest.inputs[0].name: image},
            {name: answer[place : place + 1] for name, answer in answers.items()},
        )
        for place, image in enumerate(entering)
    ]
    return yardsticks, samples[1:]
