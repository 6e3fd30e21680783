"""What `bundle --check` says: with the compilers themselves, and with stand-ins of what builds whole apps."""

import os
import shutil
from pathlib import Path

import pytest

from mobile_kit.apps.bundle import BundleOptions, bundle
from mobile_kit.apps.project_check import ProjectCheck, check_app, check_references
from mobile_kit.apps.templates import TEMPLATES
from mobile_kit.errors import ArtifactError
from tests.apps.kotlin_toolchain import KOTLIN_PARTS
from tests.apps.kotlin_toolchain import toolchain as kotlin_toolchain
from tests.apps.swift_toolchain import toolchain as swift_toolchain
from tests.exports import Export
from tests.packages import or_skip

# A private view of the file system in which the compiler's root has the folders of the test, at their places.
SWIFT = """#!/bin/sh
exec unshare --mount -- sh -c 'root=$0; mount -t tmpfs none "$root/tmp" && mkdir -p "$root$TMPDIR" &&
mount --bind "$TMPDIR" "$root$TMPDIR" && mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" &&
HOME="$TMPDIR" PATH=/usr/libexec/swift/bin:/usr/bin exec unshare --root "$root" --wd "$PWD" "$@"' "{root}" {name} "$@"
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the first on the PATH; no SDK but the test's own."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (tmp_path / "private").mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "private"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def project(app: str, digits: Export, folder: Path) -> Path:
    bundle([digits["executorch-xnnpack-fp32"]], BundleOptions(app, folder / "app"))
    return folder / "app"


def checked(app: str, folder: Path) -> dict[str, ProjectCheck]:
    told: list[str] = []
    found = {each.name: each for each in check_app(folder, TEMPLATES[app], told.append)}
    assert told == [name for name, each in found.items() if each.passed is not None]
    return found


def test_kotlins_compiler_finds_a_wrong_type(digits: Export, tmp_path: Path, tools: Path) -> None:
    kotlin = or_skip(kotlin_toolchain)
    path = ":".join(str(kotlin.folder / "kotlin" / part) for part in KOTLIN_PARTS)
    compiler = f"-Xmx1g -cp {path} org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-reflect -no-stdlib"
    # Its own library, which an installed compiler finds beside itself.
    tool(tools, "kotlinc", f'#!/bin/sh\nnowarn=$1\nshift 2\nexec java {compiler} -cp "{kotlin.stdlib}:$@"\n')
    platform = tmp_path / "Android/Sdk/platforms/android-23"
    platform.mkdir(parents=True)
    (platform / "android.jar").symlink_to(kotlin.android)
    folder = project("android", digits, tmp_path)
    found = checked("android", folder)["types of the module"]
    assert found.passed, found
    assert found.said == "right; ExecuTorchRunner.kt and LiteRtRunner.kt need libraries that Gradle fetches"
    with next(folder.rglob("Resampling.kt")).open("a") as stream:
        stream.write('\nval wrong: Int = "text"\n')
    found = checked("android", folder)["types of the module"]
    assert found.passed is False
    assert "String" in found.said
    assert not list((tmp_path / "private").iterdir())


def test_swifts_compiler_finds_a_wrong_type(digits: Export, tmp_path: Path, tools: Path) -> None:
    root = or_skip(swift_toolchain).root
    for name in ("swift", "swiftc"):
        tool(tools, name, SWIFT.format(root=root, name=name))
    folder = project("ios", digits, tmp_path)
    found = checked("ios", folder)
    assert {name: each.passed for name, each in found.items()} == {
        "description of the package": True,
        "types of the package": True,
        "syntax of the screens": True,
        "build for iOS": None,
    }, found
    wrong = {
        "description of the package": ("Package.swift", "let wrong = torn", "cannot find 'torn' in scope"),
        "types of the package": ("Resampling.swift", "let wrong = torn", "cannot find 'torn' in scope"),
        "syntax of the screens": ("SelfTestView.swift", "let wrong = )\nlet right = 1", "expected"),
    }
    for file, text, _ in wrong.values():
        with next(folder.rglob(file)).open("a") as stream:
            stream.write(f"\n{text}\n")
    found = checked("ios", folder)
    for name, (_, _, said) in wrong.items():
        assert found[name].passed is False
        assert said in found[name].said


@pytest.mark.parametrize("app", ["android", "ios"])
def test_what_isnt_here_is_said(app: str, digits: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(app, digits, tmp_path)
    monkeypatch.setenv("PATH", "")
    found = checked(app, folder)
    assert len(found) >= 2
    assert all(each.passed is None and each.said.startswith(("no ", "only a Mac")) for each in found.values())


@pytest.mark.parametrize(
    ("script", "passed", "said"),
    [
        ('test "$ANDROID_HOME" && test -f settings.gradle.kts', True, "built, signed for debugging"),
        ("echo 'FAILURE: Build failed'; printf '* What went wrong:\\nNo room.\\n'; exit 1", False, "No room"),
        ("exit 3", False, "it said nothing"),
    ],
)
def test_gradle_builds_where_it_is_there(
    script: str, passed: bool, said: str, digits: Export, tmp_path: Path, tools: Path
) -> None:
    tool(tools, "gradle", f"#!/bin/sh\n{script}\n")
    platform = tmp_path / "Android/Sdk/platforms/android-36"
    platform.mkdir(parents=True)
    (platform / "android.jar").touch()
    found = checked("android", project("android", digits, tmp_path))["APK"]
    assert (found.passed, found.said) == (passed, said)


@pytest.mark.parametrize(
    ("script", "passed", "said"),
    [
        ('test -d "$3" && test -d CoreML', True, "built, not signed"),
        ("echo 'App/A.swift:1:1: error: no such module'; echo '** BUILD FAILED **'; exit 65", False, "no such module"),
    ],
)
def test_xcode_builds_on_a_mac(
    script: str,
    passed: bool,
    said: str,
    digits: Export,
    tmp_path: Path,
    tools: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mobile_kit.apps.project_check.sys.platform", "darwin")
    tool(tools, "xcodebuild", f"#!/bin/sh\n{script}\n")
    tool(tools, "xcrun", '#!/bin/sh\ntest "$2" = xcodebuild\n')
    found = checked("ios", project("ios", digits, tmp_path))["build for iOS"]
    assert (found.passed, found.said) == (passed, said)


def test_a_build_that_hangs_is_stopped(
    digits: Export, tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it starts has the same pipe, and would keep it open.
    tool(tools, "swiftc", "#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr("mobile_kit.apps.project_check.COMPILE_S", 1)
    found = checked_quietly("ios", project("ios", digits, tmp_path))["types of the package"]
    assert (found.passed, found.said) == (None, "took more than 1 s")


def test_a_tool_that_cant_be_started_is_said(digits: Export, tmp_path: Path, tools: Path) -> None:
    tool(tools, "swiftc", "#!/no/such/interpreter\n")
    found = checked_quietly("ios", project("ios", digits, tmp_path))["types of the package"]
    assert (found.passed, found.said) == (None, "swiftc can't be started (No such file or directory)")


def checked_quietly(app: str, folder: Path) -> dict[str, ProjectCheck]:
    return {each.name: each for each in check_app(folder, TEMPLATES[app], lambda text: None)}


@pytest.mark.parametrize(("app", "lost"), [("ios", "MobileKitRuntime"), ("ios", "App"), ("android", "app")])
def test_a_project_that_lacks_what_it_names_is_refused(app: str, lost: str, digits: Export, tmp_path: Path) -> None:
    folder = project(app, digits, tmp_path)
    check_references(folder, TEMPLATES[app])
    shutil.rmtree(folder / lost)
    with pytest.raises(ArtifactError, match=rf"{app}: .* lacks {lost}\. Install mobile-kit again\."):
        check_references(folder, TEMPLATES[app])
