"""What this machine can say of an app's project, and what it can't: types, the package's description, a whole build."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mobile_kit.apps.templates import Template
from mobile_kit.errors import ArtifactError, tool_reason

__all__ = ["ProjectCheck", "check_app", "check_references"]

COMPILE_S, BUILD_S = 600, 3600
# Packages that Android's interfaces and Kotlin itself have; Gradle fetches others.
ANDROIDS_OWN = r"android|java|javax|kotlin|org\.json"
SDK_PLACES = ("Android/Sdk", "Library/Android/sdk")


@dataclass(frozen=True)
class ProjectCheck:
    """One thing that was looked at. passed: None where this machine can't. said: what of it, or why not."""

    name: str
    passed: bool | None
    said: str


def check_references(folder: Path, template: Template) -> None:
    """Raise ArtifactError where a project's file names something that isn't there."""
    for file, pattern in template.references.items():
        text = (folder / file).read_text(encoding="utf-8")
        names = [name for found in re.finditer(pattern, text) for name in found.groups() if name]
        missing = [name for name in names if not (folder / name).exists()]
        if missing or not names:
            what = missing[0] if missing else "any of the app's folders"
            raise ArtifactError(f"template {template.folder}: {file} lacks {what}. Install mobile-kit again.")


def check_app(folder: Path, template: Template, tell: Callable[[str], None]) -> list[ProjectCheck]:
    """Check a project with the tools that are installed, on a copy of it. tell: is told of what takes long."""
    make = _ios if template.folder == "ios" else _android
    works = list(make(folder, template))
    if all(work.why_not is not None for work in works):
        return [work() for work in works]
    with tempfile.TemporaryDirectory(prefix="mobile-kit-", ignore_cleanup_errors=True) as private:
        copy = Path(private) / "app"
        shutil.copytree(folder, copy)
        found = []
        for work in make(copy, template):
            if work.why_not is None:
                tell(work.name)
            found.append(work())
        return found


@dataclass(frozen=True)
class _Work:
    """A check that is to be done. why_not: None where it can be. apart: files whose errors say nothing here."""

    name: str
    why_not: str | None
    command: Sequence[str | Path]
    folder: Path
    passed: str
    seconds: int | None = None
    apart: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> ProjectCheck:
        if self.why_not is not None:
            return ProjectCheck(self.name, None, self.why_not)
        seconds = self.seconds or COMPILE_S
        try:
            code, output = self._run(seconds)
        except subprocess.TimeoutExpired:
            return ProjectCheck(self.name, None, f"took more than {seconds} s")
        except OSError as exc:
            return ProjectCheck(self.name, None, f"{self.command[0]} can't be started ({exc.strerror})")
        errors = [line for line in output.splitlines() if re.search(r"(^|:\d+: )error: ", line)]
        known = [line for line in errors if any(f"{name}:" in line for name in self.apart)]
        if code == 0 or (known and known == errors):
            return ProjectCheck(self.name, True, self.passed)
        unknown = [line for line in errors if line not in known]
        return ProjectCheck(self.name, False, tool_reason("\n".join(unknown) or output))

    def _run(self, seconds: int) -> tuple[int, str]:
        """Return the exit code and what was said. Xcode and Gradle start programs too: all of them are stopped."""
        tool, *arguments = map(str, self.command)
        with subprocess.Popen(
            # By its path: on Windows these are scripts, which only a search finds.
            [shutil.which(tool) or tool, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
            except BaseException:
                if os.name == "nt":
                    process.kill()
                else:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                raise
            return process.returncode, said


def _ios(folder: Path, template: Template) -> Iterator[_Work]:
    package, mac = folder / template.library, sys.platform == "darwin"
    yield _Work(
        "description of the package",
        _missing("swift"),
        ("swift", "package", "--scratch-path", folder / "scratch", "dump-package"),
        package,
        "as SwiftPM takes it",
    )
    without = "ExecuTorch is" if mac else "Core ML, ExecuTorch or a screen is"
    yield _Work(
        "types of the package",
        _missing("swiftc"),
        ("swiftc", "-typecheck", "-swift-version", "6", *sorted(package.rglob("Sources/**/*.swift"))),
        package,
        f"right; what stands on {without} left to the build",
    )
    screens = sorted((folder / "App").glob("*.swift"))
    if screens:
        yield _Work(
            "syntax of the screens",
            _missing("swiftc"),
            ("swiftc", "-parse", "-swift-version", "6", *screens),
            folder,
            "right",
        )
        yield _Work(
            "build for iOS",
            _missing("xcodebuild") if mac else "only a Mac with Xcode builds it",
            (
                *("xcodebuild", "-quiet", "-project", template.opened, "-scheme", Path(template.opened).stem),
                *("-destination", "generic/platform=iOS", "-derivedDataPath", folder / "derived"),
                *("CODE_SIGNING_ALLOWED=NO", "build"),
            ),
            folder,
            "built, not signed",
            BUILD_S,
        )


def _android(folder: Path, template: Template) -> Iterator[_Work]:
    sources = sorted((folder / template.library).rglob("src/main/kotlin/**/*.kt"))
    others = rf"(?m)^import (?!({ANDROIDS_OWN})\.)"
    apart = [path.name for path in sources if re.search(others, path.read_text(encoding="utf-8"))]
    sdk, interfaces = _android_sdk()
    no_sdk = None if sdk else "no platform of Android's SDK in ANDROID_HOME"
    yield _Work(
        "types of the module",
        _missing("kotlinc") or no_sdk,
        ("kotlinc", "-nowarn", "-cp", interfaces, "-d", folder / "module.jar", *sources),
        folder,
        f"right; {' and '.join(apart)} need libraries that Gradle fetches",
        apart=frozenset(apart),
    )
    if (folder / "app").is_dir():
        yield _Work(
            "APK",
            _missing("gradle") or no_sdk,
            ("gradle", "--no-daemon", "--quiet", ":app:assembleDebug"),
            folder,
            "built, signed for debugging",
            BUILD_S,
            environment={"ANDROID_HOME": str(sdk)},
        )


def _missing(tool: str) -> str | None:
    if shutil.which(tool) is None:
        return f"no {tool} on the PATH"
    # A Mac has programs of these names that only ask for Xcode where it isn't installed.
    apples = sys.platform == "darwin" and tool in {"swift", "swiftc", "xcodebuild"}
    command = ["xcrun", "--find", tool]
    if apples and subprocess.run(command, capture_output=True, check=False).returncode:
        return f"no {tool} in the Xcode that xcode-select names"
    return None


def _android_sdk() -> tuple[Path | None, Path]:
    """Return the folder of Android's SDK, None where there is none, and android.jar of its newest platform."""
    named = [os.environ[name] for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if os.environ.get(name)]
    for place in (*map(Path, named), *(Path.home() / each for each in SDK_PLACES)):
        jars = {
            int(found[1]): jar
            for jar in place.glob("platforms/android-*/android.jar")
            if (found := re.match(r"android-(\d+)", jar.parent.name))
        }
        if jars:
            return place, jars[max(jars)]
    return None, Path()
