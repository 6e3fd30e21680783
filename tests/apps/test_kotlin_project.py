"""The Android template's Gradle files, as far as they can be read without Gradle."""

import re
import tomllib
from pathlib import Path

import pytest

from mobile_kit.target import targets
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


def test_modules_exist_and_models_are_not_compressed() -> None:
    modules = re.findall(r'":([\w-]+)"', (PROJECT / "settings.gradle.kts").read_text())
    assert modules == ["app", "mobilekit-runtime"]
    for module in modules:
        assert (PROJECT / module / "build.gradle.kts").is_file()
    (listed,) = re.findall(r"noCompress \+= listOf\((.*?)\)", (PROJECT / "app/build.gradle.kts").read_text())
    suffixes = {Path(targets()[name].model_file).suffix for name in ("tflite", "executorch")}
    assert {f'"{suffix[1:]}"' for suffix in suffixes} == set(listed.split(", "))
