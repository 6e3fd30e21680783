import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.exports import ROOT

SOURCES = ("LICENSE", "README.md", "mobile_kit", "pyproject.toml", "sample_apps", "targets")
HOLDS = (
    "mobile_kit/models/cvt.json",
    "mobile_kit/models/hiera/checkpoints.json",
    "mobile_kit/models/mobilevitv2.json",
    "mobile_kit/models/vit_msn.json",
    "mobile_kit/py.typed",
    "mobile_kit/reporting/report.html.j2",
    "mobile_kit/apps/serve.css.j2",
    "mobile_kit/apps/serve.html.j2",
    "mobile_kit/apps/serve.js.j2",
    "sample_apps/checkpoints/cvt-digits/model.safetensors",
    "sample_apps/checkpoints/digits.npz",
    "sample_apps/checkpoints/hiera-digits/model.safetensors",
    "sample_apps/checkpoints/mobilevitv2-digits/config.json",
    "sample_apps/checkpoints/mobilevitv2-digits/model.safetensors",
    "sample_apps/checkpoints/mobilevitv2-digits/preprocessor_config.json",
    "sample_apps/checkpoints/vit_msn-digits/model.safetensors",
    "targets/coreml/mil/interpreter.py",
    "targets/executorch/lower.py",
    "targets/tflite/metadata.py",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy: building leaves folders in the tree."""
    tree, place = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", str(tree), "--no-deps", "--no-build-isolation", "-w", str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "No module named 'setuptools'" in done.stderr + done.stdout:
        done = subprocess.run([c for c in command if c != "--no-build-isolation"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = Path(place).glob("mobile_kit-*.whl")
    return zipfile.ZipFile(file)


def test_all_that_the_commands_need_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert set(HOLDS) <= set(wheel.namelist())
    templates = [path for app in ("android", "ios") for path in (ROOT / "sample_apps" / app).rglob("*")]
    files = {path.relative_to(ROOT).as_posix() for path in templates if path.is_file()}
    assert len(files) > 90
    assert files <= set(wheel.namelist())
    shipped = ROOT / "sample_apps/checkpoints/mobilevitv2-digits/model.safetensors"
    assert wheel.read("sample_apps/checkpoints/mobilevitv2-digits/model.safetensors") == shipped.read_bytes()


def test_tests_and_caches_are_not(wheel: zipfile.ZipFile) -> None:
    assert {name.partition("/")[0] for name in wheel.namelist()} == {
        "mobile_kit",
        "mobile_kit-0.1.0.dist-info",
        "sample_apps",
        "targets",
    }
    assert not [name for name in wheel.namelist() if "__pycache__" in name or name.startswith("sample_apps/web/")]


def test_the_wheel_installs_the_command_and_the_targets(wheel: zipfile.ZipFile) -> None:
    entry_points = wheel.read("mobile_kit-0.1.0.dist-info/entry_points.txt").decode()
    assert "mobile-kit = mobile_kit.cli.main:main" in entry_points
    for name in ("coreml", "executorch", "tflite"):
        assert f"{name} = targets.{name}:TARGET" in entry_points
