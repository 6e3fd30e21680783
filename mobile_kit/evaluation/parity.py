"""How far a file's outputs are from the oracle's, and the bounds that they are held against."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mobile_kit.artifacts.golden import GoldenRecord, Sample
from mobile_kit.artifacts.layout import ORACLE_FILE
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.verification import Bound, OutputParity
from mobile_kit.errors import ArtifactError
from mobile_kit.evaluation.checks import essential
from mobile_kit.measurements import metrics
from mobile_kit.models.spec import DISCRETE, Array, TensorSpec
from mobile_kit.quantization.recipes import LEAST_SQNR_DB, QualityTarget, recipe

__all__ = ["QUANTIZED_MASK_BOUND", "parity"]

# Parity bounds. float32: in standard deviations of the output, or this many times Hugging Face's own float32 error.
FLOAT32_BOUND, FLOAT32_FACTOR = 1e-4, 4.0
# Reduced precision: no more than both below Hugging Face's own float16, which `HalfPrecision` computes alike on every
# machine. What runtimes' kernels add to it: 1.8 dB at most on CPUs with AVX2, measured by
# `python -m tests.benchmarks.half_precision`; with AVX-512, a CvT for ExecuTorch was seen 2.9 dB below. And a margin
# for kernels of other CPUs.
FLOAT16_KERNELS_DB, FLOAT16_MARGIN_DB = 3.0, 1.0
# Never asked for more: one rounding to float16 leaves 72 dB, and a saturated output of Hugging Face's has no noise.
FLOAT16_CEILING_DB = 65.0
# Class maps: pixels at a boundary flip with any rounding; this part, or the factor times Hugging Face's own.
MASK_BOUND, MASK_FACTOR = 1e-3, 2.0
# Class maps of a quantized file: the part of the pixels whose class may change.
QUANTIZED_MASK_BOUND = 0.02


def parity(
    manifest: Manifest, answers: GoldenRecord, samples: Sequence[Sample], results: Sequence[Mapping[str, Array]]
) -> tuple[OutputParity, ...]:
    """Return the distance of each output from the oracle's over samples, of what a file computed for each."""
    found = []
    for spec in manifest.outputs:
        judged = [(r, s) for r, s in zip(results, samples, strict=True) if spec.name in s.reference]
        got = np.concatenate([result[spec.name] for result, _ in judged])
        want = np.concatenate([sample.reference[spec.name] for _, sample in judged])
        found.append(_parity(spec, manifest, answers, got, want))
    return tuple(found)


def _parity(spec: TensorSpec, manifest: Manifest, answers: GoldenRecord, got: Array, want: Array) -> OutputParity:
    yardstick = answers.yardsticks[spec.name]
    if spec.meaning in DISCRETE:
        return _discrete_parity(spec, manifest, answers, got, want)
    # The first version's yardsticks are of what stays as it is.
    over_photos = spec.spread_over_photos and manifest.version > 1
    ours, theirs = metrics.comparable(got, want, over_photos)
    error, noise = metrics.distance(ours, theirs), metrics.sqnr_db(ours, theirs)
    each = manifest.record.model.activation == "sigmoid"
    classes = spec.layout == "NK" and spec.meaning != "values" and not each
    decided = spec.meaning == "logits"
    maps = decided and spec.layout != "NK"
    axis = 3 if spec.layout == "NHWK" else 1
    agreement = _agreement(got, want, axis, each) if decided else None
    if manifest.record.recipe.weight_bits == 32:
        limit = max(FLOAT32_BOUND, FLOAT32_FACTOR * yardstick.float32_error)
        bounds: tuple[Bound, ...] = (Bound("max_error", limit),)
        passed = error <= limit
    else:
        wanted = _wanted(spec, manifest, answers)
        bounds, passed = _bounds(wanted), wanted.met_by(noise, agreement)
    return OutputParity(
        name=spec.name,
        max_error=error,
        sqnr_db=noise,
        photo_sqnr_db=metrics.sqnr_db(got[:1], want[:1]) if over_photos else None,
        cosine=metrics.cosine(ours, theirs),
        top1=metrics.top_k_agreement(got, want, 1) if classes else None,
        top5=metrics.top_k_agreement(got, want, 5) if classes else None,
        label_agreement=agreement if each else None,
        pixel_agreement=agreement if maps else None,
        mean_iou=metrics.mean_iou(got.argmax(axis), want.argmax(axis)) if maps else None,
        bounds=bounds,
        passed=bool(passed),
    )


def _agreement(got: Array, want: Array, axis: int, each: bool) -> float:
    return metrics.pixel_agreement(*(metrics.decisions(logits, axis, each) for logits in (got, want)))


def _bounds(wanted: QualityTarget) -> tuple[Bound, ...]:
    asked: tuple[tuple[Literal["sqnr_db", "agreement"], float | None], ...] = (
        ("sqnr_db", wanted.sqnr_db),
        ("agreement", wanted.agreement),
    )
    return tuple(Bound(kind, limit) for kind, limit in asked if limit is not None)


def _wanted(spec: TensorSpec, manifest: Manifest, answers: GoldenRecord) -> QualityTarget:
    """Return what an output of lower precision must keep, nothing where it isn't judged."""
    used = recipe(manifest.record.recipe.name)
    if used.quantized:
        return answers.wanted.by(used) if spec.name in essential(manifest) else QualityTarget()
    own = answers.yardsticks[spec.name].float16_sqnr_db
    if own is None:
        raise ArtifactError(
            f"artifact {manifest.folder}: {ORACLE_FILE} lacks the float16 yardstick. Export the model again."
        )
    return QualityTarget(min(own - FLOAT16_KERNELS_DB - FLOAT16_MARGIN_DB, FLOAT16_CEILING_DB))


def _discrete_parity(
    spec: TensorSpec, manifest: Manifest, answers: GoldenRecord, got: Array, want: Array
) -> OutputParity:
    agreement = metrics.pixel_agreement(got, want)
    limit = _most_changed(spec, manifest, answers)
    return OutputParity(
        name=spec.name,
        max_error=None,
        sqnr_db=None,
        photo_sqnr_db=None,
        cosine=None,
        top1=None,
        top5=None,
        label_agreement=None,
        pixel_agreement=agreement,
        mean_iou=metrics.mean_iou(got, want) if spec.meaning == "mask" else None,
        bounds=() if limit is None else (Bound("pixel_agreement", 1 - limit),),
        passed=limit is None or agreement >= 1 - limit,
    )


def _most_changed(spec: TensorSpec, manifest: Manifest, answers: GoldenRecord) -> float | None:
    """Return the part of an output's integers that may change, None where they aren't judged."""
    if spec.meaning != "mask":
        return 0.0
    used, yardstick = recipe(manifest.record.recipe.name), answers.yardsticks[spec.name]
    bits = used.weight_bits
    if used.quantized:
        if answers.wanted.agreement is not None:
            return 1 - answers.wanted.agreement
        # Where the user asks for fewer decibels than the recipe does, classes may change as they do.
        least = answers.wanted.sqnr_db
        return None if least is not None and least < LEAST_SQNR_DB[used.name] else QUANTIZED_MASK_BOUND
    own = yardstick.float16_changed if bits == 16 else yardstick.float32_error
    return max(MASK_BOUND, MASK_FACTOR * (own or 0.0))
