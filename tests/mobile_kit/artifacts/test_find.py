"""A path to an artifact's file, or to the folder above it, leads to the artifact."""

from pathlib import Path

import pytest

from mobile_kit.artifacts.find import find_artifact
from mobile_kit.errors import ArtifactError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder of a model with one artifact."""
    (tmp_path / "digits" / "coreml-fp16" / "model.mlpackage").mkdir(parents=True)
    (tmp_path / "digits" / "coreml-fp16" / "manifest.json").touch()
    return tmp_path / "digits"


def test_its_folder_its_file_and_the_folder_above_lead_to_it(model: Path) -> None:
    artifact = model / "coreml-fp16"
    for path in (artifact, artifact / "model.mlpackage", artifact / "manifest.json", model):
        assert find_artifact(path) == artifact


def test_of_several_one_must_be_named(model: Path) -> None:
    (model / "tflite-fp16").mkdir()
    (model / "tflite-fp16" / "manifest.json").touch()
    with pytest.raises(ArtifactError, match=r"holds 2 of them: coreml-fp16, tflite-fp16\. Name one\."):
        find_artifact(model)


def test_what_leads_to_none_is_named_by_what_reads_it(tmp_path: Path) -> None:
    assert find_artifact(tmp_path / "none") == tmp_path / "none"
    assert find_artifact(tmp_path) == tmp_path
