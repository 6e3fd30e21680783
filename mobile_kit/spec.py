"""What a model takes and gives: the types that every stage of the pipeline shares."""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

__all__ = ["CommonModel", "Meaning", "ModelSpec", "TensorSpec"]

Meaning = Literal["features", "image", "logits", "mask", "pixel_values", "probabilities"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output, with its meaning to an app.

    `shape` includes the batch axis (always 1). `layout` names the axes (`NCHW`, `NHWC`, `NK`, ...), null where the
    field has no letters for them. `color` is `RGB`, `BGR` or `GRAY` for images, `range` the least and greatest value.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str | None = None
    meaning: Meaning = "features"
    color: str | None = None
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class ModelSpec:
    """What a common model is: its family and head, its size, and its inputs and outputs in order."""

    family: str
    head: str
    image_size: tuple[int, int]
    num_channels: int
    num_labels: int | None
    num_parameters: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] | None = field(default=None, repr=False)


class CommonModel(nn.Module):
    """An export-friendly network with a checkpoint's weights.

    `forward` takes one tensor an input of the spec and returns a tuple with one tensor an output, in their order.
    `stem` is the first convolution that reads the image, into which `preprocess.attach` folds its arithmetic.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of the spec."""
        raise NotImplementedError
