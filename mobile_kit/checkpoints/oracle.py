"""The reference that an artifact is held against: Hugging Face's own model and processor, eager."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from mobile_kit.checkpoints.half_precision import HalfPrecision
from mobile_kit.checkpoints.load import CANT_COMPUTE, Checkpoint
from mobile_kit.errors import CheckpointError, OracleError, UnsupportedError, one_line
from mobile_kit.measurements.metrics import comparable, distance, moved, pixel_agreement, sqnr_db
from mobile_kit.models.family import activation_of
from mobile_kit.models.spec import DISCRETE, Activation, Meaning, TensorSpec, group
from mobile_kit.preprocessing.synthetic_images import scene

__all__ = ["LEAST_DIFFERENCE", "Oracle", "ReferenceNoise", "least_difference"]

# Two photos must differ by this part of the outputs' standard deviation, or a comparison proves nothing. What has none
# but over photos, by which it is judged, must differ by this part of its size: more than float32's noise.
LEAST_DIFFERENCE, LEAST_CHANGE = 0.1, 1e-4
MOST_DB = 300.0
# Hugging Face gives these only where asked for hidden states.
STATES = {"hidden_states", "reshaped_hidden_states"}


@dataclass(frozen=True)
class ReferenceNoise:
    """How far Hugging Face is from itself on one output; None where it was not measured.

    float32_error: the largest difference of its float32 from its float64, in standard deviations of the output.
    float16_sqnr_db: signal to noise of its float16, as `HalfPrecision` computes it. Of a class map: the part of the
    pixels that change, in float32_error and float16_changed.
    """

    float32_error: float
    float16_sqnr_db: float | None = None
    float16_changed: float | None = None


class Oracle:
    """Computes the outputs of a file by name, from an image, with Hugging Face's model and processor.

    further: the values of the model's other inputs, by name, the same for every image. activation: what makes scores
    of a classifier's logits; None for what the checkpoint's config says.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        outputs: tuple[TensorSpec, ...],
        further: Mapping[str, NDArray[Any]] | None = None,
        activation: Activation | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.outputs = outputs
        self.further = further or {}
        self._activation = activation

    @property
    def activation(self) -> Activation | None:
        """What makes scores of a classifier's logits."""
        return self._activation or activation_of(self.checkpoint.model.config)

    def pixel_values(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, C) uint8 of any size to the processor's (1, C, h, w) float32."""
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        # Which transformers can't tell of 4 channels.
        layout = {"input_data_format": "channels_last"} if image.shape[2] == 4 else {}
        values = self.checkpoint.processor(images=picture, return_tensors="np", **layout)["pixel_values"]
        return np.ascontiguousarray(values, dtype=np.float32)

    def run(self, pixel_values: NDArray[np.float32], dtype: torch.dtype = torch.float32) -> dict[str, NDArray[Any]]:
        """Return every output of the file, computed in a precision; all come as float64 but masks, which are int32.

        dtype: float16 is computed as `HalfPrecision` does.
        """
        with _in_precision(self.checkpoint.model, dtype) as model:
            return self._named(model, pixel_values, dtype, self.outputs)

    @torch.no_grad()
    def _named(
        self, model: nn.Module, pixel_values: NDArray[np.float32], dtype: torch.dtype, specs: tuple[TensorSpec, ...]
    ) -> dict[str, NDArray[Any]]:
        raw = self._raw(model, pixel_values, dtype, {group(spec.name) for spec in specs})
        return {spec.name: self._output(spec, raw) for spec in specs}

    def _raw(
        self, model: nn.Module, pixel_values: NDArray[np.float32], dtype: torch.dtype, asked: Collection[str]
    ) -> Any:
        # Where nothing is asked for, it stays with the config, as a family may need it.
        options = {"output_hidden_states": True} if STATES & set(asked) else {}
        if "attentions" in asked:
            options["output_attentions"] = True
        further = {name: torch.from_numpy(values) for name, values in self.further.items()}
        if "bool_masked_pos" in further:
            further["bool_masked_pos"] = further["bool_masked_pos"].bool()
        entering = torch.from_numpy(pixel_values)
        return model(entering.double() if dtype == torch.float64 else entering, **further, **options)

    def measure(
        self, pixel_values: NDArray[np.float32], half: bool, most: Mapping[str, int] = MappingProxyType({})
    ) -> tuple[dict[str, ReferenceNoise], dict[str, NDArray[Any]]]:
        """Measure Hugging Face's float32, and where asked its float16, against its float64, for each output.

        pixel_values: (N, C, h, w), each image computed by itself, all judged together. most: outputs that are computed
        for so many of the first images only.
        Returns: the yardsticks, and the answers in float32, (N, ...) or fewer each.
        Raises: UnsupportedError where its float16 overflows.
        """
        exact, single = (self._run_all(pixel_values, kind, most) for kind in (torch.float64, torch.float32))
        low = self._run_all(pixel_values, torch.float16, most) if half else None
        for name, values in (low or {}).items():
            if not np.isfinite(values).all():
                raise UnsupportedError(
                    f"recipe 'fp16' for model {self.checkpoint.source!r}: its {name} overflow in Hugging Face's own "
                    "float16. Export it with --recipe fp32."
                )
        yardsticks = {
            spec.name: _yardstick(spec, exact[spec.name], single[spec.name], None if low is None else low[spec.name])
            for spec in self.outputs
        }
        return yardsticks, single

    def _run_all(
        self, pixel_values: NDArray[np.float32], dtype: torch.dtype, most: Mapping[str, int]
    ) -> dict[str, NDArray[Any]]:
        results = []
        with _in_precision(self.checkpoint.model, dtype) as model:  # once: of a large model it takes its time
            for place, values in enumerate(pixel_values):
                wanted = tuple(spec for spec in self.outputs if place < most.get(spec.name, len(pixel_values)))
                if wanted:
                    results.append(self._named(model, values[None], dtype, wanted))
        return {
            spec.name: np.concatenate([result[spec.name] for result in results if spec.name in result])
            for spec in self.outputs
        }

    @torch.no_grad()
    def check_sight(self, image: NDArray[np.uint8]) -> None:
        """Raise OracleError where the outputs for another photo are the same: such a reference proves nothing.

        Raises: CheckpointError where Hugging Face can't compute them at all.
        """
        other = scene(7, *image.shape)
        model = self.checkpoint.model
        try:
            answers = [self._raw(model, self.pixel_values(photo), torch.float32, ()) for photo in (image, other)]
        except Exception as exc:  # whatever Hugging Face's code stumbles over first
            reason = one_line(exc)
            raise CheckpointError(CANT_COMPUTE.format(source=self.checkpoint.source, reason=reason)) from exc
        # A config can leave an output out: CvT's class token, for one.
        for name in (name for name in self.checkpoint.head.outputs if name in answers[0]):
            for first, second in zip(*(_floats(answer[name]) for answer in answers), strict=True):
                self._check_difference(name, first, second)

    def _check_difference(self, name: str, first: NDArray[Any], second: NDArray[Any]) -> None:
        part = moved(first, second)
        meaning: Meaning = "features"
        if self.checkpoint.head.name == "classification":
            meaning = "values" if self.activation == "none" else "logits"
        spec = TensorSpec(name, first.shape, meaning=meaning)
        if not part >= least_difference(spec):  # nor where it isn't a number
            raise OracleError(
                f"model {self.checkpoint.source!r}: its {name} are the same for different images (they differ by "
                f"{part:.2g} of their spread), so nothing can be verified against it. Give a trained checkpoint, "
                "or --random-weights to measure latency before training."
            )

    def check_preprocess(self, image: NDArray[np.uint8]) -> None:
        """Raise CheckpointError where the processor does something else than our reading of its config."""
        preprocess = self.checkpoint.preprocess
        ours, theirs = preprocess.arithmetic(preprocess.geometry(image)), self.pixel_values(image)
        if ours.shape != theirs.shape or not float(np.abs(ours - theirs).max()) <= 1e-5:
            raise CheckpointError(
                f"model {self.checkpoint.source!r}: its processor {type(self.checkpoint.processor).__name__} does "
                "something that the kit doesn't reproduce. Give a checkpoint with the family's own processor."
            )

    def _output(self, spec: TensorSpec, raw: Any) -> NDArray[Any]:
        if spec.name == "probabilities":
            value = self._scores(raw["logits"])
        elif spec.name in {"mask", "segmenter"}:
            return self._segmentation(spec, raw)
        else:
            like = group(spec.name)
            value = raw[like] if like == spec.name else raw[like][int(spec.name.removeprefix(f"{like}_"))]
        return value.numpy().astype(np.float64).reshape(spec.shape or value.shape)

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Return what transformers' own pipeline makes of a classifier's logits."""
        return logits.sigmoid() if self.activation == "sigmoid" else F.softmax(logits, dim=-1)

    def _segmentation(self, spec: TensorSpec, raw: Any) -> NDArray[Any]:
        size = self.checkpoint.image_size
        if spec.name == "mask":
            maps = self.checkpoint.processor.post_process_semantic_segmentation(raw, target_sizes=[size])
            return maps[0].numpy().astype(np.int32)[None]
        scores = F.interpolate(raw["logits"], size=size, mode="bilinear", align_corners=False)
        return scores.permute(0, 2, 3, 1).numpy().astype(np.float64)


@contextmanager
def _in_precision(model: nn.Module, dtype: torch.dtype) -> Iterator[nn.Module]:
    """Give a float32 model in another precision: the same one, as a copy of a large one is larger."""
    if dtype == torch.float64:
        try:
            yield model.double()
        finally:
            model.float()  # each number of it was a float32, and is again
    elif dtype == torch.float16:
        with HalfPrecision():
            yield model
    else:
        yield model


def _floats(value: Any) -> list[NDArray[Any]]:
    """Return the tensors of an output that are no indices, as float64."""
    tensors = value if isinstance(value, tuple) else (value,)
    return [tensor.double().numpy() for tensor in tensors if tensor.is_floating_point()]


def _yardstick(
    spec: TensorSpec, exact: NDArray[Any], single: NDArray[Any], half: NDArray[Any] | None
) -> ReferenceNoise:
    if spec.meaning in DISCRETE:
        changed = None if half is None else 1 - pixel_agreement(half, exact)
        return ReferenceNoise(1 - pixel_agreement(single, exact), None, changed)
    noise = None
    if half is not None:
        # Where a saturated output leaves no difference at all, the decibels are infinite, for which JSON has no word.
        noise = min(sqnr_db(*comparable(half, exact, spec.spread_over_photos)), MOST_DB)
    return ReferenceNoise(distance(*comparable(single, exact, spec.spread_over_photos)), noise)


def least_difference(spec: TensorSpec) -> float:
    """Return how far two photos must move an output, as `metrics.moved` has it, for a comparison to prove anything."""
    return LEAST_CHANGE if spec.spread_over_photos else LEAST_DIFFERENCE
