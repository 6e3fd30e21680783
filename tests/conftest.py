"""What many tests share: small checkpoints on disk, and scenes that are drawn only once."""

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobile_kit.checkpoints import Checkpoint, load
from mobile_kit.families.mobilevitv2 import HEADS
from mobile_kit.scenes import scene
from tests.small_checkpoints import save, small_model


@pytest.fixture(scope="session", autouse=True)
def _scenes_once() -> Iterator[None]:
    """Random weights need eight scenes a model, and the same seed and size give the same bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mobile_kit.randomize.scene", functools.cache(scene))
        yield


@pytest.fixture(scope="session")
def small_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small checkpoint of each head, 64 px, as save_pretrained writes it. Not to be changed."""
    root = tmp_path_factory.mktemp("small")
    return {head: save(small_model(head), root / head) for head in HEADS}


@pytest.fixture(scope="session")
def small_checkpoints(small_folders: dict[str, Path]) -> dict[str, Checkpoint]:
    """The small checkpoints, loaded. Not to be changed."""
    return {head: load(str(folder)) for head, folder in small_folders.items()}


@pytest.fixture
def classifier_folder(small_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the small classification checkpoint, to be damaged."""
    return Path(shutil.copytree(small_folders["classification"], tmp_path / "classifier"))
