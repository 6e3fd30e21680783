import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.layers import MapNorm, Mlp, Ranking, fold_affine, fold_batch_norm, pointwise, reorder, replace

# Absolute, of values of size 1: float32 with another order of sums. Measured: 2.9e-6 at most.
BOUND = 1e-5


def filled(module: nn.Module) -> Any:
    generator = torch.Generator().manual_seed(0)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.2, 1.2, generator=generator)
    return module.eval().requires_grad_(False)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def check_same(ours: Tensor, reference: Tensor) -> None:
    assert reference.std() > 0.1
    torch.testing.assert_close(ours / reference.std(), reference / reference.std(), rtol=0, atol=BOUND)


@pytest.mark.parametrize("eps", [1e-5, 1e-1])
def test_map_norm_is_a_group_norm_of_one_group(eps: float) -> None:
    x = noise(1, 12, 7, 5) * 3 + 2
    tokens = x.permute(0, 2, 3, 1).reshape(1, 35, 12)
    want = nn.GroupNorm(1, 12, eps, affine=False)(x).permute(0, 2, 3, 1).reshape(1, 35, 12)
    check_same(MapNorm(35, 12, eps)(tokens), want)


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "pointwise": {"kernel_size": 1},
    "padded": {"kernel_size": 3, "padding": 1, "stride": 2},
    "without bias": {"kernel_size": 3, "bias": False},
    "depthwise, dilated": {"kernel_size": 3, "groups": 8, "dilation": 2, "padding": 2},
    "same": {"kernel_size": 4, "padding": "same"},
    "not square": {"kernel_size": (3, 5), "padding": (1, 2), "stride": (1, 2)},
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("normalized", [False, True])
def test_batch_norm_folds_into_its_convolution(kind: str, normalized: bool) -> None:
    conv = filled(nn.Conv2d(8, 16, **CONVOLUTIONS[kind]))
    norm = filled(nn.BatchNorm2d(16, eps=1e-3)) if normalized else None
    x = noise(1, 8, 11, 9)
    check_same(fold_batch_norm(conv, norm)(x), norm(conv(x)) if norm else conv(x))


def test_folding_leaves_the_original_as_it_is() -> None:
    conv, norm = filled(nn.Conv2d(4, 4, 1)), filled(nn.BatchNorm2d(4))
    weight = conv.weight.clone()
    folded = fold_batch_norm(conv, norm)
    folded.weight.zero_()
    assert torch.equal(conv.weight, weight)


@pytest.mark.parametrize("rows", [slice(None), slice(0, 1), slice(1, 5), slice(5, None)])
@pytest.mark.parametrize("bias", [False, True])
def test_pointwise_is_the_convolution_over_tokens(rows: slice, bias: bool) -> None:
    conv = filled(nn.Conv2d(6, 9, 1, bias=bias))
    x = noise(1, 6, 4, 3)
    want = conv(x)[:, rows].permute(0, 2, 3, 1).reshape(1, 12, -1)
    check_same(pointwise(conv, rows)(x.permute(0, 2, 3, 1).reshape(1, 12, 6)), want)


def test_affine_folds_into_a_linear_layer() -> None:
    layer, (gamma, beta) = filled(nn.Linear(6, 9)), (noise(6), noise(6) + 3)
    x = noise(1, 12, 6)
    want = layer(x * gamma + beta)
    check_same(fold_affine(layer, gamma, beta)(x), want)


def test_affine_folds_into_a_convolution() -> None:
    layer, (gamma, beta) = filled(nn.Conv2d(6, 9, 1)), (noise(6), noise(6) + 3)
    x = noise(1, 6, 4, 3)
    want = layer(x * gamma.reshape(1, -1, 1, 1) + beta.reshape(1, -1, 1, 1))
    assert fold_affine(layer, gamma, beta) is layer
    check_same(layer(x), want)


def test_a_feed_forward_network_without_width_is_refused() -> None:
    norm = nn.LayerNorm(4)
    with pytest.warns(UserWarning, match="zero-element"), pytest.raises(UnsupportedError, match="has a width of 0"):
        Mlp(norm, nn.Linear(4, 0), nn.GELU(), nn.Linear(0, 4))


def test_replace_reaches_every_depth_and_nothing_else() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"a": nn.ReLU()})))
    kept = model[1][0]
    replace(model, nn.ReLU, lambda module: nn.Sequential(module, nn.Tanh()))
    assert isinstance(model[0], nn.Sequential)
    assert isinstance(model[1][1]["a"][1], nn.Tanh)
    assert isinstance(model[1][1]["a"][0], nn.ReLU)  # what a replacement holds isn't replaced again
    assert model[1][0] is kept


ORDERS: dict[str, tuple[list[int], list[int]]] = {
    "as it is": ([2, 3, 4], [0, 1, 2]),
    "transposed": ([2, 3, 4], [1, 0, 2]),
    "four reversed": ([5, 4, 3, 2, 7], [3, 2, 1, 0, 4]),
    "six reversed": ([2, 3, 2, 3, 2, 3, 4], [5, 4, 3, 2, 1, 0, 6]),
    "rows and columns to blocks": ([3, 2, 2, 2, 5, 2, 2, 2, 4], [0, 4, 1, 5, 2, 6, 3, 7, 8]),
    "ones among them": ([1, 2, 1, 3, 2], [3, 2, 4, 1, 0]),
}


@pytest.mark.parametrize("case", ORDERS)
def test_reorder_is_a_permute_of_many_axes_in_tensors_of_few(case: str) -> None:
    sizes, order = ORDERS[case]
    x = torch.arange(math.prod(sizes)).reshape(1, -1, sizes[-1])
    ours = reorder(x, sizes, order)
    assert ours.shape == x.shape
    assert torch.equal(ours.flatten(), x.reshape(sizes).permute(order).flatten())

    class Reordered(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return reorder(x, sizes, order)

    nodes = torch.export.export(Reordered(), (x,)).graph.nodes
    assert max(node.meta["val"].dim() for node in nodes if node.op == "call_function") <= 5


@pytest.mark.parametrize("count", [1, 4, 49])
@pytest.mark.parametrize("part", [0.0, 0.4, 1.0])
def test_ranking_is_argsort_and_a_selection(count: int, part: float) -> None:
    chosen = max(int(part * count), 1)
    ranking = Ranking(count, chosen)
    numbers = torch.randperm(count, generator=torch.Generator().manual_seed(3)).reshape(1, -1) / count
    ranks, kept, matrix = ranking(numbers)
    assert torch.equal(ranks, numbers.argsort(1).argsort(1).float())
    assert torch.equal(kept, (ranks < chosen).float())
    assert torch.equal(matrix @ numbers[0], numbers[0][kept[0].bool()])


def test_equal_numbers_rank_in_their_order() -> None:
    ranks, kept, _ = Ranking(4, 2)(torch.tensor([[0.5, 0.1, 0.5, 0.1]]))
    assert ranks.tolist() == [[2, 0, 3, 1]]
    assert kept.tolist() == [[0, 1, 0, 1]]
