"""Values for a model's further inputs, beside the image: the same in the golden files, the oracle and the checks."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobile_kit.models.spec import TensorSpec

__all__ = ["further_inputs"]

# All noise lies so far above 0.5, which float16 takes for one number: a file that rounds it gets its order wrong.
NOISE_SPAN = 2.0**-12
# The part of the patches that a drawn mask covers.
MASKED = 0.4


def further_inputs(specs: Iterable[TensorSpec], seed: int = 0) -> dict[str, NDArray[Any]]:
    """Draw a value for each input, by name, the same for the same seed.

    Noise is distinct, as Hugging Face's order of equal numbers is left to chance, but equal in float16.
    """
    generator = np.random.default_rng(seed)
    return {spec.name: _drawn(spec, generator).reshape(spec.shape).astype(spec.dtype) for spec in specs}


def _drawn(spec: TensorSpec, generator: np.random.Generator) -> NDArray[Any]:
    count = int(np.prod(spec.shape))
    ranks = generator.permutation(count)
    if spec.meaning == "noise":
        return 0.5 + ranks / count * NOISE_SPAN
    assert spec.meaning == "patch_mask", spec.meaning
    return ranks < min(math.ceil(MASKED * count), count - 1)  # a network that sees no patch proves nothing
