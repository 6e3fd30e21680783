"""The iOS app's objects without its screens: what a launch tests, and what a benchmark keeps."""

import json
import plistlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.profiling.import_results import import_results
from tests.apps.swift_app import JOB, OWN, App, build_library, sources
from tests.conftest import install_paper_targets
from tests.exports import ROOT

SCREENLESS = ("Engine", "Measurements", "ModelStore", "SelfTest")
UNITS = ("ALL", "CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY")
# What the program ends with in place of iOS, which ends an app that takes too much memory.
ENDED = 9


@pytest.fixture(scope="module")
def app(swift: App, tmp_path_factory: pytest.TempPathFactory) -> App:
    app = App(swift.tools, tmp_path_factory.mktemp("launch"))
    for name in ("CryptoKit.swiftmodule", "CryptoKit.o"):
        shutil.copy(swift.folder / name, app.folder)
    library = build_library(app, "MobileKitRuntime", sources(app))
    shutil.copy(OWN / "swift" / "launch.swift", app.folder)
    for name in SCREENLESS:
        shutil.copy(ROOT / "sample_apps" / "ios" / "App" / f"{name}.swift", app.folder)
    files = [str(JOB / f"{name}.swift") for name in ("launch", *SCREENLESS)]
    options = ("-parse-as-library", "-swift-version", "6", "-module-name", "launch", str(JOB / "CryptoKit.o"))
    said = app.swiftc(*options, *library, *files, "-o", str(JOB / "launch"))
    assert not said, said
    return app


@pytest.fixture
def bundle(app: App, family_artifacts: dict[str, Path], tmp_path: Path) -> Path:
    """Three models, of which the last has a choice of compute units, in an app that was just installed."""
    folder = app.place(tmp_path.name)
    shutil.rmtree(app.folder / ".config", ignore_errors=True)
    (app.folder / "Info.plist").unlink(missing_ok=True)
    models = []
    for family in ("cvt", "hiera", "vit_msn"):
        own = Path(shutil.copytree(family_artifacts[family], folder / family))
        least = {"logits": 30.0}
        models.append({"folder": family, "title": family, "least_sqnr_db": least})
    data = json.loads((own / "manifest.json").read_text(encoding="utf-8"))
    (own / "manifest.json").write_text(json.dumps({**data, "target": "coreml"}), encoding="utf-8")
    (folder / "models.json").write_text(json.dumps({"schema_version": 1, "models": models}))
    return folder


def launch(app: App, folder: Path, manner: str = "") -> Any:
    """Return what a launch says, or None where it ended on the way."""
    ended = app.tools.run(app.folder, str(JOB / "launch"), str(JOB / folder.name), manner)
    assert ended.returncode in {0, ENDED}, ended.stderr
    return json.loads(ended.stdout) if ended.returncode == 0 else None


def test_a_model_that_ends_the_app_is_tested_once(app: App, bundle: Path) -> None:
    for family in ("cvt", "hiera"):
        (bundle / family / "ends").touch()
        assert launch(app, bundle) is None
    said = launch(app, bundle)
    rows = dict(said["rows"])
    assert list(rows) == ["cvt", "hiera", *(f"vit_msn, {units}" for units in UNITS)]
    assert [rows["cvt"], rows["hiera"]] == ["skipped"] * 2
    # The others were tested, as far as a machine without Core ML can.
    assert all("can't run a file for coreml" in rows[f"vit_msn, {units}"] for units in UNITS)
    # No launch loads one of them by itself, on the first screen either.
    assert said["first"] == "vit_msn, ALL"
    assert said["ended"] == ["cvt ALL", "hiera ALL"]


def test_a_skipped_test_is_begun_again_by_the_user(app: App, bundle: Path) -> None:
    (bundle / "cvt" / "ends").touch()
    assert launch(app, bundle) is None
    assert launch(app, bundle, "again") is None
    (bundle / "cvt" / "ends").unlink()
    assert dict(launch(app, bundle)["rows"])["cvt"] == "skipped"
    said = launch(app, bundle, "again")
    assert "can't run a file for paper" in said["rows"][0][1]
    assert said["ended"] == []


def test_other_models_are_tested_all(app: App, bundle: Path) -> None:
    (bundle / "cvt" / "ends").touch()
    assert launch(app, bundle) is None
    (bundle / "cvt" / "ends").unlink()
    path = bundle / "hiera" / "manifest.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["files"][data["model_file"]]["sha256"] = "0" * 64
    path.write_text(json.dumps(data), encoding="utf-8")
    said = launch(app, bundle)
    assert "skipped" not in dict(said["rows"]).values()
    assert said["first"] == "cvt"


def test_another_build_tests_all(app: App, bundle: Path) -> None:
    (bundle / "cvt" / "ends").touch()
    assert launch(app, bundle) is None
    assert dict(launch(app, bundle)["rows"])["cvt"] == "skipped"
    for key in ("CFBundleShortVersionString", "CFBundleVersion"):
        (app.folder / "Info.plist").write_bytes(plistlib.dumps({key: "2"}))
        assert launch(app, bundle) is None
        assert dict(launch(app, bundle)["rows"])["cvt"] == "skipped"


def test_results_are_compared_and_shared_by_model(
    app: App, bundle: Path, family_artifacts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A black photo, of which the app's geometry makes the golden input.
    record = read_manifest(bundle / "cvt").record.inputs[0]
    (bundle / "cvt" / record.golden).write_bytes(np.zeros(record.shape, record.dtype).tobytes())
    said = launch(app, bundle, "measure")
    slowest_first = ["cvt", "hiera", *(f"vit_msn, {units}" for units in UNITS)]
    assert [title for title, *_ in said["rows"]] == slowest_first[::-1]
    p50, loads = ([row[place] for row in said["rows"]] for place in (1, 2))
    assert p50 == sorted(p50)
    assert p50[-1] >= 64
    assert min(loads) > 0
    assert [title for title, _, _, passed in said["rows"] if passed] == ["cvt"]
    assert said["files"] == [f"bench-{family}.json" for family in ("cvt", "hiera", "vit_msn")]
    install_paper_targets(tmp_path, monkeypatch)
    for family, units in (("cvt", UNITS[:1]), ("vit_msn", UNITS)):
        artifact = Path(shutil.copytree(family_artifacts[family], tmp_path / "artifacts" / family))
        results = import_results(app.folder / f"bench-{family}.json", artifact)
        assert {result.config.delegate for result in results} == {f"stand-in {each}" for each in units}
        assert len(results) == len(units)
        assert all(result.model.name == family for result in results)
