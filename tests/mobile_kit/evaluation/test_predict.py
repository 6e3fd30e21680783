import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mobile_kit.errors import UnsupportedError
from mobile_kit.evaluation.overlay import LEAST_SHARE, LEGEND_ROW_PX, class_color
from mobile_kit.evaluation.predict import predict
from mobile_kit.evaluation.predictor import Predictor
from mobile_kit.preprocessing.synthetic_images import scene
from sample_apps.checkpoints.digits import LABELS, held_out_views
from tests.conftest import Answer
from tests.exports import Export
from tests.parity import checkpoint, photos
from tests.small_checkpoints import LABELS as SMALL_LABELS
from tests.small_families import HIERA

Command = Callable[..., Answer]

TARGETS = ("coreml-fp32", "executorch-xnnpack-fp32", "tflite-fp16")
# Core ML's and XNNPACK's sums of probabilities are float32's, over 20 classes.
SUM_TOLERANCE = 1e-5
# Hugging Face resizes logits with torch, we with Pillow: pixels whose best two classes are equal up to rounding.
# Measured: none of 9216.
FLIPPED = 1e-3


@pytest.fixture
def digit(tmp_path: Path) -> tuple[Path, str]:
    """A photo of another size than the network's, and what is on it."""
    image, label = next(held_out_views(1, seed=5, size_px=210))
    path = tmp_path / "digit.png"
    Image.fromarray(image).save(path)
    return path, LABELS[label]


@pytest.fixture
def scene_file(tmp_path: Path, segmentation: Export) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(photos(segmentation.checkpoint, 3)[0]).save(path)
    return path


@pytest.mark.usefixtures("paper_targets")
def test_noise_is_given_in_its_shape_or_refused(tmp_path: Path, command: Command) -> None:
    folder = HIERA.save(HIERA.model("pretraining", (64, 64), {}), tmp_path / "hiera")
    assert command("export", folder, "--out", tmp_path, "--target", "paper").code == 0
    predictor, photo = Predictor(tmp_path / "hiera" / "paper-fp32"), scene(1)
    order = predictor.outputs(photo, {"noise": np.array([[0.4, 0.1, 0.3, 0.2]])})["ids_restore"]
    assert order.tolist() == [[3, 0, 2, 1]]
    with pytest.raises(UnsupportedError, match=r"^input 'noise': its shape is \(4,\), and the file takes \(1, 4\)\."):
        predictor.outputs(photo, {"noise": np.zeros(4)})
    with pytest.raises(UnsupportedError, match=r"^input 'smell': unknown\. Known: noise\.$"):
        predictor.outputs(photo, {"smell": np.zeros(4)})


@pytest.mark.parametrize("name", TARGETS)
def test_the_top_classes_of_a_digit(name: str, digit: tuple[Path, str], digits: Export, command: Command) -> None:
    path, label = digit
    answer = command("predict", digits[name], path, "--top", "20", "--json")
    assert (answer.code, answer.err) == (0, "")
    said = json.loads(answer.out)
    assert (said["artifact"], said["image"], said["overlay"]) == (str(digits[name]), str(path), None)
    names, scores = zip(*said["classes"], strict=True)
    assert names[0] == label
    assert scores[0] > 0.5
    assert sorted(scores, reverse=True) == list(scores)
    assert sum(scores) == pytest.approx(1, abs=SUM_TOLERANCE)
    assert set(names) == set(LABELS)


def test_people_get_a_table(digit: tuple[Path, str], digits: Export, command: Command) -> None:
    path, label = digit
    answer = command("predict", digits["tflite-fp32"], path, "--top", "2")
    header, best, second = answer.out.splitlines()
    assert header.split() == ["class", "probability"]
    assert best.startswith(label)
    assert best.endswith("%")
    assert second


def test_colours_reach_the_network_as_they_are(digits: Export) -> None:
    """Half of the classes differ from the other half in the colour only."""
    predictor = Predictor(digits["tflite-fp32"])
    seen = {True: 0, False: 0}
    for image, label in held_out_views(10, seed=6):
        for swapped in seen:
            outputs = predictor.outputs(np.ascontiguousarray(image[:, :, ::-1]) if swapped else image)
            seen[swapped] += int(outputs["logits"].argmax()) == label
    assert seen[False] >= 9
    assert seen[True] <= 1


@pytest.mark.parametrize(
    ("fixture", "name"),
    [
        ("segmentation", "tflite-fp32"),
        ("segmentation", "coreml-fp16"),
        ("mask", "executorch-xnnpack-fp32"),
        ("mask", "tflite-fp32"),
        ("segmenter", "tflite-fp32"),
    ],
)
def test_an_overlay_shows_the_classes_with_a_legend(
    fixture: str, name: str, scene_file: Path, tmp_path: Path, command: Command, request: pytest.FixtureRequest
) -> None:
    exported: Export = request.getfixturevalue(fixture)
    target = tmp_path / "overlay.png"
    answer = command("predict", exported[name], scene_file, "--save", target, "--json")
    assert (answer.code, answer.err) == (0, "")
    said = json.loads(answer.out)
    assert said["overlay"] == str(target)
    names, shares = zip(*said["classes"], strict=True)
    assert set(names) <= set(SMALL_LABELS)
    assert len(names) > 1
    assert sum(shares) == pytest.approx(1)
    with Image.open(target) as overlay:
        assert overlay.format == "PNG"
        rows = sum(share >= LEAST_SHARE for share in shares)
        assert overlay.size == (240, 96 + 6 + LEGEND_ROW_PX * rows)
        pixels = np.asarray(overlay.convert("RGB"))
    # The legend's squares, from the most frequent class on.
    for row in range(rows):
        color = class_color(SMALL_LABELS.index(names[row]))
        assert tuple(pixels[96 + 6 + row * LEGEND_ROW_PX + 7, 13].tolist()) == color
    # The map is half the photo and half the classes' colours.
    original = Predictor(exported[name]).manifest.preprocess.geometry(photos(exported.checkpoint, 3)[0])
    colors = np.array([class_color(i) for i in range(len(SMALL_LABELS))])
    rest = 2 * pixels[:96, :96].astype(int) - original
    nearest = np.abs(rest[:, :, None] - colors).sum(-1).argmin(-1)
    found = np.bincount(nearest.ravel(), minlength=len(SMALL_LABELS)) / nearest.size
    for label, share in said["classes"]:
        assert found[SMALL_LABELS.index(label)] == pytest.approx(share, abs=0.01)


def test_the_class_map_is_hugging_face_s(segmentation: Export, scene_file: Path) -> None:
    hf = checkpoint(segmentation.checkpoint)
    image = photos(segmentation.checkpoint, 3)[0]
    with torch.no_grad():
        raw = hf.model(torch.from_numpy(hf.processor(image, return_tensors="np")["pixel_values"]))
    (classes,) = hf.processor.post_process_semantic_segmentation(raw, target_sizes=[(96, 96)])
    shares = np.bincount(classes.numpy().ravel(), minlength=5) / classes.numel()
    found = predict(segmentation["tflite-fp32"], scene_file)
    for label, share in found.classes:
        assert share == pytest.approx(shares[SMALL_LABELS.index(label)], abs=FLIPPED)


def test_a_share_of_the_picture_is_called_so(scene_file: Path, segmentation: Export, command: Command) -> None:
    answer = command("predict", segmentation["tflite-fp32"], scene_file)
    assert answer.out.splitlines()[0].split() == ["class", "share"]


def test_a_gray_checkpoint_takes_a_colour_photo(odd: Export, digit: tuple[Path, str]) -> None:
    found = predict(odd["tflite-fp32"], digit[0], top=3)
    assert len(found.classes) == 3
    assert {name for name, _ in found.classes} <= set(SMALL_LABELS)


REFUSED = ("a head that names no classes", "a map of a classifier", "a torn image", "no image", "a missing image")


@pytest.mark.parametrize("case", REFUSED)
def test_bad_requests_get_one_line(
    case: str, digit: tuple[Path, str], digits: Export, base: Export, tmp_path: Path, command: Command
) -> None:
    torn, text = tmp_path / "torn.png", tmp_path / "text.png"
    torn.write_bytes(digit[0].read_bytes()[:2000])
    text.write_text("no image")
    target = tmp_path / "overlay.png"
    classifier = digits["tflite-fp32"]
    arguments, expected = {
        REFUSED[0]: ((base["tflite-fp32"], digit[0]), "base head names no classes"),
        REFUSED[1]: ((classifier, digit[0], "--save", target), f"--save {target}: a classifier has no map"),
        REFUSED[2]: ((classifier, torn), "torn.png: can't be decoded"),
        REFUSED[3]: ((classifier, text), "text.png: can't be decoded (not an image, or none of "),
        REFUSED[4]: ((classifier, tmp_path / "gone.png"), "gone.png: no such file"),
    }[case]
    answer = command("predict", *arguments)
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("mobile-kit: ")
    assert expected in line
    assert not target.exists()


@pytest.mark.parametrize(
    ("place", "reason"), [("no/such/folder/overlay.png", "can't be written"), ("overlay.jpg", "isn't a PNG's name")]
)
def test_an_overlay_that_cant_be_written_is_refused(
    place: str, reason: str, scene_file: Path, segmentation: Export, tmp_path: Path, command: Command
) -> None:
    answer = command("predict", segmentation["tflite-fp32"], scene_file, "--save", tmp_path / place)
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert reason in line
    assert not (tmp_path / place).exists()


def test_a_changed_artifact_is_refused(
    digit: tuple[Path, str], digits: Export, tmp_path: Path, command: Command
) -> None:
    folder = Path(shutil.copytree(digits["tflite-fp32"], tmp_path / "copy"))
    (folder / "labels.txt").write_text("one\n")
    answer = command("predict", folder, digit[0])
    assert (answer.code, answer.out) == (1, "")
    assert "labels.txt has changed since the export" in answer.err


def test_a_device_s_file_says_why_not(digit: tuple[Path, str], delegates: Export, command: Command) -> None:
    answer = command("predict", delegates["executorch-vulkan-fp32"], digit[0])
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert "can't be run here, as ExecuTorch's vulkan delegate runs on a device only" in line
