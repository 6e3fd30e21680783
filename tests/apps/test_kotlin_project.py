"""The Android template's Gradle files, as far as they can be read without Gradle."""

import re
import tomllib
from pathlib import Path

import pytest

from mobile_kit.target_api.registry import targets
from tests.apps.kotlin_app import MODULE
from tests.exports import ROOT

PROJECT = ROOT / "sample_apps/android"
SCRIPTS = sorted(PROJECT.rglob("*.gradle.kts"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_alias_is_in_the_catalogue(script: Path) -> None:
    catalogue = tomllib.loads((PROJECT / "gradle/libs.versions.toml").read_text())
    known = {name.replace("-", ".") for name in catalogue["libraries"]}
    for section in ("plugins", "versions"):
        known |= {f"{section}.{name.replace('-', '.')}" for name in catalogue[section]}
    used = set(re.findall(r"libs\.([\w.]+?)(?:\.get\(\)|\))", script.read_text()))
    assert used <= known, used - known


def test_every_version_is_used() -> None:
    text = (PROJECT / "gradle/libs.versions.toml").read_text()
    scripts = "".join(script.read_text() for script in SCRIPTS)
    for name in tomllib.loads(text)["versions"]:
        assert f'version.ref = "{name}"' in text or f"libs.versions.{name.replace('-', '.')}" in scripts, name


def test_each_backend_that_is_bundled_has_its_runtime() -> None:
    libraries = tomllib.loads((PROJECT / "gradle/libs.versions.toml").read_text())["libraries"]
    assert "android" in targets()["executorch"].apps("vulkan")
    assert libraries["executorch"]["module"] == "org.pytorch:executorch-android-vulkan"  # XNNPACK is in both


def test_compose_and_kotlin_have_one_version() -> None:
    plugins = tomllib.loads((PROJECT / "gradle/libs.versions.toml").read_text())["plugins"]
    assert plugins["compose-compiler"]["version"] == plugins["kotlin-android"]["version"]
    assert "alias(libs.plugins.kotlin.android) apply false" in (PROJECT / "build.gradle.kts").read_text()


def test_what_native_code_looks_up_is_kept() -> None:
    """An app of a user's may shrink its code."""
    rules = (PROJECT / "mobilekit-runtime/consumer-rules.pro").read_text()
    kept = re.findall(r"^-keep class ([\w.]+)\.\*\* \{ \*; \}$", rules, re.M)
    module = "".join(path.read_text() for path in sorted(MODULE.glob("*.kt")))
    used = set(re.findall(r"^import ((?:com\.google|org\.pytorch)[\w.]+)\.\w+$", module, re.M))
    assert used
    assert used <= set(kept)
    assert 'consumerProguardFiles("consumer-rules.pro")' in (PROJECT / "mobilekit-runtime/build.gradle.kts").read_text()


def test_the_module_needs_nothing_of_the_app() -> None:
    """It is compiled beside the app here."""
    for path in MODULE.glob("*.kt"):
        assert not re.findall(r"\b(?:androidx|mobilekit\.app)\.", path.read_text()), path.name


def test_modules_exist_and_models_are_not_compressed() -> None:
    modules = re.findall(r'":([\w-]+)"', (PROJECT / "settings.gradle.kts").read_text())
    assert modules == ["app", "mobilekit-runtime"]
    for module in modules:
        assert (PROJECT / module / "build.gradle.kts").is_file()
    (listed,) = re.findall(r"noCompress \+= listOf\((.*?)\)", (PROJECT / "app/build.gradle.kts").read_text())
    suffixes = {Path(targets()[name].model_file).suffix for name in ("tflite", "executorch")}
    assert {f'"{suffix[1:]}"' for suffix in suffixes} == set(listed.split(", "))
