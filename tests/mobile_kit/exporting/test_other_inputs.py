"""Networks whose input no photo has, and single numbers: exported, verified, and judged by what means something."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mobile_kit.apps.web_preview import Preview
from mobile_kit.artifacts.layout import SCENES_FILE
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.artifacts.verification import read_report
from mobile_kit.checkpoints.load import load
from mobile_kit.evaluation.predictor import Predictor
from mobile_kit.preprocessing.synthetic_images import scene
from tests.conftest import Answer
from tests.small_checkpoints import PROCESSOR, change_json, save, small_model
from tests.small_families import HIERA

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets", "one_process")


def test_four_channels_enter_as_the_processor_gives_them(tmp_path: Path, command: Command) -> None:
    processor = {**PROCESSOR, "do_flip_channel_order": False}
    model = small_model("classification")
    stem = model.mobilevitv2.conv_stem.convolution
    stem.weight = torch.nn.Parameter(torch.cat([stem.weight, stem.weight[:, :1]], 1), requires_grad=False)
    model.config.num_channels = stem.in_channels = 4
    source = save(model, tmp_path / "four", processor)
    refused = command("export", source, "--out", tmp_path / "out", "--target", "paper")
    assert refused.code == 1
    assert "takes images of 4 channels, and a photo has 3, or 1 in gray. Add --input pixel_values." in refused.err
    answer = command("export", source, "--out", tmp_path / "out", "--target", "paper", "--input", "pixel_values")
    assert answer.code == 0, answer.err
    artifact = tmp_path / "out" / "four" / "paper-fp32"
    assert command("verify", artifact).code == 0
    record = read_manifest(artifact).record
    assert (record.preprocess.channel_order, record.inputs[0].shape) == ("RGBA", (1, 4, 64, 64))
    photo = scene(5, 80, 90, channels=4)
    checkpoint = load(str(source), any_channels=True)
    values = checkpoint.processor(photo, return_tensors="pt", input_data_format="channels_last").pixel_values
    with torch.no_grad():
        theirs = checkpoint.model(values).logits.numpy()
    assert Predictor(artifact).outputs(photo)["logits"] == pytest.approx(theirs, abs=1e-4)


def test_a_single_number_is_judged_over_scenes(tmp_path: Path, command: Command) -> None:
    """Also where photos move it by little of its size, such as an age."""
    model = small_model("classification", id2label={0: "age"}, problem_type="regression")
    model.classifier.bias.data.fill_(45.0)
    source = save(model, tmp_path / "age")
    answer = command("export", source, "--out", tmp_path / "out", "--target", "paper")
    assert answer.code == 0, answer.err
    artifact = tmp_path / "out" / "age" / "paper-fp32"
    assert (artifact / SCENES_FILE).is_file()
    report = read_report(read_manifest(artifact))
    assert report is not None
    assert report.images == 64
    # A file that says the same of every photo is off by as much as photos differ.
    golden = artifact / "golden/oracle.json"
    assert json.loads(golden.read_text())["yardsticks"]["logits"]["float32_error"] < 1e-3
    said = command("predict", artifact, _photo(tmp_path), "--json")
    ((label, value),) = json.loads(said.out)["classes"]
    assert label == "age"
    assert value == pytest.approx(45, abs=10)


@pytest.mark.parametrize("convert", [True, False])
def test_a_processor_that_makes_rgb_keeps_four_channels(convert: bool, tmp_path: Path, command: Command) -> None:
    model = HIERA.model("classification", (64, 64), {"num_channels": 4})
    source = HIERA.save(model, tmp_path / "four")
    change_json(source / "preprocessor_config.json", do_convert_rgb=convert, image_mean=[0.5] * 4, image_std=[0.5] * 4)
    answer = command("export", source, "--out", tmp_path / "out", "--target", "paper", "--input", "pixel_values")
    assert answer.code == 0, answer.err
    artifact = tmp_path / "out" / "four" / "paper-fp32"
    preview = Preview(artifact)
    preview.warm_up()
    assert preview.answer((artifact / "golden/photo.png").read_bytes(), "photo")["seen"]


def test_a_lone_probability_is_no_blind_one(tmp_path: Path, command: Command) -> None:
    model = small_model("classification", id2label={0: "ripe"})
    model.classifier.bias.data.fill_(9.0)
    source = save(model, tmp_path / "one")
    for outputs in ("probabilities", "logits", "probabilities,logits"):
        answer = command(
            *(
                "export",
                source,
                "--out",
                tmp_path / outputs,
                "--target",
                "paper",
                "--outputs",
                outputs,
                "--recipe",
                "fp32",
            )
        )
        assert answer.code == 0, answer.err


def test_another_checkpoint_of_a_single_number_is_noticed(tmp_path: Path, command: Command) -> None:
    model = small_model("classification", id2label={0: "age"}, problem_type="regression")
    model.classifier.bias.data.fill_(45.0)
    source = save(model, tmp_path / "age")
    assert command("export", source, "--out", tmp_path / "out", "--target", "paper").code == 0
    artifact = tmp_path / "out" / "age" / "paper-fp32"
    assert command("verify", artifact, "--checkpoint", source).code == 0
    model.classifier.bias.data.fill_(45.3)
    answer = command("verify", artifact, "--checkpoint", save(model, tmp_path / "age"))
    assert answer.code == 1
    assert "not the checkpoint that was exported" in answer.out


def _photo(folder: Path) -> Path:
    Image.fromarray(scene(3, 70, 90)).save(folder / "photo.png")
    return folder / "photo.png"


def test_a_fourth_channel_is_never_empty() -> None:
    image = scene(1, 40, 50, channels=4)
    assert image.shape == (40, 50, 4)
    assert np.array_equal(image[:, :, :3], scene(1, 40, 50))
    assert image[:, :, 3].min() > 0
    assert np.array_equal(scene(1, 40, 50, channels=1), scene(1, 40, 50)[:, :, :1])
