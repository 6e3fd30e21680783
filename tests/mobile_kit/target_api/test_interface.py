import os
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import pytest

from mobile_kit.errors import MissingToolError, UnsupportedError
from mobile_kit.models.spec import TensorSpec
from mobile_kit.quantization.recipes import RECIPES, QuantRecipe
from mobile_kit.target_api import interface as target_module
from mobile_kit.target_api.captured_output import captured_stderr
from mobile_kit.target_api.interface import as_array
from mobile_kit.target_api.registry import check_installed, check_request, find_target, targets

BUILT_IN = ("coreml", "executorch", "tflite")
CAPABILITIES = {"backends", "entry", "extra", "model_file", "modules", "name", "recipes"}


@dataclass(frozen=True)
class Fake:
    """A third party's target, as far as the checks look; its gpu takes no fp16."""

    name: str = "fake"
    extra: str = "fake"
    modules: tuple[str, ...] = ("numpy",)
    backends: tuple[str, ...] = ("cpu", "gpu")
    systems: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("fp32", "fp16")

    def deployment_targets(self, backend: str | None) -> tuple[str, ...]:
        return () if backend == "gpu" else self.systems

    def refusal(self, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None) -> str | None:
        return f"{recipe.name} is slower there" if (recipe.name, backend) == ("fp16", "gpu") else None


def test_the_built_in_targets_are_found_in_order() -> None:
    assert tuple(name for name in targets() if name in BUILT_IN) == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_target_states_its_capabilities(name: str) -> None:
    found = find_target(name)
    assert found.name == name
    assert {attribute for attribute in CAPABILITIES if hasattr(found, attribute)} == CAPABILITIES
    assert found.entry in {"uint8_nhwc", "rgb_nchw"}
    for recipe in found.recipes:
        check_request(found, RECIPES[recipe], None, None)
    with pytest.raises(UnsupportedError, match="not served by this target"):
        check_request(found, QuantRecipe("int3", "linear", 3, 3), None, None)


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedError) as caught:
        find_target("onnx")
    assert str(caught.value) == f"target 'onnx': unknown. Known: {', '.join(sorted(targets()))}."


def test_a_third_partys_target_is_found_through_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("fake", f"{__name__}:Fake", "mobile_kit.targets")
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: Fake)
    monkeypatch.setattr(target_module.metadata, "entry_points", lambda group: [entry])
    assert targets() == {"fake": Fake}


def test_a_missing_package_is_named_with_the_command_that_mends_it() -> None:
    with pytest.raises(MissingToolError) as caught:
        check_installed(Fake(modules=("numpy", "no_such_package", "nor_this")))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "target 'fake': needs no_such_package, nor_this, which isn't installed. Run: pip install 'mobile-kit[fake]'"
    )


def test_installed_packages_are_enough() -> None:
    check_installed(Fake())  # type: ignore[arg-type]


REQUESTS = {
    "backend": (Fake(), "fp32", "npu", None, "backend 'npu': not one of target 'fake'. Known: cpu, gpu."),
    "no backends": (
        Fake(backends=()),
        "fp32",
        "cpu",
        None,
        "backend 'cpu': not one of target 'fake'. Known: none, so leave --backend out.",
    ),
    "deployment target": (
        Fake(systems=("iOS17", "iOS18")),
        "fp32",
        None,
        "iOS9",
        "deployment target 'iOS9': not one of target 'fake'. Known: iOS17, iOS18.",
    ),
    "no deployment targets": (
        Fake(),
        "fp32",
        None,
        "iOS9",
        "deployment target 'iOS9': not one of target 'fake'. Known: none, so leave --deployment-target out.",
    ),
    "no deployment targets on a backend": (
        Fake(systems=("iOS17", "iOS18")),
        "fp32",
        "gpu",
        "iOS17",
        "deployment target 'iOS17': not one of target 'fake' with gpu. Known: none, so leave --deployment-target out.",
    ),
    "recipe": (
        Fake(recipes=("fp32",)),
        "fp16",
        None,
        None,
        "recipe 'fp16' for target 'fake': not served by this target. Known: fp32.",
    ),
    "recipe on a backend": (
        Fake(),
        "fp16",
        "gpu",
        None,
        "recipe 'fp16' for target 'fake' with gpu: fp16 is slower there. Known: fp32.",
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_that_a_target_cannot_serve_is_refused(case: str) -> None:
    fake, recipe, backend, deployment_target, message = REQUESTS[case]
    with pytest.raises(UnsupportedError) as caught:
        check_request(fake, RECIPES[recipe], backend, deployment_target)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_request_that_a_target_can_serve_passes() -> None:
    check_request(Fake(), RECIPES["fp32"], "gpu", None)  # type: ignore[arg-type]
    check_request(Fake(), RECIPES["fp32"], None, None)  # type: ignore[arg-type]


def test_a_runtimes_output_becomes_an_array_of_the_declared_dtype() -> None:
    values = as_array([[1.5, 2.0]], TensorSpec("logits", (1, 2)))
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert as_array(np.ones((2, 2), np.int64).T, TensorSpec("mask", (2, 2), "int32")).dtype == np.int32


def test_what_native_code_says_is_kept_from_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as said:
        os.write(2, b"from native code\n")
        assert said() == "from native code\n"
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"
