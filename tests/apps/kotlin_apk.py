"""Assemble a signed APK of compiled Kotlin, a native library and assets, with Debian's Android tools."""

import os
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.apps.kotlin_app import App
from tests.apps.kotlin_toolchain import EXECUTORCH_LIBRARY

PACKAGE = "mobilekit.selftest"
ACTIVITY = "harness.SelfTestActivity"
LEAST_SDK = 26
MANIFEST = f"""<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="{PACKAGE}">
  <uses-sdk android:minSdkVersion="{LEAST_SDK}" android:targetSdkVersion="{LEAST_SDK}" />
  <application android:label="Self-test">
    <activity android:name="{ACTIVITY}" android:exported="true">
      <intent-filter>
        <action android:name="android.intent.action.MAIN" />
        <category android:name="android.intent.category.LAUNCHER" />
      </intent-filter>
    </activity>
  </application>
</manifest>
"""
PASSWORD = "android"  # noqa: S105 the key signs this test's file and is thrown away


@dataclass(frozen=True)
class Tools:
    """Debian's tools, unpacked below a folder."""

    root: Path

    def aapt2(self, *arguments: str | Path) -> str:
        return self._native("aapt2", *arguments)

    def zipalign(self, *arguments: str | Path) -> str:
        return self._native("zipalign", *arguments)

    def dx(self, *arguments: str | Path) -> str:
        jar = next(self.root.glob("usr/share/java/com.android.dx-*.jar"))
        # It runs once, so it isn't worth optimising.
        java = ("java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        return run(*java, "-cp", jar, "com.android.dx.command.Main", *arguments)

    def apksigner(self, *arguments: str | Path) -> str:
        jars = ":".join(str(path) for path in sorted(self.root.glob("usr/share/java/ap*.jar")) if path.is_file())
        return run("java", "-cp", jars, "com.android.apksigner.ApkSignerTool", *arguments)

    def _native(self, name: str, *arguments: str | Path) -> str:
        folders = ("usr/lib", "usr/lib/x86_64-linux-gnu/android", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
        path = ":".join(str(self.root / folder) for folder in folders)
        program = self.root / "usr/lib/android-sdk/build-tools/debian" / name
        return run(program, *arguments, LD_LIBRARY_PATH=path)


def run(*command: str | Path, **environment: str) -> str:
    """Run a tool, and return all that it said."""
    ended = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def assemble(app: App, tools: Tools, assets: Path, folder: Path) -> Path:
    """Return a signed APK in a folder. assets: of which models aren't compressed, so that they can be mapped."""
    (folder / "AndroidManifest.xml").write_text(MANIFEST)
    bare, aligned, signed = (folder / f"{name}.apk" for name in ("bare", "aligned", "signed"))
    link = ("-I", app.tools.android, "--manifest", folder / "AndroidManifest.xml", "-A", assets, "-0", ".pte")
    tools.aapt2("link", *link, "-o", bare)
    dex = folder / "classes.dex"
    jars = (app.jar, _classes(app.tools.stdlib, folder / "stdlib.jar"), app.tools.executorch)
    tools.dx("--dex", f"--min-sdk-version={LEAST_SDK}", f"--output={dex}", *jars)
    with zipfile.ZipFile(bare, "a") as archive:
        archive.write(dex, dex.name, zipfile.ZIP_DEFLATED)
        library = app.tools.folder / "executorch" / EXECUTORCH_LIBRARY
        archive.write(library, f"lib/arm64-v8a/{library.name}", zipfile.ZIP_STORED)
    tools.zipalign("-p", "4", bare, aligned)
    keys = folder / "keys.p12"
    secret = ("-storepass", PASSWORD, "-keypass", PASSWORD, "-storetype", "PKCS12")
    about = ("-alias", "test", "-dname", "CN=test", "-keyalg", "EC", "-validity", "2", "-keystore", keys)
    run("keytool", "-genkeypair", *about, *secret)
    tools.apksigner("sign", "--ks", keys, "--ks-pass", f"pass:{PASSWORD}", "--out", signed, aligned)
    return signed


def _classes(jar: Path, copy: Path) -> Path:
    """Copy a jar without its parts for newer JVMs, which dx can't read."""
    with zipfile.ZipFile(jar) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            if name.endswith(".class") and not name.startswith("META-INF/"):
                target.writestr(name, source.read(name))
    return copy
