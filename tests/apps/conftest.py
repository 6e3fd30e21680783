"""Compile the apps' code once, and have artifacts of all families for it."""

from pathlib import Path

import pytest

from mobile_kit.exporting.export import export
from mobile_kit.exporting.options import ExportOptions
from tests.apps import android_app, kotlin_app, kotlin_toolchain, swift_app, swift_toolchain
from tests.conftest import install_paper_targets
from tests.exports import CHECKPOINTS
from tests.one_process import workers_here
from tests.packages import or_skip

FAMILIES = ("cvt", "hiera", "mobilevitv2", "vit_msn")


@pytest.fixture(scope="session")
def kotlin(tmp_path_factory: pytest.TempPathFactory) -> kotlin_app.App:
    """The Android app, its runtime module and what drives them, with warnings as errors: all in one, which is soonest.

    Every name of a resource is among what is checked.
    """
    tools = or_skip(kotlin_toolchain.toolchain)
    folder = tmp_path_factory.mktemp("kotlin")
    jar = folder / "app.jar"
    sources = dict.fromkeys([*kotlin_app.sources(folder), *android_app.sources(folder)])
    ended = tools.compile(list(sources), jar)
    assert ended.returncode == 0, ended.stderr
    return kotlin_app.App(tools, jar)


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> swift_app.App:
    """The iOS app's runtime package, built for Linux."""
    return swift_app.build(or_skip(swift_toolchain.toolchain), tmp_path_factory.mktemp("swift"))


@pytest.fixture(scope="session")
def apples(swift: swift_app.App) -> str:
    """The folder of the modules that Linux lacks, as the compiler sees it."""
    return swift_app.build_stubs(swift)


@pytest.fixture(scope="session")
def family_artifacts(tmp_path_factory: pytest.TempPathFactory, paper_export: Path) -> dict[str, Path]:
    """An artifact of each family's shipped classifier, of a target that needs no converter. Not to be changed."""
    folder = tmp_path_factory.mktemp("families")
    found = {"mobilevitv2": paper_export}
    with pytest.MonkeyPatch.context() as patch:
        install_paper_targets(folder, patch)
        for family in (each for each in FAMILIES if each not in found):
            options = ExportOptions(str(CHECKPOINTS / f"{family}-digits"), folder / "out", ("paper",))
            with workers_here():
                (done,) = export(options).artifacts
            found[family] = done.manifest.folder
    return {family: found[family] for family in FAMILIES}
