"""Linear layers as LiteRT's GPU engine takes them."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PointwiseLinear"]


class PointwiseLinear(nn.Linear):
    """A linear layer as a 1x1 convolution over tokens that stand in a column.

    Of FULLY_CONNECTED on (1, T, D) the engine makes a batch of T, which its kernels refuse or compute wrongly once
    weights or activations are int8. XNNPACK computes both with the same kernels.
    """

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D')."""
        # The file's maps are NHWC: neither permute leaves an operation.
        column = x.reshape(1, -1, 1, self.in_features).permute(0, 3, 1, 2)
        y = F.conv2d(column, self.weight[:, :, None, None], self.bias)
        return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], self.out_features)
