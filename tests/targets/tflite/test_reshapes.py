"""Around an activation nothing is reshaped, and what needs the tokens' own shape keeps its reshapes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from targets.tflite.linear import PointwiseLinear
from targets.tflite.reshapes import without_idle_reshapes

TOKENS, WIDTH = 12, 8


class Network(nn.Module):
    """Two linear layers. between: what stands between them. both: the hidden values are an output too."""

    def __init__(self, between: nn.Module, both: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.expand, self.reduce = (
            PointwiseLinear(layer) for layer in (nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH))
        )
        self.between, self.both = between, both

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        hidden = self.between(self.expand(x))
        y = self.reduce(hidden)
        return (y, hidden) if self.both else (y,)


class Scaled(nn.Module):
    """A factor a token: it needs the tokens where they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.arange(TOKENS, dtype=torch.float32).reshape(1, -1, 1)


def convert(network: nn.Module, path: Path) -> bytes:
    import litert_torch

    litert_torch.convert(network.eval(), (torch.zeros(1, TOKENS, WIDTH),)).export(str(path))
    return path.read_bytes()


def run(content: bytes) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=content)
    signature = interpreter.get_signature_runner()
    x = np.random.default_rng(0).standard_normal((1, TOKENS, WIDTH)).astype(np.float32)
    results = signature(**dict.fromkeys(signature.get_input_details(), x))
    return [results[name] for name in sorted(results)]


def reshapes(content: bytes) -> int:
    model = schema.ModelT.InitFromPackedBuf(content)
    kinds = Counter(model.operatorCodes[op.opcodeIndex].builtinCode for op in model.subgraphs[0].operators)
    return kinds[schema.BuiltinOperator.RESHAPE]


@pytest.mark.parametrize(
    "activation", [nn.SiLU(), nn.GELU(), nn.ReLU(), nn.Hardswish()], ids=lambda x: type(x).__name__
)
def test_an_activation_computes_in_the_linear_layers_shape(activation: nn.Module, tmp_path: Path) -> None:
    content = convert(Network(activation, both=False), tmp_path / "float.tflite")
    joined = without_idle_reshapes(content)
    assert reshapes(joined) == 2  # in front of the first layer, and behind the last
    for was, now in zip(run(content), run(joined), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize(
    ("between", "both"),
    [(nn.SiLU(), True), (nn.Softmax(1), False), (Scaled(), False)],
    ids=["an output", "softmax over tokens", "a factor a token"],
)
def test_what_needs_tokens_keeps_its_reshapes(between: nn.Module, both: bool, tmp_path: Path) -> None:
    content = convert(Network(between, both), tmp_path / "float.tflite")
    joined = without_idle_reshapes(content)
    assert reshapes(joined) == reshapes(content)
    for was, now in zip(run(content), run(joined), strict=True):
        np.testing.assert_array_equal(was, now)
