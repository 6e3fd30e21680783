"""Harm a copy of an artifact, as a bad disk, an editor or a liar would, or what its runtime computes."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.models.spec import Array
from targets.tflite.runtime import TFLiteRuntime
from tests.conftest import Answer
from tests.exports import DIGITS


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def refresh_hashes(folder: Path) -> None:
    """Let the manifest agree with what the files have become."""

    def change(data: dict[str, Any]) -> None:
        for name, record in data["files"].items():
            content = (folder / name).read_bytes()
            record.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    change_manifest(folder, change)


def change_one_weight(folder: Path) -> None:
    """Flip the sign of the largest weight of the first class, which lies in the file as it is in the checkpoint."""
    with safe_open(DIGITS / "model.safetensors", "np") as tensors:
        row = tensors.get_tensor("classifier.weight")[0].astype("<f4")
    changed = row.copy()
    changed[np.abs(row).argmax()] *= -1
    model = folder / read_manifest(folder).record.model_file
    files = [path for path in (model.rglob("*") if model.is_dir() else [model]) if path.is_file()]
    (holder,) = (path for path in files if row.tobytes() in path.read_bytes())
    holder.write_bytes(holder.read_bytes().replace(row.tobytes(), changed.tobytes()))


def assert_refused(answer: Answer, *expected: str) -> None:
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("mobile-kit: artifact ")
    for text in expected:
        assert text in line


class Changed(TFLiteRuntime):
    """LiteRT, with something done to what it computes."""

    change: Callable[[Mapping[str, Array], dict[str, Array]], dict[str, Array]]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return type(self).change(inputs, super().run(inputs))
