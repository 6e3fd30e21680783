"""What every target in the registry promises, whoever brought it."""

from pathlib import Path

import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.measurements.importers.base import Importer
from mobile_kit.quantization.recipes import RECIPES, QuantRecipe
from mobile_kit.target_api.interface import Target, refusal
from mobile_kit.target_api.registry import broken_targets, check_request, install_command, missing_modules, targets
from tests.exports import ROOT

TARGETS = targets()
EVERY = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
BACKENDS = pytest.mark.parametrize(
    ("target", "backend"),
    [
        pytest.param(target, backend, id="-".join(filter(None, (name, backend))))
        for name, target in TARGETS.items()
        for backend in target.backends or (None,)
    ],
)
DEVICES, APPS, ENTRIES = {"host", "adb", "ssh", "ios"}, {"android", "ios"}, {"uint8_nhwc", "rgb_nchw"}


def test_none_is_broken() -> None:
    assert TARGETS
    assert broken_targets() == {}


@EVERY
def test_a_target_has_its_folder_and_its_toolchain(target: Target) -> None:
    assert TARGETS[target.name] is target
    assert (ROOT / "targets" / target.name / "__init__.py").is_file()
    assert missing_modules(target) == []
    assert install_command(target) == f"pip install 'mobile-kit[{target.extra}]'"
    assert f"\n{target.extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@EVERY
def test_a_file_has_a_name_that_tells_it_from_others(target: Target) -> None:
    others = [Path(other.model_file).suffix for other in TARGETS.values() if other is not target]
    assert Path(target.model_file).suffix not in {"", *others}
    assert Path(target.model_file).name == target.model_file
    assert target.entry in ENTRIES


@BACKENDS
def test_a_recipe_is_served_or_refused_with_a_reason(target: Target, backend: str | None) -> None:
    assert set(target.recipes) <= set(RECIPES)
    served = [name for name, recipe in RECIPES.items() if refusal(target, recipe, backend) is None]
    assert "fp32" in served
    assert set(served) <= set(target.recipes)
    for name in RECIPES:
        reason = refusal(target, RECIPES[name], backend)
        if reason is None:
            check_request(target, RECIPES[name], backend, None)
        else:
            assert "\n" not in reason
            assert not reason.endswith(".")
            with pytest.raises(UnsupportedError) as caught:
                check_request(target, RECIPES[name], backend, None)
            assert reason in str(caught.value)


@EVERY
def test_every_recipe_of_a_target_has_a_backend_that_serves_it(target: Target) -> None:
    for name in target.recipes:
        backends = target.backends or (None,)
        assert any(refusal(target, RECIPES[name], backend) is None for backend in backends), name


@EVERY
def test_a_recipe_that_the_kit_lacks_is_refused(target: Target) -> None:
    with pytest.raises(UnsupportedError, match="not served by this target"):
        check_request(target, QuantRecipe("int3", "linear", 3, 3), None, None)


@EVERY
def test_halves_are_the_float16_recipes_at_least(target: Target) -> None:
    assert not target.has_halves(RECIPES["fp32"])
    assert target.has_halves(RECIPES["fp16"])


@BACKENDS
def test_a_system_is_offered_or_refused(target: Target, backend: str | None) -> None:
    for system in target.deployment_targets(backend):
        check_request(target, RECIPES["fp32"], backend, system)
    with pytest.raises(UnsupportedError, match="deployment target 'iOS3'"):
        check_request(target, RECIPES["fp32"], backend, "iOS3")


@BACKENDS
def test_a_file_runs_here_or_says_why_not_and_somewhere_at_least(target: Target, backend: str | None) -> None:
    reason = target.needs_device(backend)
    assert reason is None or ("\n" not in reason and not reason.endswith("."))
    assert set(target.apps(backend)) <= APPS
    assert target.apps(backend) or target.devices


@EVERY
def test_what_runs_on_a_device_is_a_file_with_its_packages(target: Target) -> None:
    assert set(target.devices) <= DEVICES
    assert bool(target.devices) == (target.engine is not None)
    for program in (target.engine, None if target.tracer is None else target.tracer.program):
        assert program is None or program.is_file()
    assert all("==" in package for package in target.packages)


@EVERY
def test_importers_have_names_of_their_own_and_know_no_others_file(target: Target, tmp_path: Path) -> None:
    every: list[Importer] = [importer for other in TARGETS.values() for importer in other.importers]
    assert len({importer.name for importer in every}) == len(every)
    (tmp_path / "plain.txt").write_bytes(b"nothing that any tool writes\n")
    assert not any(
        importer.knows(tmp_path / "plain.txt", b"nothing that any tool writes\n") for importer in target.importers
    )


@EVERY
def test_a_runtime_that_is_no_package_is_refused(target: Target, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="runtime 'no runtime'"):
        target.load_with("no runtime", tmp_path)
