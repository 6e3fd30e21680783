"""What a model takes and gives: the types that every stage of the pipeline shares."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["DISCRETE", "Activation", "Array", "CommonModel", "Entry", "Meaning", "ModelSpec", "TensorSpec", "group"]

Meaning = Literal[
    "features",
    "image",
    "index",
    "kept",
    "logits",
    "loss",
    "mask",
    "noise",
    "patch_mask",
    "pixel_values",
    "probabilities",
    "values",
]
"""`index`: whole numbers that are right or wrong, such as an order. `kept`: an output, 1 where a patch was kept,
0 where it was masked. `noise`: an input of distinct numbers in [0, 1), of which only the order counts. `patch_mask`: an
input, 1 where a patch is masked, 0 elsewhere. `values`: the numbers that a regression predicts."""
Activation = Literal["none", "sigmoid", "softmax"]
"""What makes scores of a classifier's logits: `softmax` where one class is right, `sigmoid` where each is or isn't by
itself, `none` where they are a regression's values."""
# What has no distance: classes, indices and choices agree or don't.
DISCRETE = frozenset({"index", "kept", "mask"})


@dataclass(frozen=True)
class TensorSpec:
    """One input or output, with its meaning to an app.

    `shape` includes the batch axis (always 1). `layout` names the axes (`NCHW`, `NHWC`, `NK`, ...), None where the
    field has no letters for them. `color` is `RGB`, `BGR` or `GRAY` for images, `range` the least and greatest value.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str | None = None
    meaning: Meaning = "features"
    color: str | None = None
    range: tuple[float, float] | None = None

    @property
    def spread_over_photos(self) -> bool:
        """Whether its standard deviation is taken over photos: its values have different units, or there is one."""
        single = self.meaning in {"logits", "probabilities"} and math.prod(self.shape) == 1
        return self.meaning == "values" or single


def group(name: str) -> str:
    """Return what an output is called together with its like: `hidden_states` for hidden_states_3."""
    stem, _, number = name.rpartition("_")
    return stem if number.isdigit() else name


@dataclass(frozen=True)
class ModelSpec:
    """What a common model is: its family and head, its size, and its inputs and outputs in order.

    activation: of a classifier that has classes, None of any other head, and where the pipeline is to take it from the
    checkpoint's config.
    """

    family: str
    head: str
    image_size: tuple[int, int]
    num_channels: int
    num_labels: int | None
    num_parameters: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] | None = field(default=None, repr=False)
    activation: Activation | None = None


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

    def absorb(self, constant: Tensor) -> bool:
        """Add a constant map (1, C, H, W) to the stem's result where that costs nothing, and tell whether it does.

        A stem that pads its input can't subtract the image's mean by its bias; such a map can.
        """
        return False

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of the spec."""
        raise NotImplementedError


Array = NDArray[Any]


Entry = Literal["pixel_values", "uint8_nhwc", "rgb_nchw"]
"""How an image enters a graph: the processor's result; bytes (1, H, W, C); or, behind a platform's own image type,
pixels 0..255 as float (1, C, H, W)."""
