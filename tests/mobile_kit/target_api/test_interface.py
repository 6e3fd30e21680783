"""What a target has that states only what it must."""

from pathlib import Path

import numpy as np
import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.spec import CommonModel, TensorSpec
from mobile_kit.quantization.recipes import RECIPES
from mobile_kit.target_api.interface import Lowered, ModelCard, Request, Runtime, Target, as_array, refusal


class Least(Target):
    name, model_file, extra = "least", "model.least", "least"

    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        raise NotImplementedError

    def load(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Runtime:
        raise NotImplementedError


def test_a_target_need_state_no_more_than_how_its_files_are_made_and_loaded() -> None:
    least = Least()
    assert (least.recipes, least.backends, least.deployment_targets(None), least.apps(None)) == (("fp32",), (), (), ())
    assert least.needs_device(None) is None
    assert [least.has_halves(RECIPES[name]) for name in ("fp32", "fp16")] == [False, True]
    assert (least.engine, least.devices, least.tracer, least.binary, least.importers) == (None, (), None, None, ())
    assert refusal(least, RECIPES["fp32"], None) is None
    assert refusal(least, RECIPES["fp16"], None) == "not served by this target"


def test_what_it_does_not_offer_it_refuses(tmp_path: Path) -> None:
    card = ModelCard("m", "", None, None, "m", None)
    with pytest.raises(UnsupportedError, match="recipe 'static_wi8_ai8': target 'least' calibrates none"):
        Least().calibrate(None, Request(RECIPES["static_wi8_ai8"], None, None, card), (), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="runtime 'x==1': files of target 'least' are checked on the installed"):
        Least().load_with("x==1", tmp_path)


def test_one_that_makes_no_files_is_no_target() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Target()  # type: ignore[abstract]


def test_a_runtimes_output_becomes_an_array_of_the_declared_dtype() -> None:
    values = as_array([[1.5, 2.0]], TensorSpec("logits", (1, 2)))
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert as_array(np.ones((2, 2), np.int64).T, TensorSpec("mask", (2, 2), "int32")).dtype == np.int32
