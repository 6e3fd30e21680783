"""Hold a common model against Hugging Face's own, eager, before any toolchain."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobile_kit.checkpoints.oracle import LEAST_DIFFERENCE
from mobile_kit.checkpoints.random_weights import randomize
from mobile_kit.measurements.metrics import distance, spread
from mobile_kit.models.family import Family
from mobile_kit.models.spec import DISCRETE, CommonModel, TensorSpec, group
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.preprocessing.synthetic_images import scene

# The bound: in standard deviations of the output, or four times Hugging Face's own distance from its float64.
BOUND, FACTOR = 1e-4, 4.0


def random_model(family: Family, head: str, config: Any, preprocess: Preprocess, **options: Any) -> Any:
    """Return Hugging Face's model for a head, with weights that see their input."""
    import transformers

    model = getattr(transformers, family.heads[head].architecture)(config, **options)
    model = family.at_size(model, head, preprocess.image_size)
    randomize(model, preprocess)
    return model.eval().requires_grad_(False)


def scenes(preprocess: Preprocess, seeds: Sequence[int] = (1, 2)) -> list[Tensor]:
    """pixel_values (1, C, H, W) of drawn photos."""
    drawn = [scene(seed, *preprocess.image_size)[:, :, : preprocess.channels] for seed in seeds]
    return [torch.from_numpy(preprocess.arithmetic(image)) for image in drawn]


@torch.no_grad()
def reference(
    model: Any, values: Tensor, outputs: Sequence[TensorSpec], further: Mapping[str, Tensor] | None = None
) -> dict[str, NDArray[Any]]:
    """Hugging Face's outputs under the names of ours, as float64; a group's are counted.

    Of a tensor that it gives twice, as the last state and among all of them, no file has the second.
    """
    groups = {group(spec.name) for spec in outputs}
    flags = {f"output_{name}": True for name in ("hidden_states", "attentions") if any(name in g for g in groups)}
    raw = model(values, **(further or {}), **flags)
    named: dict[str, Tensor] = {}
    for name in groups:
        value = raw[name]
        members = (
            [x for x in value if x is not raw.get("last_hidden_state")] if isinstance(value, tuple | list) else None
        )
        named |= {name: value} if members is None else {f"{name}_{i}": member for i, member in enumerate(members)}
    return {name: value.double().numpy() for name, value in named.items()}


def _blind(spec: TensorSpec) -> bool:
    """Tell whether an output need not move with the image: a softmax over one token is 1, and a loss one number."""
    return spec.meaning == "loss" or (group(spec.name) == "attentions" and spec.shape[-1] == 1)


@torch.no_grad()
def assert_is_hugging_face(
    model: nn.Module,
    ours: CommonModel,
    photos: Sequence[Tensor],
    further: Mapping[str, Tensor] | None = None,
    taken: Mapping[str, Tensor] | None = None,
) -> None:
    """Compare every output on the first photo, and prove on the second that it sees its input.

    further: what Hugging Face takes beside the photo; taken: the same as ours takes it, where that differs.
    """
    outputs = ours.spec.outputs
    first, second = (reference(model, values, outputs, further) for values in photos)
    wide = {name: value.double() if value.is_floating_point() else value for name, value in (further or {}).items()}
    exact = reference(copy.deepcopy(model).double(), photos[0].double(), outputs, wide)
    answer = ours(photos[0], *(taken or further or {}).values())
    got = dict(zip((spec.name for spec in outputs), answer, strict=True))
    assert set(got) == set(first)
    for spec in outputs:
        name = spec.name
        assert tuple(got[name].shape) == spec.shape == (first[name].shape or (1,)), name
        if spec.meaning in DISCRETE or spec.meaning == "patch_mask":
            assert np.array_equal(got[name].double().numpy(), first[name]), name
            continue
        moved = np.sqrt(np.mean((first[name] - second[name]) ** 2)) / spread(first[name])
        assert moved >= LEAST_DIFFERENCE or _blind(spec), f"{name}: the reference doesn't see its input"
        own = distance(first[name], exact[name])
        assert distance(got[name].numpy(), first[name]) <= max(BOUND, FACTOR * own), name
