import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from mobile_kit import __version__
from mobile_kit.doctor import doctor
from tests.conftest import Answer
from tests.exports import mobile_kit

Command = Callable[..., Answer]


def test_all_is_well_where_all_is_installed(command: Command) -> None:
    answer = command("doctor", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = {finding["name"]: finding for finding in json.loads(answer.out)}
    assert found["mobile_kit"]["found"] == __version__
    assert found["torch"]["found"] == metadata.version("torch")
    assert found["tflite: litert-torch"]["found"] == metadata.version("litert-torch")
    assert found["target tflite"]["found"] == "model.tflite"
    assert {finding["mend"] for finding in found.values()} == {None}


def test_a_missing_toolchain_is_named_with_its_command(
    command: Command, paper_targets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = command("doctor")
    assert answer.code == 1
    (line,) = (line for line in answer.out.splitlines() if line.startswith("target missing"))
    assert line.split(maxsplit=3)[2:] == ["missing", "pip install 'mobile-kit[paper]'"]


def test_a_missing_package_of_the_core_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version

    def version(name: str) -> str:
        if name == "pillow":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr("mobile_kit.doctor.metadata.version", version)
    (pillow,) = (finding for finding in doctor() if finding.mend)
    assert (pillow.name, pillow.found, pillow.mend) == ("pillow", None, "pip install mobile-kit")


def test_another_version_than_the_tested_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version
    monkeypatch.setattr(
        "mobile_kit.doctor.metadata.version", lambda name: "8.3.0" if name == "coremltools" else installed(name)
    )
    (found,) = (finding for finding in doctor() if finding.mend)
    assert found.found == "8.3.0, but ==9.0 is needed"
    assert found.mend == "pip install 'mobile-kit[coreml]'"


def test_it_works_without_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    (tmp_path / "torch-0.1.dist-info").mkdir()
    (tmp_path / "torch-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.1\n")
    done = mobile_kit("doctor", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = (line for line in done.stdout.splitlines() if "is needed" in line)
    assert line.startswith("torch ")


@pytest.mark.parametrize("system", ["Darwin", "Linux"])
def test_a_machine_without_core_ml_is_told_so(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_kit.doctor.platform.system", lambda: system)
    names = [finding.name for finding in doctor()]
    assert ("Core ML runtime" in names) == (system != "Darwin")
