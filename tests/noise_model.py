"""A model of an image and of noise, whose order float16 loses."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mobile_kit.artifacts.golden_inputs import further_inputs
from mobile_kit.models.layers import Ranking
from mobile_kit.models.spec import Array, CommonModel, ModelSpec, TensorSpec
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import Lowered, ModelCard, Request
from mobile_kit.target_api.registry import find_target

UNITS, CHOSEN = 49, 19
NOISE = TensorSpec("noise", (1, UNITS), "float32", None, "noise", range=(0, 1))
PIXELS = TensorSpec("pixel_values", (1, UNITS, 4, 4), "float32", "NCHW", "pixel_values")
OUTPUTS = (
    TensorSpec("features", (1, CHOSEN, 16), "float32", "NTC"),
    TensorSpec("order", (1, UNITS), "int32", "NT", "index"),
)
CARD = ModelCard("noise", "a test", None, None, "noise", None)


class Selection(CommonModel):
    """Channels that noise chooses, and the noise's order."""

    def __init__(self) -> None:
        super().__init__(ModelSpec("noise", "base", (4, 4), UNITS, None, 0, (PIXELS, NOISE), OUTPUTS))
        self.conv = nn.Conv2d(UNITS, UNITS, 1)
        self.ranking = Ranking(UNITS, CHOSEN)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.conv

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values and noise to the outputs."""
        ranks, _, matrix = self.ranking(inputs[1])
        maps = self.conv(inputs[0]).reshape(1, UNITS, 16)
        return torch.bmm(matrix.reshape(1, *matrix.shape), maps), ranks.to(torch.int32)


def lowered(target: str, backend: str | None, path: Path) -> Lowered:
    """Write the float16 file of the model."""
    torch.manual_seed(0)
    return find_target(target).lower(
        Selection().eval().requires_grad_(False), Request(recipe("fp16"), backend, None, CARD), path
    )


def order_of(target: str, path: Path) -> tuple[Array, Array]:
    """Run a file. Returns: the order that it gives, and the right one."""
    noise = further_inputs([NOISE])["noise"]
    inputs = {"pixel_values": np.random.default_rng(0).random(PIXELS.shape, np.float32), "noise": noise}
    found = find_target(target).load(path, (PIXELS, NOISE), OUTPUTS).run(inputs)["order"]
    return found, noise.argsort(1).argsort(1)
