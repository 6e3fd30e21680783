"""What is fetched for the apps' tests is whole or not there, and what is missing is said."""

from pathlib import Path

import pytest

from mobile_kit.target_api.environments import cache_folder
from tests.apps.kotlin_toolchain import apk_tools, toolchain
from tests.packages import PackageError, debian, npm


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PackageError, match="needs npm"):
        npm(tmp_path / "npm", "kotlin-compiler@2.4.20", ("package.json",))
    with pytest.raises(PackageError, match="needs apt-get, dpkg-deb"):
        debian(tmp_path, "bullseye", ("zipalign",))
    with pytest.raises(PackageError, match="needs java, keytool"):
        toolchain()


def test_nothing_is_left_of_a_fetch_that_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def torn(folder: Path, suite: str, packages: tuple[str, ...]) -> None:
        (folder / "half").mkdir()
        raise PackageError(f"{suite} has vanished")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("tests.apps.kotlin_toolchain.debian", torn)
    with pytest.raises(PackageError, match="bullseye has vanished"):
        apk_tools()
    assert cache_folder().is_relative_to(tmp_path)
    assert list((cache_folder() / "apps").iterdir()) == []
