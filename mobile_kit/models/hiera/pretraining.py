"""Hiera as a masked autoencoder: which mask units are kept, and the decoder that predicts the others' pixels.

A whole unit is selected by one product with a matrix of zeros and ones, and put back by the transposed one.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.hiera.network import Hiera, Stage
from mobile_kit.models.hiera.token_order import TokenOrder
from mobile_kit.models.layers import Ranking, TokenNorm, fold_affine, linear, reorder
from mobile_kit.models.spec import ModelSpec

__all__ = ["HieraPreTraining", "check_pretraining", "predicted", "units_kept"]


def predicted(config: Any) -> tuple[int, int]:
    """Return the (height, width) in pixels that one token of the decoder predicts."""
    sides = zip(config.patch_stride, config.query_stride, strict=True)
    height, width = (patch * stride**config.num_query_pool for patch, stride in sides)
    return height, width


def units_kept(config: Any, order: TokenOrder) -> int:
    """Return how many mask units are not masked."""
    return int(math.prod(order.cells) * (1 - config.mask_ratio))


def check_pretraining(config: Any, order: TokenOrder, loss: bool) -> None:
    """Raise UnsupportedError for a config with which Hugging Face can't pretrain, or sees nothing of the image."""
    height, width = predicted(config)
    units, kept = math.prod(order.cells), units_kept(config, order)
    if height != width:
        raise UnsupportedError(
            f"patch_stride {list(config.patch_stride)} and query_stride {list(config.query_stride)} in the config: a "
            f"token would predict {height}x{width} pixels, and Hugging Face predicts squares only. Mend config.json."
        )
    if order.spare != 1:
        raise UnsupportedError(
            f"masked_unit_size {list(config.masked_unit_size)} in the config: Hugging Face pretrains only with units "
            "that all stages together would pool to one token. Mend config.json."
        )
    if not 0 < kept <= units:
        raise UnsupportedError(
            f"mask_ratio {config.mask_ratio} in the config: keeps {kept} of {units} mask units. Mend config.json."
        )
    if config.decoder_depth < 1:
        raise UnsupportedError(
            f"decoder_depth {config.decoder_depth} in the config: Hugging Face decodes with one layer at least. "
            "Mend config.json."
        )
    if config.decoder_hidden_size % config.decoder_num_heads:
        raise UnsupportedError(
            f"decoder_num_heads {config.decoder_num_heads} in the config: don't divide decoder_hidden_size "
            f"{config.decoder_hidden_size}. Mend config.json."
        )
    if loss and (kept == units or height * width * config.num_channels == 1):
        raise UnsupportedError(
            f"output 'loss': is not a number where {kept} of {units} mask units are kept and a token predicts "
            f"{height * width * config.num_channels} values. Leave it out."
        )


class Masking(nn.Module):
    """Choose mask units by noise, and show the network those only."""

    def __init__(self, order: TokenOrder, kept: int, unit: tuple[int, int]) -> None:
        super().__init__()
        self.order = order
        self.ranking = Ranking(math.prod(order.cells), kept)
        self.pixels = Spread(order.cells, unit)

    def select(self, x: Tensor, chosen: Tensor) -> Tensor:
        """(1, T, D) and a matrix (kept, units) to the tokens of the units that are kept."""
        # Batched, as litert-torch 0.10 fails at a plain product with the matrix where one unit is kept.
        units = x.reshape(1, chosen.shape[1], -1)
        return torch.bmm(chosen.reshape(1, *chosen.shape), units).reshape(1, -1, x.shape[2])


class Spread(nn.Module):
    """Give each number of a grid to all of a block."""

    ones: Tensor

    def __init__(self, grid: tuple[int, int], block: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.size = (grid[0] * block[0], grid[1] * block[1])
        self.register_buffer("ones", torch.ones(1, block[0], 1, block[1]), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """(1, rows * columns) to (1, 1, H, W)."""
        return (numbers.reshape(self.grid[0], 1, self.grid[1], 1) * self.ones).reshape(1, 1, *self.size)


class Fusion(nn.Module):
    """The sum of the pooled stages' tokens and the last one's, each brought to the last one's map and width."""

    def __init__(self, heads: nn.ModuleList, order: TokenOrder) -> None:
        super().__init__()
        convolutions = [head for head in heads if isinstance(head, nn.Conv2d)]
        self.heads = nn.ModuleList(_by_block(conv, order.stride) for conv in convolutions)

    def forward(self, states: list[Tensor]) -> Tensor:
        """The embedding's tokens and those of every stage to (1, T, D)."""
        fused = states[-1]
        for head, state in zip(self.heads, states[1:], strict=False):
            fused = fused + head(state.reshape(1, fused.shape[1], -1))
        return fused


def _by_block(conv: nn.Conv2d, stride: tuple[int, int]) -> nn.Linear:
    """Return a convolution whose steps are as large as its kernel, over the flattened tokens of one step."""
    height, width = int(conv.kernel_size[0]), int(conv.kernel_size[1])
    # As often as a stride divides the kernel; along an axis of stride 1 there is nothing to divide.
    count = next(n for n in range(height * width) if (stride[0] ** n, stride[1] ** n) == (height, width))
    order = [0, *(axis for i in range(1, count + 1) for axis in (i, i + count)), 2 * count + 1]
    sizes = [conv.out_channels, *[stride[0]] * count, *[stride[1]] * count, conv.in_channels]
    weight = reorder(conv.weight.detach().permute(0, 2, 3, 1), sizes, order).reshape(conv.out_channels, -1)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    assert conv.bias is not None
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(conv.bias.detach())
    return linear(layer)


class Decoder(nn.Module):
    """Put the kept units among masked ones, and predict every token's pixels."""

    positions: Tensor
    masked: Tensor

    def __init__(self, model: Any, order: TokenOrder) -> None:
        super().__init__()
        decoder, norm = model.decoder, model.encoder_norm
        self.order = order
        self.fusion = Fusion(model.multiscale_fusion.multi_scale_fusion_heads, order)
        self.norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        self.embed = fold_affine(linear(decoder.decoder_embeddings), norm.weight, norm.bias)
        tokens = order.tokens(order.pools) // math.prod(order.cells)
        mask_token = decoder.mask_token.detach().reshape(1, 1, -1)
        self.register_buffer("masked", mask_token.repeat(1, 1, tokens), persistent=False)
        positions = decoder.decoder_position_embeddings.detach().clone()
        self.register_buffer("positions", positions, persistent=False)
        self.blocks = Stage(decoder.decoder_block)
        norm = decoder.decoder_norm
        self.last_norm = TokenNorm(norm.normalized_shape[0], norm.eps)
        self.predict = fold_affine(linear(decoder.decoder_pred), norm.weight, norm.bias)

    def forward(self, states: list[Tensor], kept: Tensor, chosen: Tensor) -> Tensor:
        """States of the kept units, ones where a unit is kept (1, units) and (kept, units) to (1, T, pixels)."""
        x = self.embed(self.norm(self.fusion(states)))
        back = chosen.reshape(1, *chosen.shape).permute(0, 2, 1)
        units = torch.bmm(back, x.reshape(1, chosen.shape[0], -1)) + (1 - kept).reshape(1, -1, 1) * self.masked
        x = self.order.to_raster(units.reshape(1, -1, x.shape[2]), self.order.pools)
        x, _ = self.blocks(x + self.positions)
        return self.predict(self.last_norm(x))


class PixelLoss(nn.Module):
    """The mean squared error of the predicted pixels, over the tokens that were masked."""

    part: ClassVar[str] = "always float"

    def __init__(self, config: Any, image_size: tuple[int, int], masked: int) -> None:
        super().__init__()
        side = predicted(config)[0]
        self.blocks = (config.num_channels, image_size[0] // side, side, image_size[1] // side, side)
        self.normalize = config.normalize_pixel_loss
        self.masked = masked

    def forward(self, pixel_values: Tensor, logits: Tensor, kept: Tensor) -> Tensor:
        """(1, C, H, W), (1, T, P) and ones where a token was kept (1, T) to (1,)."""
        label = pixel_values.reshape(self.blocks).permute(1, 3, 0, 2, 4).reshape(logits.shape)
        if self.normalize:
            count = label.shape[2]
            centred = label - label.mean(2, keepdim=True)
            variance = (centred * centred).mean(2, keepdim=True) * (count / (count - 1))
            label = centred * torch.rsqrt(variance + 1e-6)
        error = logits - label
        by_token = (error * error).mean(2)
        return (by_token * (1 - kept)).sum(1) / self.masked


class HieraPreTraining(Hiera):
    """The masked autoencoder.

    whole: the order of all tokens. kept: that of the units that the network sees.
    """

    def __init__(self, spec: ModelSpec, model: Any, whole: TokenOrder, kept: TokenOrder) -> None:
        super().__init__(spec, model, kept)
        config, units = model.config, math.prod(whole.cells)
        height, width = spec.image_size
        self.masking = Masking(whole, kept.cells[0], (height // whole.cells[0], width // whole.cells[1]))
        self.decoder = Decoder(model, whole)
        side, across = (size // cells for size, cells in zip(whole.map_size(whole.pools), whole.cells, strict=True))
        self.by_token = Spread(whole.cells, (side, across))
        self.loss: PixelLoss | None = None
        self.arithmetic: nn.Conv2d | None = None
        if any(out.name == "loss" for out in spec.outputs):
            self.loss = PixelLoss(config, spec.image_size, (units - kept.cells[0]) * side * across)
            self.arithmetic = _nothing(config.num_channels)

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image: where the loss reads it too, one that leaves it as it is."""
        return self.embeddings.projection if self.arithmetic is None else self.arithmetic

    def absorb(self, constant: Tensor) -> bool:
        """Refuse: what the mean gives at a masked pixel depends on the mask."""
        return False

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W), as the processor returns them, and noise (1, units) to the outputs of the spec."""
        pixel_values = inputs[0] if self.arithmetic is None else self.arithmetic(inputs[0])
        ranks, kept, chosen = self.masking.ranking(inputs[1])
        x = self.embeddings(pixel_values * self.masking.pixels(kept))
        states, attentions = self.encode(self.masking.select(self.masking.order.from_raster(x), chosen))
        logits = self.decoder(states, kept, chosen)
        by_token = self.by_token(kept).reshape(1, -1)
        found = {"logits": logits, "bool_masked_pos": by_token, "ids_restore": ranks.to(torch.int32)}
        if self.loss is not None:
            found["loss"] = self.loss(pixel_values, logits, by_token)
        return self.chosen({**found, **self.asked(states, attentions)})


def _nothing(channels: int) -> nn.Conv2d:
    """Return a convolution that changes nothing."""
    conv = nn.Conv2d(channels, channels, 1)
    conv.weight = nn.Parameter(torch.eye(channels).reshape(channels, channels, 1, 1), requires_grad=False)
    conv.bias = nn.Parameter(torch.zeros(channels), requires_grad=False)
    return conv
