"""A family that another package registers through its entry point goes the whole way."""

import json
import os
from pathlib import Path

import pytest
import transformers

from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.random_weights import randomize
from mobile_kit.errors import CheckpointError
from mobile_kit.models.family import broken_families, families, find_family
from mobile_kit.preprocessing.preprocess import Preprocess
from tests import toy_family
from tests.exports import CHECKPOINTS, ROOT, TARGETS, mobile_kit
from tests.small_checkpoints import LABELS, save
from tests.small_families import IMAGENET

PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 48, "width": 64},
    "resample": 3,
    **IMAGENET,
}


def install(tmp_path: Path, family: str) -> str:
    """Install a family for other processes; return their PYTHONPATH."""
    info = tmp_path / "installed" / "toy_family-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-family\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mobile_kit.families]\ntoy = {family}\n")
    return os.pathsep.join([str(info.parent), str(ROOT)])


def test_a_family_of_a_taken_name_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    installed = install(tmp_path, "mobile_kit.models.cvt:FAMILY")
    done = mobile_kit("list", PYTHONPATH=installed)
    assert done.returncode == 0
    assert "not to be used: family 'cvt' of toy-family: there is one of its name or model_type 'cvt'" in done.stdout
    done = mobile_kit("export", CHECKPOINTS / "cvt-digits", "--out", tmp_path / "out", PYTHONPATH=installed)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mobile-kit: family 'cvt' of toy-family: there is one")


def test_a_broken_family_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "a_package_that_nobody_has:FAMILY")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    assert set(families()) == {"cvt", "hiera", "mobilevitv2", "vit_msn"}
    reason = "family 'toy' of toy-family: can't be imported (No module named 'a_package_that_nobody_has')"
    (broken,) = broken_families()
    assert broken.reason.startswith(reason)
    assert find_family("cvt") is families()["cvt"]
    (tmp_path / "config.json").write_text('{"model_type": "toy", "architectures": ["Toy"]}')
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    with pytest.raises(
        CheckpointError, match=r"Known: cvt, hiera, mobilevitv2, vit_msn\. Not to be used: family 'toy'"
    ):
        load(str(tmp_path))


@pytest.mark.parametrize("targets", [("tflite",), pytest.param(TARGETS, marks=pytest.mark.slow)])
def test_a_family_from_outside_is_exported_and_verified(targets: tuple[str, ...], tmp_path: Path) -> None:
    installed = install(tmp_path, f"{toy_family.__name__}:FAMILY")
    config = transformers.ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 24],
        depths=[1, 1],
        layer_type="basic",
        id2label=dict(enumerate(LABELS)),
    )
    model = transformers.ResNetForImageClassification(config).eval()
    randomize(model, Preprocess.from_processor(PROCESSOR, 3))
    folder = save(model, tmp_path / "resnet", PROCESSOR)
    done = mobile_kit(
        "export", folder, "--out", tmp_path / "out", "--target", ",".join(targets), "--json", PYTHONPATH=installed
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {record["status"] for record in said["artifacts"]} == {"passed"}
    assert len(said["artifacts"]) == len(targets)
    listed = json.loads(mobile_kit("list", "--json", PYTHONPATH=installed).stdout)
    assert listed["families"]["toy"]["heads"]["classification"]["outputs"] == ["probabilities", "logits"]
