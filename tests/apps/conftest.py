"""Compile the apps' code once, and have artifacts of all families for it."""

from pathlib import Path

import pytest

from mobile_kit.export import export
from mobile_kit.prepare import ExportOptions
from tests.apps.kotlin_app import App, sources
from tests.apps.kotlin_toolchain import toolchain
from tests.conftest import install_paper_targets
from tests.exports import CHECKPOINTS
from tests.packages import PackageError

FAMILIES = ("cvt", "hiera", "mobilevitv2", "vit_msn")


@pytest.fixture(scope="session")
def kotlin(tmp_path_factory: pytest.TempPathFactory) -> App:
    """The Android app's runtime module, with warnings as errors."""
    try:
        tools = toolchain()
    except PackageError as exc:
        pytest.skip(str(exc))
    folder = tmp_path_factory.mktemp("kotlin")
    jar = folder / "app.jar"
    ended = tools.compile(sources(folder), jar)
    assert ended.returncode == 0, ended.stderr
    return App(tools, jar)


@pytest.fixture(scope="session")
def family_artifacts(tmp_path_factory: pytest.TempPathFactory, paper_export: Path) -> dict[str, Path]:
    """An artifact of each family's shipped classifier, of a target that needs no converter. Not to be changed."""
    folder = tmp_path_factory.mktemp("families")
    found = {"mobilevitv2": paper_export}
    with pytest.MonkeyPatch.context() as patch:
        install_paper_targets(folder, patch)
        for family in (each for each in FAMILIES if each not in found):
            options = ExportOptions(str(CHECKPOINTS / f"{family}-digits"), folder / "out", ("paper",))
            (done,) = export(options).artifacts
            found[family] = done.manifest.folder
    return {family: found[family] for family in FAMILIES}
