import json
from collections.abc import Callable
from importlib import metadata

import pytest

from mobile_kit import __version__
from mobile_kit.doctor import doctor
from tests.conftest import Answer

Command = Callable[..., Answer]


def test_all_is_well_where_all_is_installed(command: Command) -> None:
    answer = command("doctor", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = {finding["name"]: finding for finding in json.loads(answer.out)}
    assert found["mobile_kit"]["found"] == __version__
    assert found["torch"]["found"] == metadata.version("torch")
    assert found["target tflite"]["found"].startswith(f"litert-torch {metadata.version('litert-torch')}")
    assert {finding["mend"] for finding in found.values()} == {None}


def test_a_missing_toolchain_is_named_with_its_command(
    command: Command, paper_targets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = command("doctor")
    assert answer.code == 1
    (line,) = (line for line in answer.out.splitlines() if line.startswith("target missing"))
    assert line.split(maxsplit=3)[2:] == ["missing", "pip install 'mobile-kit[paper]'"]


def test_a_missing_package_of_the_core_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "pillow":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr("mobile_kit.doctor.metadata.version", version)
    (pillow,) = (finding for finding in doctor() if finding.mend)
    assert (pillow.name, pillow.found, pillow.mend) == ("pillow", None, "pip install mobile-kit")


@pytest.mark.parametrize("system", ["Darwin", "Linux"])
def test_a_machine_without_core_ml_is_told_so(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_kit.doctor.platform.system", lambda: system)
    names = [finding.name for finding in doctor()]
    assert ("Core ML runtime" in names) == (system != "Darwin")
