import pytest
import torch

from mobile_kit.models.layers import Attend
from targets.tflite.attention import SplitAttend


@pytest.mark.parametrize(("heads", "tokens"), [(1, 1), (1, 6), (1, 7), (2, 7)])
def test_split_attention_is_attention(heads: int, tokens: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(heads, tokens, 4, generator=generator)
    key, value = (torch.randn(heads, 5, width, generator=generator) for width in (4, 3))
    plain = Attend(shown=True)
    split = SplitAttend(plain)(query, key, value)
    for found, wanted in zip(split, plain(query, key, value), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
