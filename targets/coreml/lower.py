"""Lower a common model to a .mlpackage: export, convert, name, describe."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_changes
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import torch
from torch import Tensor, nn

from mobile_kit.models.spec import Array, CommonModel, ModelSpec, TensorSpec
from mobile_kit.quantization.parts import FloatPart
from mobile_kit.target_api.interface import Calibrated, Lowered, ModelCard, Request, input_text
from targets.coreml.import_coremltools import import_coremltools
from targets.coreml.quantize import calibrated, quantize_weights

__all__ = ["calibrate", "lower"]

PREVIEW = "com.apple.coreml.model.preview"
# What the dictionary `probabilities` is made of.
PROBABILITIES_VECTOR = "probabilities_vector"
# What a recipe is carried out as.
CHANGES: dict[str, dict[str, Any]] = {
    "static_wi8_ai8": {"scheme": "int8 weights a channel, int8 inputs of their layers, affine, min-max"},
    "static_wi8_ai8_mixed": {"scheme": "int8 weights a channel, int8 inputs of their layers, affine, min-max"},
}
# Written by coremltools; a date would make two exports of one model differ.
DATE_KEY = "com.github.apple.coremltools.conversion_date"


def lower(model: CommonModel, request: Request, path: Path) -> Lowered:
    """Write the .mlpackage of a common model to `path`."""
    return _write(model, model.spec, request, (), path)


def calibrate(model: CommonModel, request: Request, samples: Sequence[Mapping[str, Array]]) -> Calibrated:
    """Measure a model's activations."""
    spec = model.spec

    def finish(module: nn.Module, float_parts: tuple[FloatPart, ...], path: Path) -> Lowered:
        return _write(module, spec, request, float_parts, path)

    return calibrated(model, _examples(spec), samples, finish)


def _write(
    module: nn.Module, spec: ModelSpec, request: Request, float_parts: tuple[FloatPart, ...], path: Path
) -> Lowered:
    """Write a module's .mlpackage. spec: of its inputs and outputs. float_parts: what of it isn't quantized."""
    ct = import_coremltools()
    deployment = request.deployment_target or "iOS17"
    # Given to both conversions: the second one would turn a float32 program into float16 by default.
    options = {
        "minimum_deployment_target": getattr(ct.target, deployment),
        "compute_precision": _precision(spec, request),
    }
    classes = _classes(spec)
    program = _program(module, spec, options, bool(classes))
    recipe = with_changes(request.recipe, **CHANGES.get(request.recipe.name, {}))
    if recipe.quantized and not recipe.calibrated:
        scheme = quantize_weights(program, recipe.weight_bits, deployment)
        recipe = with_changes(recipe, scheme=f"{scheme}; float16 arithmetic", activation_bits=16)
    if classes:
        # A classifier must have no declared outputs: coremltools 9.0 raises IndexError where it has two.
        program.functions["main"].output_types = None
        config = ct.ClassifierConfig(list(classes), predicted_probabilities_output=PROBABILITIES_VECTOR)
        package = ct.convert(program, classifier_config=config, skip_model_load=True, **options)
    else:
        package = ct.convert(program, skip_model_load=True, **options)
    described = _described(package, spec, request.card, bool(classes))
    described.save(str(path))
    _make_reproducible(path, type(described.get_spec()))
    operations = program.functions["main"].operations
    return Lowered(
        recipe=recipe,
        inputs=tuple(_as_pixel_buffer(x) for x in spec.inputs),
        outputs=spec.outputs,
        ops=Counter(op.op_type for op in operations if op.op_type != "const"),
        tools={name: version(name) for name in ("coremltools", "torch")},
        deployment_target=deployment,
        float_parts=float_parts,
    )


def _examples(spec: ModelSpec) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(x.shape) for x in spec.inputs)


class ReadsMoreThanNoise:
    """Select the operations that float16 may compute: all but those that work on noise alone, whose order must last."""

    def __init__(self, noise: frozenset[str]) -> None:
        self.noise = noise
        self.sources: dict[Any, frozenset[bool]] = {}

    def __call__(self, operation: Any) -> bool:
        """Tell whether an operation of a MIL program may be computed in float16."""
        return self._read_by(operation) != {True}

    def _read_by(self, operation: Any) -> frozenset[bool]:
        """Return whether each input of the program that an operation depends on is noise."""
        if operation not in self.sources:
            listed = [v if isinstance(v, list | tuple) else [v] for v in operation.inputs.values() if v is not None]
            variables = [variable for part in listed for variable in part]
            found = (
                frozenset([variable.name in self.noise]) if variable.op is None else self._read_by(variable.op)
                for variable in variables
            )
            self.sources[operation] = frozenset[bool]().union(*found)
        return self.sources[operation]


def _precision(spec: ModelSpec, request: Request) -> Any:
    import coremltools as ct

    if request.recipe.weight_bits > 16:
        return ct.precision.FLOAT32
    noise = frozenset(x.name for x in spec.inputs if x.meaning == "noise")
    selector = ReadsMoreThanNoise(noise)
    return ct.transform.FP16ComputePrecision(op_selector=selector) if noise else ct.precision.FLOAT16


def _make_reproducible(path: Path, proto: Any) -> None:
    """Let two exports of one model be the same bytes: coremltools draws random identifiers and map orders."""
    model = path / "Data/com.apple.CoreML/model.mlmodel"
    model.write_bytes(proto.FromString(model.read_bytes()).SerializeToString(deterministic=True))
    manifest = path / "Manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    names = {key: str(uuid5(NAMESPACE_URL, item["path"])) for key, item in content["itemInfoEntries"].items()}
    content["itemInfoEntries"] = {names[key]: item for key, item in content["itemInfoEntries"].items()}
    content["rootModelIdentifier"] = names[content["rootModelIdentifier"]]
    manifest.write_text(json.dumps(content, indent=4, sort_keys=True) + "\n", encoding="utf-8")


def _program(module: nn.Module, spec: ModelSpec, options: dict[str, Any], classifier: bool) -> Any:
    import coremltools as ct

    exported = torch.export.export(module, _examples(spec)).run_decompositions({})
    return ct.convert(
        exported,
        inputs=[_input_type(x) for x in spec.inputs],
        outputs=[
            ct.TensorType(name=_inner_name(output, classifier), dtype=np.dtype(output.dtype).type)
            for output in spec.outputs
        ],
        convert_to="milinternal",
        **options,
    )


def _inner_name(spec: TensorSpec, classifier: bool) -> str:
    """Return an output's name in the program, where a name stands for one value."""
    return PROBABILITIES_VECTOR if classifier and spec.meaning == "probabilities" else spec.name


def _input_type(spec: TensorSpec) -> Any:
    import coremltools as ct

    if spec.meaning == "image":
        layout = ct.colorlayout.GRAYSCALE if spec.color == "GRAY" else ct.colorlayout.RGB
        return ct.ImageType(name=spec.name, shape=spec.shape, color_layout=layout)
    return ct.TensorType(name=spec.name, shape=spec.shape, dtype=np.dtype(spec.dtype).type)


def _as_pixel_buffer(spec: TensorSpec) -> TensorSpec:
    """Return an image input as an app sees it: the bytes of a pixel buffer."""
    if spec.meaning != "image":
        return spec
    batch, channels, height, width = spec.shape
    return with_changes(spec, shape=(batch, height, width, channels), dtype="uint8", layout="NHWC")


def _classes(spec: ModelSpec) -> tuple[str, ...]:
    """Return the labels of a classifier; none where the file gives no probabilities, or where no class is the one."""
    if spec.activation != "softmax" or not any(out.meaning == "probabilities" for out in spec.outputs):
        return ()
    return spec.labels or ()


def _described(package: Any, spec: ModelSpec, card: ModelCard, classifier: bool) -> Any:
    import coremltools as ct

    proto = package.get_spec()
    if classifier:
        ct.utils.rename_feature(proto, "classLabel_probs", "probabilities")
        proto.description.predictedProbabilitiesName = "probabilities"
    described = ct.models.MLModel(proto, weights_dir=package.weights_dir, skip_model_load=True)
    described.short_description = card.description
    for key in ("author", "license", "version"):
        if getattr(card, key) is not None:
            setattr(described, key, getattr(card, key))
    metadata = described.user_defined_metadata
    metadata["com.mobilekit.source"] = card.source
    for key, value in _preview(spec, classifier).items():
        metadata[key] = value
    metadata.pop(DATE_KEY, None)
    for feature in spec.inputs:
        described.input_description[feature.name] = _input_text(feature)
    for output in spec.outputs:
        described.output_description[output.name] = f"{output.meaning} {list(output.shape)}, {output.layout}"
    if classifier:
        described.output_description["classLabel"] = "the most probable class"
    return described


def _input_text(spec: TensorSpec) -> str:
    if spec.meaning == "image":
        return f"{spec.color} image of {spec.shape[2]}x{spec.shape[3]} pixels; colour order and scale are in the model"
    return f"{list(spec.shape)}: {input_text(spec)}"


def _preview(spec: ModelSpec, classifier: bool) -> dict[str, str]:
    """Return what Xcode's preview needs to know (coremltools guide, "Xcode model preview types")."""
    if classifier:
        return {f"{PREVIEW}.type": "imageClassifier"}
    if spec.head != "segmentation":
        return {}
    labels = list(spec.labels or ())
    # Knuth's multiplicative hash (2^32 over the golden ratio) spreads neighbours over all colours.
    colors = [f"#{(i * 2654435761) % 0xFFFFFF:06x}" for i in range(len(labels))]
    return {
        f"{PREVIEW}.type": "imageSegmenter",
        f"{PREVIEW}.parameters": json.dumps({"labels": labels, "colors": colors}),
    }
