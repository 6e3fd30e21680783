"""What is looked at in an artifact beside its distance from the oracle, one function a check."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mobile_kit.artifacts.golden import GoldenRecord, Sample
from mobile_kit.artifacts.layout import PHOTO
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.manifest_record import ManifestRecord
from mobile_kit.artifacts.verification import Check, Status
from mobile_kit.checkpoints.oracle import least_difference
from mobile_kit.measurements import metrics
from mobile_kit.models.family import families
from mobile_kit.models.outputs import essential_outputs
from mobile_kit.models.spec import DISCRETE, Array
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import Runtime
from mobile_kit.target_api.registry import find_target

__all__ = [
    "check_contract",
    "check_finite",
    "check_geometry",
    "check_input_sensitivity",
    "check_interface",
    "check_labels",
    "check_probabilities",
    "essential",
    "not_finite",
    "swapped_channels_distance",
]

# How far a file's softmax may be below one that is rounded to float16 once: exact ones are within 0.1 dB of it, and
# XNNPACK's in float16 is 6 dB below, which is little next to what the logits lose, so that no distance from the oracle
# shows it. Where nearly all is in one class, that rounding leaves more decibels than float32 has.
SOFTMAX_MARGIN_DB, SOFTMAX_MOST_DB = 1.0, 90.0


def check_geometry(manifest: Manifest) -> Check:
    """The photo through the manifest's own preprocessing must be the golden input, byte for byte."""
    record = manifest.record.inputs[0]
    fitted = manifest.preprocess.geometry(read_image(manifest.folder / PHOTO, manifest.preprocess.channels))
    entering = manifest.preprocess.entering(fitted, manifest.in_graph)
    same = entering.shape == record.shape and bool(np.array_equal(entering, manifest.golden(record)))
    detail = "golden photo through the manifest's preprocessing gives the golden input"
    return Check("preprocessing", "passed" if same else "failed", detail if same else "doesn't hold: " + detail)


def check_contract(manifest: Manifest, answers: GoldenRecord) -> Check:
    """What an app reads in the manifest must be what the export meant, and go together."""
    ours = manifest.record
    declared = [
        ("model", vars(ours.model), vars(answers.model)),
        ("preprocess", vars(ours.preprocess), vars(answers.preprocess)),
        (ours.inputs[0].name, vars(ours.inputs[0]), _image_record(answers)),
        # How a target computes its activations is its own word.
        ("recipe", vars(ours.recipe), {"name": answers.recipe, "weight_bits": recipe(answers.recipe).weight_bits}),
    ]
    wrong = []
    for role, named, meant in (
        ("inputs behind the image", ours.inputs[1:], answers.inputs),
        ("outputs", ours.outputs, answers.outputs),
    ):
        names = [each.name for each in meant]
        if [each.name for each in named] != names:
            wrong.append(f"{role} are {', '.join(names) or 'none'} as exported")
        else:
            declared += [(name, vars(a), vars(b)) for name, a, b in zip(names, named, meant, strict=True)]
    wrong += [
        f"{part} has {key} {_listed(have[key])!r}, where {_listed(value)!r} was exported"
        for part, have, meant in declared
        for key, value in sorted(meant.items())
        if have[key] != value
    ]
    wrong += _wrong_labels(manifest) + _wrong_target(ours)
    return Check("contract", "failed" if wrong else "passed", "; ".join(wrong) or "the manifest is as it was exported")


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _image_record(answers: GoldenRecord) -> dict[str, Any]:
    """What the first input has to be: bytes, or what the processor returns."""
    (height, width), channels = answers.model.image_size, len(answers.preprocess.mean)
    if not answers.preprocess.in_graph:
        shape = (1, channels, height, width)
        return {"shape": shape, "dtype": "float32", "layout": "NCHW", "color": None, "range": None}
    color = "GRAY" if channels == 1 else "RGB"
    return {
        "shape": (1, height, width, channels),
        "dtype": "uint8",
        "layout": "NHWC",
        "color": color,
        "range": (0, 255),
    }


def _wrong_labels(manifest: Manifest) -> list[str]:
    classes, labels = manifest.record.model.num_labels, manifest.labels
    if labels is None or len(labels) == classes:
        return []
    return [f"labels.txt has {len(labels)} names, and the model {classes} classes"]


def _wrong_target(record: ManifestRecord) -> list[str]:
    target = find_target(record.target)
    wrong = []
    for key, value, offered in (
        ("backend", record.backend, target.backends),
        ("deployment_target", record.deployment_target, target.deployment_targets(record.backend)),
    ):
        if value not in (offered or (None,)):
            wrong.append(f"{key} is {value!r}, where {target.name} has {', '.join(offered) or 'none'}")
    return wrong


def check_interface(manifest: Manifest, runtime: Runtime) -> Check:
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


def check_labels(manifest: Manifest, runtime: Runtime) -> Check:
    """What the file calls its classes must be what labels.txt does."""
    listed = manifest.labels or ()
    if runtime.labels is None:
        return Check("labels", "passed", "the file carries none")
    if runtime.labels == listed:
        return Check("labels", "passed", f"the {len(listed)} labels in the file are those of labels.txt")
    pairs = zip(runtime.labels, listed, strict=False)
    index = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(runtime.labels), len(listed)))
    names = (repr(labels[index]) if index < len(labels) else "none" for labels in (runtime.labels, listed))
    return Check("labels", "failed", "class {}: file {}, labels.txt {}".format(index, *names))


def not_finite(manifest: Manifest, result: Mapping[str, Array]) -> dict[str, int]:
    """Return how many values of each output are infinite or not a number."""
    return {spec.name: int(np.sum(~np.isfinite(result[spec.name]))) for spec in manifest.outputs}


def check_finite(counts: Mapping[str, int]) -> Check:
    """No output may be infinite or not a number: float16 overflows so. counts: of all runs, by output."""
    wrong = [f"{name} has {count} values that are infinite or not a number" for name, count in counts.items() if count]
    return Check("finite", "failed" if wrong else "passed", "; ".join(wrong) or "every value is a finite number")


def check_probabilities(manifest: Manifest, results: Sequence[Mapping[str, Array]]) -> list[Check]:
    """The probabilities must be the softmax, or the sigmoid, of the file's own logits.

    Returns: no check of a file without either, nor of a quantized one, whose outputs have other bounds.
    """
    quantized = recipe(manifest.record.recipe.name).quantized
    if quantized or not {"probabilities", "logits"} <= {spec.name for spec in manifest.outputs}:
        return []
    # Large outputs are kept of the photo alone.
    kept = [result for result in results if {"probabilities", "logits"} <= result.keys()]
    got, logits = (np.concatenate([result[name] for result in kept]) for name in ("probabilities", "logits"))
    activation = manifest.record.model.activation
    exact = metrics.sigmoid(logits) if activation == "sigmoid" else metrics.softmax(logits)
    found, rounded = metrics.sqnr_db(got, exact), metrics.sqnr_db(exact.astype(np.float16), exact)
    status: Status = "passed" if found >= min(rounded, SOFTMAX_MOST_DB) - SOFTMAX_MARGIN_DB else "failed"
    detail = (
        f"{found:.1f} dB from the {activation} of the file's logits; rounded to float16 once, that is {rounded:.1f} dB"
    )
    return [Check("probabilities", status, detail)]


def check_input_sensitivity(manifest: Manifest, runtime: Runtime, golden: Sample, first: Mapping[str, Array]) -> Check:
    """Another photo must give another result: a file and an oracle that are blind would agree on everything."""
    if all(spec.meaning == "mask" for spec in manifest.outputs):
        # Two photos may well be all background; a golden mask of several classes shows that the oracle sees.
        classes = min(len(np.unique(golden.reference[spec.name])) for spec in manifest.outputs)
        if classes < 2:
            return Check("sight", "not run", "the golden photo is of one class only; export with --photo of several")
        return Check("sight", "passed", f"the golden photo's mask has {classes} classes")
    other = scene(7, *manifest.preprocess.image_size, manifest.preprocess.channels)
    inputs = {**golden.inputs, manifest.inputs[0].name: manifest.preprocess.entering(other, manifest.in_graph)}
    distances = output_distance(manifest, first, runtime.run(inputs))
    speaking = essential(manifest)
    if not speaking:
        return Check("sight", "not run", "no output but indices, which may be the same for any photo")
    specs = [spec for spec in manifest.outputs if spec.name in speaking]
    status: Status = "passed" if all(distances[spec.name] >= least_difference(spec) for spec in specs) else "failed"
    least = min(distances[name] for name in speaking)
    return Check("sight", status, f"another photo moves the outputs by at least {least:.2g} standard deviations")


def essential(manifest: Manifest) -> list[str]:
    """Return the outputs that must move with the image, and be right where quantized."""
    model = manifest.record.model
    return [out.name for out in essential_outputs(families()[model.family].heads[model.head], manifest.outputs)]


def swapped_channels_distance(
    manifest: Manifest, runtime: Runtime, golden: Sample, first: Mapping[str, Array]
) -> dict[str, float]:
    """Return how far each output moves with red and blue swapped; nothing where that is the same image, a gray one."""
    spec = manifest.inputs[0]
    swapped = np.ascontiguousarray(np.flip(golden.inputs[spec.name], axis=3 if spec.layout == "NHWC" else 1))
    if np.array_equal(swapped, golden.inputs[spec.name]):
        return {}
    return output_distance(manifest, first, runtime.run({**golden.inputs, spec.name: swapped}))


def output_distance(manifest: Manifest, first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, float]:
    """Return how far each output moved: root mean square in standard deviations; of a mask, the part that changed."""
    return {
        spec.name: float(np.mean(first[spec.name] != second[spec.name]))
        if spec.meaning in DISCRETE
        else metrics.moved(first[spec.name], second[spec.name])
        for spec in manifest.outputs
    }
