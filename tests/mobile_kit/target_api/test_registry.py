"""How targets are found, what one that is broken does to the others, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from mobile_kit.errors import MissingToolError, UnsupportedError
from mobile_kit.models.spec import CommonModel, TensorSpec
from mobile_kit.quantization.recipes import RECIPES, QuantRecipe
from mobile_kit.target_api.interface import Lowered, Request, Runtime, Target
from mobile_kit.target_api.registry import (
    broken_targets,
    check_installed,
    check_request,
    find_target,
    target_names,
    targets,
)
from tests.conftest import Answer, Command, install_targets

BUILT_IN = ("coreml", "executorch", "tflite")


class Fake(Target):
    """A third party's target, as far as the checks look; its gpu takes no fp16."""

    name = "fake"
    extra = "fake"
    modules = ("numpy",)
    backends = ("cpu", "gpu")
    systems: tuple[str, ...] = ()
    recipes = ("fp32", "fp16")

    def __init__(self, **changes: Any) -> None:
        vars(self).update(changes)

    def deployment_targets(self, backend: str | None) -> tuple[str, ...]:
        return () if backend == "gpu" else self.systems

    def refusal(self, recipe: QuantRecipe, backend: str | None, deployment_target: str | None = None) -> str | None:
        return f"{recipe.name} is slower there" if (recipe.name, backend) == ("fp16", "gpu") else None

    def lower(self, model: CommonModel, request: Request, path: Path) -> Lowered:
        raise NotImplementedError

    def load(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Runtime:
        raise NotImplementedError


fake = Fake()


def test_the_built_in_targets_are_found_in_order() -> None:
    assert tuple(name for name in targets() if name in BUILT_IN) == BUILT_IN
    assert broken_targets() == {}


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedError) as caught:
        find_target("onnx")
    assert str(caught.value) == f"target 'onnx': unknown. Known: {', '.join(sorted(targets()))}."


def test_a_third_partys_target_is_found_through_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_targets(tmp_path, monkeypatch, {"fake": f"{__name__}:fake"})
    assert type(find_target("fake")).__name__ == "Fake"
    assert "fake" in targets()


BROKEN = {
    "torn": ("a_package_that_nobody_has:TARGET", "can't be imported (No module named 'a_package_that_nobody_has')"),
    "nameless": ("tests.paper_target:NOTHING", "can't be imported (module 'tests.paper_target' has no attribute"),
    "stranger": (
        "tests.paper_target:TARGETS",
        "tests.paper_target:TARGETS is no mobile_kit.target_api.interface.Target",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_target_is_a_line_where_it_is_asked_for_and_nothing_else_breaks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, model: Path
) -> None:
    place, reason = BROKEN[name]
    install_targets(tmp_path, monkeypatch, {name: place})
    assert find_target("tflite").name == "tflite"
    assert set(BUILT_IN) <= set(targets())
    assert name in target_names()
    said = f"target {name!r} of others: {reason}"
    assert broken_targets()[name].startswith(said)
    asked: Answer = command("export", model, "--out", tmp_path / "out", "--target", name)
    assert (asked.code, asked.out) == (1, "")
    assert asked.err.splitlines()[-1].startswith(f"mobile-kit: {said}")
    listed, checked = command("list"), command("doctor")
    assert listed.code == 0
    assert f"not to be used: {said}" in listed.out
    assert said in checked.out


def test_two_packages_of_one_name_are_refused_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_targets(tmp_path, monkeypatch, {"tflite": f"{__name__}:fake"})
    with pytest.raises(UnsupportedError, match="target 'tflite': is of mobile-kit and others at once"):
        find_target("tflite")
    assert find_target("coreml").name == "coreml"


def test_a_missing_package_is_named_with_the_command_that_mends_it() -> None:
    with pytest.raises(MissingToolError) as caught:
        check_installed(Fake(modules=("numpy", "no_such_package", "nor_this")))
    assert str(caught.value) == (
        "target 'fake': needs no_such_package, nor_this, which isn't installed. Run: pip install 'mobile-kit[fake]'"
    )


def test_installed_packages_are_enough() -> None:
    check_installed(fake)


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
        check_request(fake, RECIPES[recipe], backend, deployment_target)
    assert str(caught.value) == message


def test_a_request_that_a_target_can_serve_passes() -> None:
    check_request(Fake(), RECIPES["fp32"], "gpu", None)
    check_request(Fake(), RECIPES["fp32"], None, None)


@pytest.mark.parametrize(("platform", "meant"), [("android", "executorch or tflite"), ("ios", "coreml or executorch")])
def test_of_a_platform_the_targets_of_its_apps_are_meant(platform: str, meant: str) -> None:
    with pytest.raises(UnsupportedError, match=f"Is {meant} meant"):
        find_target(platform)
