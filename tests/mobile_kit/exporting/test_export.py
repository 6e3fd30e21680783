import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from torch import nn

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.models.outputs import select_outputs
from tests.answers import PROGRESS, assert_refused, content, words
from tests.conftest import Answer
from tests.exports import DIGITS, Export, export
from tests.paper_target import NATIVE_CHATTER, PYTHON_CHATTER
from tests.small_checkpoints import change_json, save, small_config

Command = Callable[..., Answer]

pytestmark = pytest.mark.usefixtures("paper_targets")


REFUSED: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "head": (["--head", "nose"], ("head 'nose'", "Known: base, classification, segmentation")),
    "target": (["--target", "toaster"], ("target 'toaster'", "Known: coreml,")),
    "recipe": (["--recipe", "fp12"], ("recipe 'fp12'", "fp16, fp32, int8")),
    "recipe of another target": (
        ["--target", "executorch", "--recipe", "int8-weight"],
        ("recipe 'weight_only_wi8_afp32'", "XNNPACK", "Known: fp32, fp16, dynamic_wi8_afp32, static_wi8_ai8"),
    ),
    "static recipe without images": (
        ["--target", "tflite", "--recipe", "int8"],
        ("recipe 'static_wi8_ai8_mixed'", "Add --calibration"),
    ),
    "too few images asked for": (
        ["--target", "tflite", "--recipe", "int8", "--calibration", ".", "--calibration-samples", "7"],
        ("--calibration-samples 7", "fewer than 8"),
    ),
    "output": (
        ["--target", "paper", "--outputs", "smell"],
        ("output 'smell'", "Known: probabilities, logits, hidden_states"),
    ),
    "output of another head": (["--target", "paper", "--outputs", "mask"], ("output 'mask'", "classification head")),
    "backend": (["--target", "executorch", "--backend", "tpu"], ("backend 'tpu'", "Known: xnnpack, coreml, vulkan")),
    "backend of none": (["--target", "tflite", "--backend", "gpu"], ("backend 'gpu'", "leave --backend out")),
    "deployment target": (
        ["--target", "coreml", "--deployment-target", "iOS3"],
        ("deployment target 'iOS3'", "Known: iOS17, iOS16, iOS18"),
    ),
    "deployment target of none": (
        ["--target", "tflite", "--deployment-target", "iOS17"],
        ("deployment target 'iOS17'", "leave --deployment-target out"),
    ),
    "deployment target of a backend": (
        ["--target", "executorch", "--deployment-target", "iOS17"],
        ("deployment target 'iOS17'", "with xnnpack", "leave --deployment-target out"),
    ),
    "recipe of a backend": (
        ["--target", "executorch", "--backend", "vulkan", "--recipe", "fp16"],
        ("recipe 'fp16'", "vulkan", "without a device"),
    ),
    "recipe of a target": (["--target", "paper", "--recipe", "fp16"], ("recipe 'fp16'", "'paper'", "Known: fp32")),
    "image size": (["--target", "paper", "--image-size", "32"], ("image size 32x32", "patch of 2", "--image-size")),
    "more parameters than fit": (
        ["--target", "narrow,paper"],
        ("'narrow'", "parameters", "at most 1,000", "--target, such as paper"),
    ),
    "package": (
        ["--target", "missing"],
        ("target 'missing'", "a_package_that_nobody_has", "pip install 'mobile-kit[paper]'"),
    ),
    "photo": (["--target", "paper", "--photo", __file__], (__file__, "not an image")),
    "missing photo": (["--target", "paper", "--photo", "no/such.png"], ("no/such.png", "no such file")),
    "revision of a folder": (["--target", "paper", "--revision", "main"], ("revision 'main'", "Leave --revision out")),
    "a toolchain that says no": (["--target", "refusing"], ("paper: doesn't take this model",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_requests_get_one_line_and_leave_nothing(case: str, model: Path, out: Path, command: Command) -> None:
    arguments, expected = REFUSED[case]
    assert_refused(command("export", model, "--out", out, *arguments), *expected)
    assert not out.parent.exists()


@pytest.mark.parametrize("case", ["target", "image size", "a toolchain that says no"])
def test_bad_requests_leave_a_folder_as_it_is(case: str, model: Path, out: Path, command: Command) -> None:
    (out / "logs").mkdir(parents=True)
    (out / "logs" / "mine.txt").write_text("mine")
    before = content(out)
    arguments, expected = REFUSED[case]
    assert_refused(command("export", model, "--out", out, *arguments), *expected)
    assert content(out) == before


def test_a_model_too_large_for_a_flatbuffer_is_refused_before_any_work(out: Path, command: Command) -> None:
    answer = command("export", "facebook/hiera-huge-224-hf", "--random-weights", "--out", out, "--target", "tflite")
    assert_refused(answer, "'tflite'", "670,730,752 parameters", "at most 535,822,336", "Choose another --target.")


def test_an_unknown_model_is_refused_with_the_nearest_known_ones(out: Path, command: Command) -> None:
    answer = command("export", "mobilevit2-0.5-imagenet1k", "--out", out, "--target", "paper")
    assert_refused(
        answer, "'mobilevit2-0.5-imagenet1k'", "Is apple/mobilevitv2-0.5-imagenet1k-256 or", "mobile-kit list"
    )
    assert "hiera" not in answer.err
    assert not out.parent.exists()


def test_a_checkpoint_that_doesnt_see_its_input_is_refused(out: Path, tmp_path: Path, command: Command) -> None:
    torch.manual_seed(0)
    blind = transformers.MobileViTV2ForImageClassification(small_config())
    folder = save(blind.eval(), tmp_path / "blind")
    answer = command("export", folder, "--out", out, "--target", "paper")
    assert_refused(answer, "model 'blind'", "the same for different images", "trained checkpoint")
    assert not out.parent.exists()


def test_an_export_is_whole_and_says_so(model: Path, out: Path, command: Command) -> None:
    answer = command("export", model, "--out", out, "--target", "paper", "--json")
    assert (answer.code, words(answer)) == (0, [])
    place = out / "classification" / "paper-fp32"
    size = (place / "model.paper").stat().st_size
    record = {"artifact": str(place), "bytes": size, "detail": "", "judged_on": "golden photo", "status": "passed"}
    assert json.loads(answer.out) == {"artifacts": [record], "failures": [], "skipped": [], "license": None}
    assert set(content(out)) == {
        "classification",
        "classification/paper-fp32",
        *(
            f"classification/paper-fp32/{name}"
            for name in (
                "export.json",
                "golden",
                "golden/inputs",
                "golden/inputs/image.bin",
                "golden/oracle.json",
                "golden/outputs",
                "golden/outputs/logits.bin",
                "golden/outputs/probabilities.bin",
                "golden/photo.png",
                "labels.txt",
                "manifest.json",
                "model.paper",
                "verify.json",
            )
        ),
    }
    manifest = read_manifest(place)
    listed = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert set(manifest.record.files) == listed - {"export.json", "manifest.json", "verify.json"}
    assert manifest.record.model.source == model.name


def test_an_export_prints_a_table_for_people(model: Path, out: Path, command: Command) -> None:
    answer = command("export", model, "--out", out, "--target", "paper")
    header, row, license_line = answer.out.splitlines()
    assert header.split() == ["artifact", "size", "verified", "on"]
    place = str(out / "classification" / "paper-fp32")
    assert row.split() == [place, *row.split()[1:3], "passed", "golden", "photo"]
    assert license_line == "licence of the weights: unknown"


def test_the_licence_of_a_known_name_is_said_and_kept(out: Path, command: Command) -> None:
    name = "facebook/hiera-tiny-224-hf"
    answer = command("export", name, "--random-weights", "--out", out, "--target", "paper")
    assert answer.out.splitlines()[-1] == "licence of the weights: cc-by-nc-4.0"
    assert read_manifest(out / "facebook-hiera-tiny-224-hf" / "paper-fp32").record.model.license == "cc-by-nc-4.0"


def test_the_toolchain_s_words_stay_off_the_screen(model: Path, out: Path, command: Command) -> None:
    answer = command("export", model, "--out", out, "--target", "paper")
    assert answer.code == 0
    for chatter in (PYTHON_CHATTER, NATIVE_CHATTER):
        assert chatter not in answer.out + answer.err
    assert not (out / "logs").exists()


def test_the_real_toolchains_words_do_too(digits: Export) -> None:
    lines = digits.stderr.splitlines()
    assert len(lines) > 20
    assert [line for line in lines if not PROGRESS.fullmatch(line)] == []
    assert not (digits.out / "logs").exists()


@pytest.mark.parametrize("fixture", ["digits", "segmentation", "mask", "segmenter", "base", "odd"])
def test_every_head_is_verified_on_every_target(fixture: str, request: pytest.FixtureRequest) -> None:
    exported: Export = request.getfixturevalue(fixture)
    targets = {read_manifest(exported[name]).record.target for name in exported.records}
    assert targets == ({"tflite"} if fixture == "segmenter" else {"coreml", "executorch", "tflite"})
    assert {record["status"] for record in exported.records.values()} == {"passed"}


@pytest.mark.usefixtures("one_process")
def test_two_exports_are_the_same_bytes(model: Path, tmp_path: Path, command: Command) -> None:
    made = []
    for name in ("first", "second"):
        assert command("export", model, "--out", tmp_path / name, "--target", "paper").code == 0
        made.append(content(tmp_path / name))
    assert made[0] == made[1]


@pytest.mark.usefixtures("one_process")
def test_pixel_values_can_be_the_input(model: Path, out: Path, command: Command) -> None:
    arguments = ("--target", "paper", "--input", "pixel_values", "--image-size", "64x96")
    assert command("export", model, "--out", out, *arguments).code == 0
    manifest = read_manifest(out / "classification-64x96" / "paper-fp32")
    (record,) = manifest.record.inputs
    assert (record.name, record.shape, record.dtype) == ("pixel_values", (1, 3, 64, 96), "float32")
    assert (record.layout, record.color) == ("NCHW", None)
    assert manifest.record.preprocess.in_graph is False
    assert manifest.record.model.image_size == (64, 96)


@pytest.mark.usefixtures("one_process")
def test_the_photo_becomes_the_golden_one(model: Path, out: Path, tmp_path: Path, command: Command) -> None:
    photo = tmp_path / "photo.png"
    image = Image.effect_mandelbrot((90, 70), (-3, -2.5, 2, 2.5), 20).convert("RGB")
    image.save(photo)
    assert command("export", model, "--out", out, "--target", "paper", "--photo", photo).code == 0
    golden = Image.open(out / "classification" / "paper-fp32" / "golden" / "photo.png")
    assert golden.tobytes() == image.tobytes()


@pytest.mark.usefixtures("one_process")
def test_a_known_name_needs_no_network(out: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    name = "apple/mobilevitv2-0.5-imagenet1k-256"
    arguments = ("--random-weights", "--image-size", "64", "--target", "paper")
    assert command("export", name, "--out", out, *arguments).code == 0
    model = read_manifest(out / "apple-mobilevitv2-0.5-imagenet1k-256-64" / "paper-fp32").record.model
    assert (model.source, model.random_weights, model.num_labels) == (name, True, 1000)


@pytest.mark.usefixtures("one_process")
def test_an_existing_artifact_is_replaced_as_a_whole(model: Path, out: Path, command: Command) -> None:
    arguments = ("export", model, "--out", out, "--target", "paper")
    assert command(*arguments).code == 0
    before = content(out)
    place = out / "classification" / "paper-fp32"
    (place / "model.paper").write_bytes(b"old")
    (place / "labels.txt").unlink(missing_ok=True)
    (out / "classification" / "mine").mkdir()
    assert command(*arguments).code == 0
    assert content(out) == {**before, "classification/mine": None}


@pytest.mark.usefixtures("one_process")
def test_an_existing_artifact_survives_a_failure(model: Path, out: Path, command: Command, tmp_path: Path) -> None:
    assert command("export", model, "--out", out, "--target", "paper").code == 0
    before = content(out)
    assert command("export", model, "--out", out, "--target", "paper", "--image-size", "32").code == 1
    assert content(out) == before


def test_a_folder_that_is_no_artifact_is_never_replaced(model: Path, out: Path, command: Command) -> None:
    foreign = out / "classification" / "paper-fp32"
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("years of work")
    before = content(out)
    answer = command("export", model, "--out", out, "--target", "paper,hanging")
    assert_refused(answer, str(foreign), "is no artifact", "--out")
    assert content(out) == before
    assert "lowering" not in answer.err


@pytest.mark.parametrize(
    ("target", "reason"), [("raising", "RuntimeError: torn in two"), ("dying", f"ended with code {-signal.SIGABRT}")]
)
def test_a_toolchain_that_fails_leaves_its_words_in_a_log(
    target: str, reason: str, model: Path, out: Path, command: Command
) -> None:
    log = out / "logs" / f"classification-{target}-fp32.log"
    answer = command("export", model, "--out", out, "--target", target)
    assert_refused(answer, f"{target}-fp32", reason, str(log))
    said = log.read_text()
    assert PYTHON_CHATTER in said
    assert said.count(NATIVE_CHATTER) == 2
    assert ("Traceback" in said) == (target == "raising")
    assert set(content(out)) == {"logs", f"logs/{log.name}"}


def test_a_worker_that_never_starts_leaves_its_words_too(
    model: Path, out: Path, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken" / "mobile_kit").mkdir(parents=True)
    (tmp_path / "broken" / "mobile_kit" / "__init__.py").write_text("raise SystemError('torn before it starts')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "broken"), os.environ["PYTHONPATH"]]))
    monkeypatch.chdir(tmp_path)
    log = out / "logs" / "classification-paper-fp32.log"
    assert_refused(command("export", model, "--out", out, "--target", "paper"), "ended with code 1", str(log))
    assert "torn before it starts" in log.read_text()


def test_good_targets_are_kept_beside_a_failing_one(model: Path, out: Path, command: Command) -> None:
    answer = command("export", model, "--out", out, "--target", "raising,paper,refusing", "--json")
    assert answer.code == 1
    said = json.loads(answer.out)
    assert [Path(record["artifact"]).name for record in said["artifacts"]] == ["paper-fp32"]
    assert len(said["failures"]) == 2
    assert words(answer) == [f"mobile-kit: {failure}" for failure in said["failures"]]
    assert "raising-fp32.log" in answer.err
    assert "doesn't take this model" in answer.err
    assert [path.name for path in (out / "logs").iterdir()] == ["classification-raising-fp32.log"]
    assert [path.name for path in (out / "classification").iterdir()] == ["paper-fp32"]
    assert read_manifest(out / "classification" / "paper-fp32").record.target == "paper"


def test_a_log_goes_with_the_failure(model: Path, out: Path, command: Command) -> None:
    log = out / "logs" / "classification-paper-fp32.log"
    log.parent.mkdir(parents=True)
    log.write_text("of a failure that has been mended")
    assert command("export", model, "--out", out, "--target", "paper").code == 0
    assert not log.parent.exists()


@pytest.mark.usefixtures("one_process")
def test_a_file_with_the_wrong_colour_order_fails(
    digits: Export, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_red_for_blue(*arguments: Any) -> Any:
        model = select_outputs(*arguments)
        model.stem.weight = nn.Parameter(model.stem.weight.flip(1), requires_grad=False)
        return model

    good = tmp_path / "mobilevitv2-digits" / "tflite-fp32"
    shutil.copytree(digits["tflite-fp32"], good)
    before = content(good)
    monkeypatch.setattr("mobile_kit.exporting.prepare.select_outputs", with_red_for_blue)
    answer = command("export", DIGITS, "--out", tmp_path, "--target", "tflite", "--json")
    assert answer.code == 1
    (record,) = json.loads(answer.out)["artifacts"]
    assert record["status"] == "failed"
    assert "logits (max error" in record["detail"]
    assert record["artifact"] == f"{good}-failed"
    assert content(good) == before
    monkeypatch.undo()
    verified = command("verify", record["artifact"])
    assert verified.code == 1
    assert "failed (probabilities (max error" in verified.out


@pytest.mark.usefixtures("paper_targets", "one_process")
def test_a_folder_is_known_by_its_name(
    classifier_folder: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = classifier_folder.rename(tmp_path / "Mine & yours")
    monkeypatch.chdir(mine)
    assert command("export", ".", "--out", tmp_path / "out", "--target", "paper").code == 0
    manifest = read_manifest(tmp_path / "out" / "Mine-yours" / "paper-fp32")
    assert manifest.record.model.source == "Mine & yours"


def test_labels_that_are_no_lines_are_refused(classifier_folder: Path, out: Path, command: Command) -> None:
    change_json(classifier_folder / "config.json", id2label={str(i): f"a\nb{i}" for i in range(5)}, label2id=None)
    assert_refused(command("export", classifier_folder, "--out", out, "--target", "paper"), "label 0", "id2label")
    assert not out.parent.exists()


MAX_MLPACKAGE_BYTES = 10_200_000  # the stock path's package has 14 MB


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilevitv2-1.0-imagenet1k-256", "mobilevitv2-1.0-voc-deeplabv3"])
def test_full_size_models_are_verified_on_every_target(name: str, tmp_path: Path) -> None:
    known = Path("apple") / name
    exported = export(known, tmp_path, "--random-weights", "--recipe", "fp32,fp16")
    assert {record["status"] for record in exported.records.values()} == {"passed"}
    assert len(exported.records) == 6
    if name.endswith("256"):
        assert exported.records["coreml-fp16"]["bytes"] <= MAX_MLPACKAGE_BYTES
        partitions = {name: read_manifest(exported[name]).record.graph.partitions for name in exported.records}
        assert {name: count for name, count in partitions.items() if count is not None} == {
            "executorch-xnnpack-fp32": 1,
            "executorch-xnnpack-fp16": 2,  # the softmax of the probabilities, in float32
            "tflite-fp32": 1,
            "tflite-fp16": 1,
        }
