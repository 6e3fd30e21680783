import platform
import subprocess
from pathlib import Path

import pytest

from mobile_kit.errors import MissingToolError
from mobile_kit.target_api.environments import cache_folder, environment


def test_an_environment_is_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[list[str]] = []

    def build(place: Path, packages: list[str]) -> None:
        built.append(packages)
        (place / "bin").mkdir()

    monkeypatch.setattr("mobile_kit.target_api.environments._build", build)
    first = environment(tmp_path / "cache", "name", ["a==1"])
    assert environment(tmp_path / "cache", "name", ["a==1"]) == first
    assert environment(tmp_path / "cache", "name", ["a==2"]) != first
    assert built == [["a==1"], ["a==2"]]
    assert first.parents[1].parent == tmp_path / "cache"


def test_packages_that_cannot_be_had_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[Path], **options: object) -> subprocess.CompletedProcess[str]:
        fails = "pip" in command
        return subprocess.CompletedProcess([], int(fails), "", "ERROR: noise\nERROR: No matching distribution\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(MissingToolError) as caught:
        environment(tmp_path / "cache", "name", ["a==1"])
    reason = f"can't be installed with Python {platform.python_version()} here (ERROR: No matching distribution)"
    assert str(caught.value) == f"packages a==1: {reason}. Mend that, or choose another version."
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_python_without_environments_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "ensurepip is not available.\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(MissingToolError, match=r"^an environment: can't be made \(ensurepip is not available\)"):
        environment(tmp_path / "cache", "name", ["a==1"])


def test_the_cache_is_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mobile_kit" / "environments"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "mobile_kit" / "environments"
