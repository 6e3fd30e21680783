import functools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torch import Tensor, nn

from mobile_kit.measurements.metrics import sqnr_db
from mobile_kit.models.layers import MapNorm, Ranking, TokenNorm
from targets.executorch.float16 import HalfRanking, decompose, gelu, silu
from targets.executorch.norms import FEW_TOKENS, HalfNorm, MeanInTurns

# One rounding to float16 leaves 74 dB, three 69; numbers that belong to all of a token add a little.
THREE_ROUNDINGS_DB, TWO_ROUNDINGS_DB = 66.0, 68.0


def in_xnnpack(module: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    """Compile a module in float16 as a .pte that is one delegate and nothing else. x: such as it takes."""
    program = decompose(torch.export.export(module.half().eval(), (x.half(),)))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    called = [str(node.target) for node in edge.exported_program().graph.nodes if node.op == "call_function"]
    assert called[0].startswith("executorch_call_delegate")
    assert len(called) == 2  # and the getitem of its result
    loaded = Runtime.get().load_program(edge.to_executorch().buffer)

    def run(x: Tensor) -> Tensor:
        found: Tensor = loaded.load_method("forward").execute([x.half()])[0]
        return found.clone()

    return run


def decibels(found: Tensor, exact: Tensor) -> float:
    return sqnr_db(found.double().numpy(), exact.numpy())


def tokens(mean: float = 0.0, scale: float = 1.0) -> Tensor:
    torch.manual_seed(0)
    return (torch.randn(1, 48, 96) + mean) * scale


def with_outlier() -> Tensor:
    x = tokens()
    x[:, :, 5] = 2000.0
    return x


INPUTS: dict[str, Callable[[], Tensor]] = {
    "plain": tokens,
    "of a large mean": lambda: tokens(mean=20.0),
    "of large numbers": lambda: tokens(scale=1000.0),
    "of small numbers": lambda: tokens(scale=0.01),
    "of one large channel": with_outlier,
}
NORMS = {"token": TokenNorm(96, 1e-5), "map": MapNorm(48, 96, 1e-5)}


@functools.cache
def half_norm(kind: str) -> Callable[[Tensor], Tensor]:
    return in_xnnpack(HalfNorm(NORMS[kind]), tokens())


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("name", INPUTS)
def test_a_norm_keeps_float16_s_precision(name: str, kind: str) -> None:
    x = INPUTS[name]().half().float()
    assert decibels(half_norm(kind)(x), NORMS[kind](x.double())) > THREE_ROUNDINGS_DB


# Maps of 8 x 8 to 64 x 64, of no rows (4 x 17), and of a prime number of tokens.
TOKENS = (64, 68, 257, 784, 1024, 4093, 4096)
# Compiling takes the time: these are one turn, few columns, a last row with empty places, and the most tokens.
COMPILED = [pytest.param(count, marks=() if count in {64, 68, 257, 4096} else pytest.mark.slow) for count in TOKENS]
# The least normal number of float16: a kernel that adds up in float16 may take what is smaller for 0.
NORMAL = 2.0**-14
# The mean of the squares that HalfNorm takes, of normally distributed numbers: (1 / 8)^2 * pi / 2.
SQUARE = math.pi / 128


@pytest.mark.parametrize("count", COMPILED)
def test_a_norm_over_a_map_of_any_size_keeps_float16_s_precision(count: int) -> None:
    torch.manual_seed(0)
    x = (torch.randn(1, count, 64) * 0.01).half().float()
    norm = MapNorm(count, 64, 1e-5)
    assert decibels(in_xnnpack(HalfNorm(norm), x)(x), norm(x.double())) > THREE_ROUNDINGS_DB


@pytest.mark.parametrize("count", TOKENS)
def test_the_means_of_a_norm_have_no_addend_that_is_0_in_half_sums(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[Tensor] = []
    linear, width = F.linear, 48

    def recorded(x: Tensor, weight: Tensor) -> Tensor:
        if x.shape[-1] != width:  # over tokens; what is 0 is padding
            added.append((x * weight)[x != 0])
        return linear(x, weight)

    torch.manual_seed(0)
    x = torch.randn(1, count, width)
    norm = HalfNorm(MapNorm(count, width, 1e-5))
    turns = 1 if count <= FEW_TOKENS else 2
    monkeypatch.setattr(F, "linear", recorded)
    norm.mean(x.square() * (SQUARE / x.square().mean()))
    assert len(added) == turns
    assert all(float(addends.min()) >= NORMAL for addends in added)


def test_no_number_of_tokens_makes_an_addend_subnormal() -> None:
    for count in range(64, 4097):
        mean = MeanInTurns(count)
        columns, rows = mean.columns.shape[1], mean.rows.shape[1]
        assert 0 <= columns * rows - count == mean.empty < columns
        assert SQUARE * min(1 / columns, columns / count) > NORMAL, count


@pytest.mark.parametrize("scale", [0.0, 1e-3])
def test_a_norm_s_epsilon_counts_where_a_token_is_nearly_flat(scale: float) -> None:
    x = tokens(scale=scale).half().float()
    found, exact = half_norm("token")(x), NORMS["token"](x.double())
    assert float((found - exact).abs().max()) < 2e-3


def test_a_ranking_of_more_places_than_float16_counts_is_right() -> None:
    units, chosen = 3000, 2100
    noise = torch.randperm(units, generator=torch.Generator().manual_seed(0)).reshape(1, -1) / units
    exact = Ranking(units, chosen)
    wanted = exact(noise)
    found = HalfRanking(exact.half())(noise)
    assert all(torch.equal(mine.float(), right) for mine, right in zip(found, wanted, strict=True))


class Act(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


@pytest.mark.parametrize("function", [F.gelu, tanh_gelu, F.silu])
def test_an_activation_keeps_float16_s_precision_in_the_delegate(function: Callable[[Tensor], Tensor]) -> None:
    x = tokens(scale=3.0).half().float()
    assert decibels(in_xnnpack(Act(function), x)(x), function(x.double())) > TWO_ROUNDINGS_DB


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_as_exact_as_it_says(approximate: str) -> None:
    x = torch.linspace(-20, 20, 100_001, dtype=torch.float64)
    apart = (gelu(x, approximate) - F.gelu(x, approximate=approximate)).abs().max()
    assert float(apart) < 2.6e-5
    assert torch.allclose(silu(x), F.silu(x))
