"""The Android app's runtime module, compiled with the harness that drives it on a JVM, and what they are given."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.apps.kotlin_toolchain import Toolchain
from tests.apps.usage import shown
from tests.exports import ROOT

MODULE = ROOT / "sample_apps/android/mobilekit-runtime/src/main/kotlin/mobilekit"
README = ROOT / "sample_apps/android/mobilekit-runtime/README.md"
HERE = Path(__file__).parent
# What a manifest has that the app reads; the rest is told by each test.
MANIFEST: dict[str, Any] = {
    "schema_version": 2,
    "model": {"family": "mobilevitv2", "head": "classification", "source": "drawn", "activation": "softmax"},
    "target": "tflite",
    "backend": None,
    "model_file": "model.tflite",
    "recipe": {"name": "fp32"},
    "preprocess": {
        "resize": None,
        "rounding": "truncate",
        "crop": [32, 32],
        "resample": "bilinear",
        "channel_order": "RGB",
        "scale": 1 / 255,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "in_graph": True,
    },
    "inputs": [],
    "outputs": [],
    "files": {"model.tflite": {"sha256": "0" * 64, "bytes": 1}},
}


@dataclass(frozen=True)
class App:
    """The compiled jar."""

    tools: Toolchain
    jar: Path

    def ask(self, command: str, folder: Path, *arguments: str) -> Any:
        """Run one of the harness's commands on a folder."""
        return json.loads(self.tools.run(self.jar, "harness.HarnessKt", command, folder, *arguments))


def sources(folder: Path) -> list[Path]:
    """The module, stubs of what it stands on, the harness, and what the README shows, which is written to a folder."""
    usage = folder / "Usage.kt"
    usage.write_text(shown(README, "kotlin"), encoding="utf-8")
    code = (path for place in (MODULE, HERE / "stubs", HERE / "kotlin") for path in sorted(place.glob("*.kt")))
    return [*code, usage]


def write_artifact(folder: Path, **changes: Mapping[str, Any] | Sequence[Any] | str | int) -> None:
    """Write a manifest of its own into a folder: objects are merged into those above, other values take their place."""
    data = copy.deepcopy(MANIFEST)
    for key, value in changes.items():
        data[key] = {**data[key], **value} if isinstance(value, Mapping) else value
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(data))


def tensor(name: str, values: NDArray[Any], folder: Path, meaning: str | None = None) -> dict[str, Any]:
    """Write a golden file, and return its record."""
    (folder / f"{name}.bin").write_bytes(values.tobytes())
    about = {"name": name, "shape": list(values.shape), "dtype": str(values.dtype), "golden": f"{name}.bin"}
    return {**about, "layout": None, "color": None, "meaning": meaning}


def write_photo(image: NDArray[np.uint8], folder: Path) -> None:
    """Write a decoded photo as the harness reads it."""
    (folder / "photo.bin").write_bytes(image.tobytes())
    names = dict(zip(("height", "width", "channels"), image.shape, strict=True))
    (folder / "photo.json").write_text(json.dumps({**names, "source": "photo.bin"}))
