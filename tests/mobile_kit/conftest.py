"""An artifact that may be damaged, and a runtime that may be made to err."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mobile_kit.models.spec import Array
from sample_apps.checkpoints.digits import LABELS, held_out_views
from targets.tflite import TFLiteTarget
from tests.damage import Changed
from tests.exports import Export
from tests.serving import encoded


@pytest.fixture
def copied(digits: Export, tmp_path: Path) -> Callable[[str], Path]:
    """Copy an artifact of the digits, to be damaged."""
    return lambda name: Path(shutil.copytree(digits[name], tmp_path / name))


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., dict[str, Array]]], None]:
    """Do something to what a .tflite computes, from its inputs and outputs."""

    def install(change: Callable[..., dict[str, Array]]) -> None:
        monkeypatch.setattr(Changed, "change", staticmethod(change), raising=False)
        monkeypatch.setattr(TFLiteTarget, "load", lambda self, path, inputs, outputs: Changed(path))

    return install


@pytest.fixture(scope="session")
def views() -> list[tuple[bytes, str]]:
    """Photos of digits in PNG, of another size than the network's, and what is on them."""
    return [(encoded(image), LABELS[label]) for image, label in held_out_views(4, seed=5, size_px=210)]
