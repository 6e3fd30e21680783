"""The iOS app's runtime package, compiled for Linux with a program around it that tests can ask."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobile_kit.artifacts.manifest import open_runtime, read_manifest
from tests.apps.swift_toolchain import Toolchain
from tests.exports import ROOT

README = ROOT / "sample_apps" / "ios" / "MobileKitRuntime" / "README.md"
PACKAGE = ROOT / "sample_apps" / "ios" / "MobileKitRuntime"
SOURCES = PACKAGE / "Sources" / "MobileKitRuntime"
OWN = Path(__file__).parent
# In the order in which they need one another.
STUBS = ("CryptoKit", "CoreVideo", "CoreML", "CoreGraphics", "ImageIO", "ExecuTorch", "AVFoundation")
STRICT = ("-swift-version", "6", "-strict-concurrency=complete", "-warnings-as-errors")
LEAST_DB = 30.0
JOB = Path("/job")


@dataclass(frozen=True)
class App:
    """A folder with the sources, and the program built of them."""

    tools: Toolchain
    folder: Path

    def swiftc(self, *options: str) -> str:
        """Compile in the folder; return what the compiler complains of, nothing where all is well."""
        ended = self.tools.run(self.folder, "swiftc", *options)
        return "" if ended.returncode == 0 else (ended.stdout + ended.stderr) or "no reason given"

    def ask(self, command: str, folder: Path, word: str = "") -> Any:
        """Ask the program about a folder below the app's own."""
        inside = str(JOB / folder.relative_to(self.folder))
        ended = self.tools.run(self.folder, str(JOB / "harness"), command, inside, word)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def place(self, name: str) -> Path:
        """Return a new folder that the program sees."""
        place = self.folder / name
        place.mkdir()
        return place


def sources(app: App, changed: dict[str, str] | None = None) -> list[str]:
    """Copy the package's sources, some with another text, and return their names inside."""
    place = Path(shutil.copytree(SOURCES, app.folder / "sources", dirs_exist_ok=True))
    for name, text in (changed or {}).items():
        (place / name).write_text(text)
    return [str(JOB / "sources" / path.name) for path in sorted(place.glob("*.swift"))]


def build(tools: Toolchain, folder: Path) -> App:
    """Build the program as an app is built for users."""
    app = App(tools, folder)
    shutil.copy(OWN / "swift" / "main.swift", folder)
    files = [str(JOB / "main.swift"), *sources(app), *build_hashes(app)]
    said = app.swiftc("-O", "-wmo", *STRICT, "-module-name", "harness", *files, "-o", str(JOB / "harness"))
    assert not said, said
    return app


def build_hashes(app: App) -> list[str]:
    """Compile what stands for CryptoKit, and return what a program needs to be built with it."""
    shutil.copy(OWN / "stubs" / "swift" / "CryptoKit.swift", app.folder)
    return build_library(app, "CryptoKit", [str(JOB / "CryptoKit.swift")])


def build_library(app: App, name: str, files: list[str]) -> list[str]:
    """Compile a module beside the program, and return what another needs to be built with it."""
    module, code = str(JOB / f"{name}.swiftmodule"), str(JOB / f"{name}.o")
    options = ("-emit-module", "-emit-module-path", module, "-emit-object", "-parse-as-library", "-wmo")
    said = app.swiftc(*options, "-swift-version", "6", "-module-name", name, *files, "-I", str(JOB), "-o", code)
    assert not said, said
    return ["-I", str(JOB), code]


def build_stubs(app: App) -> str:
    """Compile the interfaces of what Linux lacks, and return the folder of modules inside."""
    shutil.copytree(OWN / "stubs" / "swift", app.folder / "stubs")
    modules = str(JOB / "modules")
    (app.folder / "modules").mkdir()
    for name in STUBS:
        options = ("-emit-module", "-parse-as-library", "-swift-version", "6", "-module-name", name, "-I", modules)
        said = app.swiftc(*options, str(JOB / "stubs" / f"{name}.swift"), "-o", f"{modules}/{name}.swiftmodule")
        assert not said, said
    return modules


def write_photo(image: NDArray[np.uint8], folder: Path) -> None:
    """Write decoded pixels (H, W, C) with their size."""
    record = {"source": "photo.bin", "height": image.shape[0], "width": image.shape[1], "channels": image.shape[2]}
    (folder / "photo.bin").write_bytes(image.tobytes())
    (folder / "photo.json").write_text(json.dumps(record))


def write_bundle(folder: Path, artifacts: dict[str, Path], least_db: float = LEAST_DB) -> None:
    """Copy artifacts beside an index, with what each file computes of its golden input, and of it in BGR.

    The program reads no PNG, so that each has its golden photo decoded too.
    """
    models = []
    for name, artifact in artifacts.items():
        own = Path(shutil.copytree(artifact, folder / name))
        manifest = read_manifest(own)
        least = {spec.name: least_db for spec in manifest.outputs}
        models.append({"folder": name, "title": f"{name} tested", "least_sqnr_db": least})
        runtime = open_runtime(manifest)
        image, *further = manifest.record.inputs
        others = {each.name: manifest.golden(each) for each in further}
        golden = manifest.golden(image)
        for kind, values in (("right", golden), ("swapped", np.ascontiguousarray(golden[..., ::-1]))):
            (own / "given" / kind).mkdir(parents=True)
            (own / "given" / kind / f"{image.name}.bin").write_bytes(values.tobytes())
            for output, found in runtime.run({**others, image.name: values}).items():
                (own / "given" / kind / f"{output}.bin").write_bytes(found.tobytes())
    (folder / "models.json").write_text(json.dumps({"schema_version": 1, "models": models}))


def write_artifact(folder: Path, like: Path, **changes: Any) -> None:
    """Write an artifact's manifest with some parts of its values changed, and no file beside it."""
    data = json.loads((like / "manifest.json").read_text(encoding="utf-8"))
    for part, values in changes.items():
        data[part] = data[part] | values if isinstance(values, dict) else values
    data["files"] = {}
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(data))
