"""Apps of the real templates with every artifact that they can run: the same bytes each time, whole, and soon."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import pytest

from mobile_kit.apps.bundle import BundleOptions, bundle
from mobile_kit.apps.templates import TEMPLATES
from mobile_kit.errors import ArtifactError
from tests.exports import CHECKPOINTS, Export, export

TARGETS = {"android": ("executorch-xnnpack", "tflite"), "ios": ("coreml", "executorch-xnnpack")}
OTHERS = ("cvt", "hiera", "vit_msn")
BUNDLE_S = 5


def runnable(out: Path, app: str) -> list[Path]:
    found = [path.parent for path in sorted(out.glob("*/*/manifest.json"))]
    return [folder for folder in found if folder.name.startswith(TARGETS[app])]


def made(folder: Path) -> dict[str, tuple[int, str]]:
    """Each file's mode and hash."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def check(artifacts: Sequence[Path], app: str, folder: Path) -> None:
    """Bundle them twice, in other surroundings, and hold the result against the artifacts."""
    first = bundle(artifacts, BundleOptions(app, folder / "one"))
    mask = os.umask(0o077)
    try:
        bundle(artifacts, BundleOptions(app, folder / "two" / "deep"))
    finally:
        os.umask(mask)
    files = made(folder / "one")
    assert {name: digest for name, (_, digest) in files.items()} == {
        name: digest for name, (_, digest) in made(folder / "two" / "deep").items()
    }
    models = TEMPLATES[app].models
    index = json.loads((folder / "one" / models / "models.json").read_text())["models"]
    assert [each["folder"] for each in index] == list(first.models)
    for artifact, name in zip(artifacts, first.models, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        manifest = json.loads((artifact / "manifest.json").read_text())
        model = manifest["model_file"]
        for file, record in manifest["files"].items():
            if file.startswith((model, "labels.txt", "golden/photo.png", "golden/inputs/", "golden/outputs/")):
                place = f"{models}/{name}/{file}"
                if file.startswith(f"{model}/"):
                    place = f"CoreML/{name}.mlpackage/{file.removeprefix(f'{model}/')}"
                assert files[place][1] == record["sha256"], place


@pytest.mark.parametrize("app", TARGETS)
def test_every_file_of_the_demos_classifier_is_bundled_twice_alike(app: str, digits: Export, tmp_path: Path) -> None:
    artifacts = runnable(digits.out, app)
    assert len(artifacts) == 4
    check(artifacts, app, tmp_path)


@pytest.mark.slow
def test_every_file_of_the_demo_is_bundled_twice_alike(
    digits: Export, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("families")
    for family in OTHERS:
        export(CHECKPOINTS / f"{family}-digits", out, "--recipe", "fp32,fp16")
    for app in TARGETS:
        artifacts = [*runnable(digits.out, app), *runnable(out, app)]
        assert len(artifacts) == 16
        check(artifacts, app, tmp_path_factory.mktemp(app))


@pytest.mark.parametrize("app", TARGETS)
def test_a_project_is_there_soon(app: str, digits: Export, tmp_path: Path) -> None:
    """The demo's files together are larger than a phone's model of 20 MB: they are taken as often as that needs."""
    artifacts = runnable(digits.out, app)
    start = perf_counter()
    times, megabytes = 0, 0.0
    while megabytes < 20:
        megabytes += sum(bundle(artifacts, BundleOptions(app, tmp_path / str(times))).models.values()) / 1e6
        times += 1
    took = perf_counter() - start
    print(f"{megabytes:.0f} MB in {times} projects in {took:.2f} s")
    assert took < BUNDLE_S


@pytest.mark.parametrize("app", TARGETS)
def test_no_file_of_an_artifact_may_have_changed(app: str, digits: Export, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(runnable(digits.out, app)[0], tmp_path / "artifact"))
    names = json.loads((artifact / "manifest.json").read_text())["files"]
    assert len(names) > 4
    for name in names:
        before = (artifact / name).read_bytes()
        (artifact / name).write_bytes(bytes([before[0] ^ 1]) + before[1:])
        with pytest.raises(ArtifactError, match=rf"{re.escape(name)} has changed since the export"):
            bundle([artifact], BundleOptions(app, tmp_path / "app"))
        (artifact / name).write_bytes(before)
    assert not (tmp_path / "app").exists()
