"""Outputs that an app wants and Hugging Face leaves to its caller: probabilities, masks, a segmenter's scores."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.family import Head
from mobile_kit.models.layers import Sigmoid, Softmax
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec, group

__all__ = ["check_outputs", "essential_outputs", "known_outputs", "select_outputs"]

STATES, LAST = "hidden_states", "last_hidden_state"
DERIVED: dict[str, tuple[str, ...]] = {
    "classification": ("probabilities",),
    "segmentation": ("mask", "segmenter"),
}


class SelectedOutputs(CommonModel):
    """A common model with some of its outputs, and others derived from its logits."""

    def __init__(self, model: CommonModel, outputs: tuple[TensorSpec, ...]) -> None:
        super().__init__(replace(model.spec, outputs=outputs))
        self.model = model
        self.activation = Sigmoid() if model.spec.activation == "sigmoid" else Softmax(shown=True)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.model.stem

    def absorb(self, constant: Tensor) -> bool:
        """Add a constant map to the stem's result where the model can."""
        return self.model.absorb(constant)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The model's inputs to the selected outputs."""
        names = (spec.name for spec in self.model.spec.outputs)
        raw = dict(zip(names, self.model(*inputs), strict=True))
        return tuple(
            raw[spec.name] if spec.name in raw else self._derive(spec, raw["logits"]) for spec in self.spec.outputs
        )

    def _derive(self, spec: TensorSpec, logits: Tensor) -> Tensor:
        if spec.name == "probabilities":
            scores: Tensor = self.activation(logits)
            return scores
        scores = F.interpolate(logits, size=self.spec.image_size, mode="bilinear", align_corners=False)
        if spec.name == "mask":
            return torch.argmax(scores, dim=1).to(torch.int32)
        return scores.permute(0, 2, 3, 1)


def essential_outputs(head: Head, outputs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """Return those of a file's outputs that the head is there for."""
    # An attention over a single token is 1 for any photo, and probabilities may well be the same for two photos of one
    # class: they speak only where nothing else does.
    speaking = [out for out in outputs if out.meaning in {"logits", "values"} or group(out.name) in head.outputs]
    found = [out for out in speaking if out.meaning in {"features", "logits", "values"}]
    return found or [out for out in outputs if out.meaning in {"features", "loss", "probabilities"}]


def known_outputs(head: Head) -> tuple[str, ...]:
    """Return every name that `--outputs` takes for a head."""
    return (*DERIVED.get(head.name, ()), *head.outputs, *head.optional)


def check_outputs(head: Head, requested: Collection[str]) -> None:
    """Raise UnsupportedError for an output that the head doesn't have, or that goes with no other."""
    for name in requested:
        if name in head.absent:
            raise UnsupportedError(f"output {name!r}: {head.absent[name]}. Known: {', '.join(known_outputs(head))}.")
        if name not in known_outputs(head):
            raise UnsupportedError(
                f"output {name!r}: the {head.name} head has none of that name. Known: {', '.join(known_outputs(head))}."
            )
    if "segmenter" in requested and len(requested) > 1:
        raise UnsupportedError(
            f"outputs {', '.join(requested)}: MediaPipe's ImageSegmenter takes a file with one output. "
            "Ask for segmenter alone."
        )


def select_outputs(model: CommonModel, head: Head, requested: tuple[str, ...]) -> CommonModel:
    """Return the model with the outputs of its file, in their order.

    requested: names from `known_outputs`. Optional ones (`hidden_states`) are added to the others; where none of the
    others is named, a classifier gives probabilities and logits, any other head, and a regression, what Hugging Face
    gives. The last of a base head's hidden states goes by the name of last_hidden_state.
    Raises: UnsupportedError for an unknown name, for an output that the checkpoint's config leaves out, and for
        probabilities of what has none.
    """
    check_outputs(head, requested)
    given = {group(spec.name) for spec in model.spec.outputs}
    for name in requested:
        if name in (*head.outputs, *head.optional) and name not in given:
            raise UnsupportedError(
                f"output {name!r}: the checkpoint's config leaves it out. Known: {', '.join(sorted(given))}."
            )
    if "probabilities" in requested and model.spec.activation in {None, "none"}:
        raise UnsupportedError(
            "output 'probabilities': the checkpoint's config makes it a regression or gives it no classes, so that its "
            "logits are no scores. Ask for logits."
        )
    main = tuple(name for name in known_outputs(head) if name in requested and name not in head.optional)
    if main and STATES in requested and LAST in head.outputs and LAST not in main:
        main = (LAST, *main)
    outputs: list[TensorSpec] = []
    for name in main or _default(model.spec, head):
        raw = [spec for spec in model.spec.outputs if group(spec.name) == name]
        outputs += raw or [_derived(name, model.spec)]
    outputs += [spec for spec in model.spec.outputs if group(spec.name) in head.optional]
    same = tuple(outputs) == model.spec.outputs
    return model if same else SelectedOutputs(model, tuple(outputs)).eval()


def _default(spec: ModelSpec, head: Head) -> tuple[str, ...]:
    scored = spec.activation in {"sigmoid", "softmax"}
    given = tuple(name for name in head.outputs if any(group(out.name) == name for out in spec.outputs))
    return ("probabilities", *given) if scored else given


def _derived(name: str, spec: ModelSpec) -> TensorSpec:
    logits = next(out for out in spec.outputs if out.name == "logits")
    height, width = spec.image_size
    classes = logits.shape[1]
    if name == "probabilities":
        return TensorSpec(name, logits.shape, "float32", "NK", "probabilities", range=(0, 1))
    if name == "mask":
        return TensorSpec(name, (1, height, width), "int32", "NHW", "mask", range=(0, classes - 1))
    return TensorSpec(name, (1, height, width, classes), "float32", "NHWK", "logits")
