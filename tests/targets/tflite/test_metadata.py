import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from torch import Tensor, nn

from mobile_kit.errors import ArtifactError, LoweringError, UnsupportedError
from targets.tflite.metadata import ModelNote, TensorNote, attach_metadata, read_metadata, set_tensor_names
from targets.tflite.tflite_file import Container, Pointer, pack, unpack
from tests.targets.tflite.conftest import CLIENT

HEIGHT_PX, WIDTH_PX = 32, 48
LABELS = ("red", "green", "blue", "päle grey, light")
# Both are the same runtime's float32 on the same pixels; measured 2e-7.
SCORE_TOLERANCE = 1e-3

IMAGE = TensorNote("image", "An image of 32x48 pixels.", color="RGB")
CLASSIFIER = ModelNote(
    "Colours",
    "Tells the colour of an image.",
    inputs=(IMAGE,),
    outputs=(
        TensorNote("probabilities", "One a class.", labels=LABELS),
        TensorNote("logits", "Before the softmax.", labels=LABELS),
    ),
    version="0.1.0",
    author="The tests",
    license="Apache-2.0",
)
SEGMENTER = ModelNote(
    "Colours",
    "Tells the colour of each pixel.",
    inputs=(IMAGE,),
    outputs=(TensorNote("logits", "One a pixel and class.", labels=LABELS),),
    activation="softmax",
)


class Segmenter(nn.Module):
    """Logits (1, H, W, 4) for red, green, blue and none of them, from uint8 (1, H, W, 3) RGB."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, len(LABELS), 3, padding=1)
        colours = torch.cat([torch.eye(3) * 1.5 - 0.5, torch.zeros(1, 3)])
        self.conv.weight.data = colours[:, :, None, None].expand(-1, -1, 3, 3).contiguous() / 9
        self.conv.bias.data = torch.tensor([0.0, 0.0, 0.0, 0.1])

    def forward(self, image: Tensor) -> Tensor:
        return 10 * self.conv(image.permute(0, 3, 1, 2).float() / 255).permute(0, 2, 3, 1)


class Classifier(Segmenter):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = super().forward(image).mean((1, 2))
        return logits.softmax(-1), logits


def convert(module: nn.Module, path: Path) -> bytes:
    example = torch.zeros(1, HEIGHT_PX, WIDTH_PX, 3, dtype=torch.uint8)
    litert_torch.convert(module.eval(), (example,)).export(str(path))
    return path.read_bytes()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return convert(Classifier(), tmp_path_factory.mktemp("classifier") / "model.tflite")


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return convert(Segmenter(), tmp_path_factory.mktemp("segmenter") / "model.tflite")


@pytest.fixture(scope="module")
def described_classifier(classifier: bytes) -> bytes:
    return attach_metadata(set_tensor_names(classifier, ["image"], ["probabilities", "logits"]), CLASSIFIER)


@pytest.fixture(scope="module")
def described_segmenter(segmenter: bytes) -> bytes:
    return attach_metadata(set_tensor_names(segmenter, ["image"], ["logits"]), SEGMENTER)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Blocks of colours, the first image tinted red, the second green, the third blue."""
    draw = np.random.default_rng(0)
    tints = np.eye(3) * 0.7 + 0.3
    blocks = [draw.integers(0, 256, (HEIGHT_PX // 8, WIDTH_PX // 8, 3)) * tint for tint in tints]
    return [np.kron(block, np.ones((8, 8, 1))).astype(np.uint8) for block in blocks]


def run(model: bytes, image: np.ndarray) -> list[np.ndarray]:
    """Return the outputs in the file's order, by the tensors and not by their names."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def tree(value: Any) -> Any:
    """Return an object of the TFLite schema as plain values that compare."""
    if isinstance(value, list):
        return [tree(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if hasattr(value, "__dict__"):
        return type(value).__name__, {name: tree(item) for name, item in vars(value).items()}
    return value


def test_names_are_on_the_tensors_and_the_signature(described_classifier: bytes, images: list[np.ndarray]) -> None:
    interpreter = Interpreter(model_content=described_classifier)

    assert [tensor["name"] for tensor in interpreter.get_input_details()] == ["image"]
    assert [tensor["name"] for tensor in interpreter.get_output_details()] == ["probabilities", "logits"]
    (signature,) = interpreter.get_signature_list().values()
    assert signature["inputs"] == ["image"]
    assert set(signature["outputs"]) == {"probabilities", "logits"}
    by_name = interpreter.get_signature_runner()(image=images[0][None])
    assert by_name["probabilities"].sum() == pytest.approx(1)
    assert by_name["logits"].sum() != pytest.approx(1)


@pytest.mark.parametrize("kind", ["classifier", "segmenter"])
def test_outputs_are_the_same_bits(kind: str, images: list[np.ndarray], request: pytest.FixtureRequest) -> None:
    plain, described = request.getfixturevalue(kind), request.getfixturevalue(f"described_{kind}")

    outputs = [run(plain, image) for image in images]
    assert not np.array_equal(outputs[0][0], outputs[1][0])
    for image, before in zip(images, outputs, strict=True):
        for one, other in zip(before, run(described, image), strict=True):
            np.testing.assert_array_equal(one, other)


def test_all_but_names_is_unchanged(classifier: bytes, described_classifier: bytes) -> None:
    before, after = unpack(classifier).model, unpack(described_classifier).model
    after.metadata.pop()
    after.buffers.pop()
    for model in (before, after):
        for item in (*model.subgraphs[0].tensors, *model.signatureDefs[0].inputs, *model.signatureDefs[0].outputs):
            item.name = None
    assert tree(before) == tree(after)


def test_buffers_are_aligned(described_classifier: bytes) -> None:
    model = schema.Model.GetRootAs(described_classifier, 0)
    buffers = [model.Buffers(index)._tab for index in range(model.BuffersLength())]
    places = [table.Vector(table.Offset(4)) for table in buffers if table.Offset(4)]
    assert len(places) > 3
    assert {place % 16 for place in places} == {0}


@pytest.mark.parametrize(
    "note",
    [
        CLASSIFIER,
        replace(CLASSIFIER, inputs=(TensorNote("pixel_values", "Normalised."),), version=None, license=None),
        replace(CLASSIFIER, outputs=(CLASSIFIER.outputs[0], TensorNote("logits", "", labels=("a", "", "c", "d")))),
        replace(CLASSIFIER, outputs=(TensorNote("a", "First."), TensorNote("b", "Second.")), activation="none"),
    ],
    ids=["classifier", "float input", "two lists of labels", "no labels"],
)
def test_a_note_reads_back(note: ModelNote, classifier: bytes) -> None:
    assert read_metadata(attach_metadata(classifier, note)) == note


def test_a_second_note_replaces_the_first(classifier: bytes, described_classifier: bytes) -> None:
    note = replace(CLASSIFIER, name="Other", outputs=(TensorNote("a", ""), TensorNote("b", "")))
    again = attach_metadata(described_classifier, note)
    assert read_metadata(again) == note
    assert unpack(again).files == {}
    assert attach_metadata(again, CLASSIFIER) == described_classifier


def test_renaming_keeps_the_note(described_classifier: bytes) -> None:
    renamed = set_tensor_names(described_classifier, ["x"], ["p", "l"])
    assert read_metadata(renamed) == CLASSIFIER
    assert set_tensor_names(renamed, ["image"], ["probabilities", "logits"]) == described_classifier


def test_inner_tensors_are_called_after_modules_and_no_package(classifier: bytes) -> None:
    before = [bytes(tensor.name).decode() for tensor in unpack(classifier).model.subgraphs[0].tensors]
    renamed = set_tensor_names(classifier, ["image"], ["probabilities", "logits"])
    after = [bytes(tensor.name).decode() for tensor in unpack(renamed).model.subgraphs[0].tensors]
    assert any("torch.nn.modules." in name for name in before)
    assert any(name.startswith(("Classifier/", "Classifier;")) for name in after)
    assert not [name for name in after if "torch" in name or __name__ in name]
    assert len(set(after)) == len(set(before))


def test_labels_are_stored_uncompressed(described_classifier: bytes) -> None:
    assert "\n".join(LABELS).encode() in described_classifier


def test_buffers_behind_the_flatbuffer_stay_there(classifier: bytes, images: list[np.ndarray]) -> None:
    outside = pack(move_weights_outside(unpack(classifier)))
    described = attach_metadata(set_tensor_names(outside, ["image"], ["probabilities", "logits"]), CLASSIFIER)

    contents = [content for _, content in unpack(outside).outside]
    assert [content for _, content in unpack(described).outside] == contents
    assert len(contents) > 0
    assert read_metadata(described) == CLASSIFIER
    for one, other in zip(run(classifier, images[0]), run(described, images[0]), strict=True):
        np.testing.assert_array_equal(one, other)


def move_weights_outside(container: Container) -> Container:
    """Put the weights where converters put those of models above 2 GB."""
    for buffer in container.model.buffers:
        if buffer.data is not None and len(buffer.data) > 100:
            container.outside.append((Pointer(buffer, "offset", "size"), buffer.data.tobytes()))
            buffer.offset, buffer.size, buffer.data = 2, len(buffer.data), None
    return container


def test_a_note_must_fit_the_file(classifier: bytes) -> None:
    probabilities, logits = CLASSIFIER.outputs
    with pytest.raises(LoweringError, match="the file has 2 outputs"):
        attach_metadata(classifier, replace(CLASSIFIER, outputs=(probabilities,)))
    with pytest.raises(LoweringError, match="3 labels of 'probabilities': its last axis has 4"):
        attach_metadata(classifier, replace(CLASSIFIER, outputs=(replace(probabilities, labels=LABELS[:3]), logits)))


@pytest.mark.parametrize("labels", [("a\nb", "c", "d", "e"), ("a", "b", "c", "")])
def test_labels_that_are_no_lines_are_refused(labels: tuple[str, ...], segmenter: bytes) -> None:
    note = replace(SEGMENTER, outputs=(TensorNote("logits", "", labels=labels),))
    with pytest.raises(UnsupportedError, match="id2label"):
        attach_metadata(segmenter, note)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(["image"], ["logits"]), (["a", "b"], ["c", "d"]), (["x"], ["y", "y"]), (["x"], ["x", "y"])]
)
def test_names_must_fit_the_file(inputs: list[str], outputs: list[str], classifier: bytes) -> None:
    with pytest.raises(LoweringError, match="names"):
        set_tensor_names(classifier, inputs, outputs)


def test_what_is_no_model_or_has_no_note_is_refused(classifier: bytes) -> None:
    with pytest.raises(LoweringError, match=r"not a \.tflite file"):
        unpack(b"PK\x03\x04 and so on")
    with pytest.raises(ArtifactError, match="has none"):
        read_metadata(classifier)


@pytest.fixture
def image_files(images: list[np.ndarray], tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{index}.png" for index in range(len(images))]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file)
    return files


def open_with(python: Path, task: str, model: bytes, out: Path, *arguments: Path | str) -> Path:
    """Run the client on a model, and return the file that it wrote."""
    file = out.parent / "model.tflite"
    file.write_bytes(model)
    done = subprocess.run([python, CLIENT, task, file, out, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_mediapipe_classifies(
    mediapipe: Path, described_classifier: bytes, images: list[np.ndarray], image_files: list[Path], tmp_path: Path
) -> None:
    out = open_with(mediapipe, "classifier", described_classifier, tmp_path / "out.json", *image_files)

    results = json.loads(out.read_text())
    tops = [result["probabilities"][0][1] for result in results]
    assert tops == ["red", "green", "blue"]
    for image, result in zip(images, results, strict=True):
        assert list(result) == ["probabilities", "logits"]
        for categories, expected in zip(result.values(), run(described_classifier, image), strict=True):
            assert [index for index, _, _ in categories] == np.argsort(-expected[0], kind="stable").tolist()
            for index, label, score in categories:
                assert label == LABELS[index]
                assert score == pytest.approx(expected[0, index], abs=SCORE_TOLERANCE)


def test_mediapipe_takes_a_list_of_allowed_categories(
    mediapipe: Path, described_classifier: bytes, image_files: list[Path], tmp_path: Path
) -> None:
    arguments = (image_files[0], "--allow", "blue")
    out = open_with(mediapipe, "classifier", described_classifier, tmp_path / "out.json", *arguments)
    (result,) = json.loads(out.read_text())
    assert [[label for _, label, _ in categories] for categories in result.values()] == [["blue"], ["blue"]]


def test_mediapipe_segments(
    mediapipe: Path, described_segmenter: bytes, images: list[np.ndarray], image_files: list[Path], tmp_path: Path
) -> None:
    out = open_with(mediapipe, "segmenter", described_segmenter, tmp_path / "out.npz", *image_files)

    with np.load(out) as results:
        assert tuple(results["labels"]) == LABELS
        assert set(np.unique(results["masks"])) == set(range(len(LABELS)))
        for image, mask, confidences in zip(images, results["masks"], results["confidences"], strict=True):
            logits = run(described_segmenter, image)[0][0]
            np.testing.assert_array_equal(mask, logits.argmax(-1))
            expected = torch.from_numpy(logits).softmax(-1).numpy()
            np.testing.assert_allclose(confidences, expected, rtol=0, atol=SCORE_TOLERANCE)


def test_mediapipe_s_own_schema_reads_the_note(mediapipe: Path, described_classifier: bytes, tmp_path: Path) -> None:
    said = json.loads(open_with(mediapipe, "metadata", described_classifier, tmp_path / "out.json").read_text())

    for name in ("name", "description", "version", "author", "license"):
        assert said[name] == getattr(CLASSIFIER, name)
    notes = [*CLASSIFIER.inputs, *CLASSIFIER.outputs]
    assert said["tensors"] == [[note.name, note.description] for note in notes]
    assert said["color_spaces"] == [1]
    assert said["identified"] is True
