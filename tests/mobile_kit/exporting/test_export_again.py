"""Exporting again: what is up to date stays, what is another's isn't replaced, and no result is lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobile_kit.artifacts.export_record import read_export
from mobile_kit.exporting import up_to_date
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.exporting.up_to_date import find_up_to_date
from mobile_kit.preprocessing.synthetic_images import scene
from tests.answers import assert_refused, content, words
from tests.conftest import Answer

Command = Callable[..., Answer]

pytestmark = [pytest.mark.usefixtures("paper_targets"), pytest.mark.usefixtures("one_process")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(12):
        place = folder / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(number, 64, 64)).save(place / f"{number}.png")
    return folder


def retrain(folder: Path) -> None:
    """Move a checkpoint's weights, as another epoch does."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("classifier.bias"))
    save_file({**weights, name: weights[name] + np.float32(0.1)}, folder / "model.safetensors", {"format": "pt"})


def test_what_is_up_to_date_is_said_and_not_touched(classifier_folder: Path, out: Path, command: Command) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "halving", "--recipe", "fp32,fp16")
    assert command(*arguments).code == 0
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.rglob("*")}
    answer = command(*arguments, "--json")
    assert (answer.code, words(answer)) == (0, [])
    found = json.loads(answer.out)["artifacts"]
    assert [(Path(each["artifact"]).name, each["status"], each["detail"]) for each in found] == [
        ("halving-fp32", "passed", "up to date"),
        ("halving-fp16", "passed", "up to date"),
    ]
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.rglob("*")} == before
    forced = command(*arguments, "--force", "--json")
    told = forced.out[forced.out.index("{") :]  # behind what the toolchain says here
    assert [each["detail"] for each in json.loads(told)["artifacts"]] == ["", ""]


def test_it_is_found_without_torch(classifier_folder: Path, out: Path, command: Command) -> None:
    import subprocess
    import sys

    assert command("export", classifier_folder, "--out", out, "--target", "paper").code == 0
    code = (
        "import sys\nfrom mobile_kit.cli.main import main\n"
        f"main({['export', str(classifier_folder), '--out', str(out), '--target', 'paper']!r})\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys(), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "up to date" in done.stdout


@pytest.mark.parametrize("change", ["weights", "a golden file", "the kit", "the recipe", "a missing artifact"])
def test_what_has_changed_is_not_up_to_date(
    change: str, classifier_folder: Path, out: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = ("fp32", "fp16")
    assert command("export", classifier_folder, "--out", out, "--target", "halving", "--recipe", "fp32,fp16").code == 0
    place = out / classifier_folder.name
    options = ExportOptions(str(classifier_folder), out, ("halving",), recipes)
    assert len(find_up_to_date(options)) == 2
    if change == "weights":
        retrain(classifier_folder)
    elif change == "a golden file":
        (place / "halving-fp16" / "golden" / "photo.png").write_bytes(b"")
    elif change == "the kit":
        monkeypatch.setattr(up_to_date, "_hash_code", lambda: "another")
    elif change == "the recipe":
        options = ExportOptions(str(classifier_folder), out, ("halving",), ("fp32",))
    else:
        shutil.rmtree(place / "halving-fp16")
    assert find_up_to_date(options) == []


def test_a_copy_of_the_same_images_is_the_same(
    classifier_folder: Path, out: Path, photos: Path, tmp_path: Path, command: Command
) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "halving", "--recipe", "fp16", "--calibration")
    assert command(*arguments, photos).code == 0
    shutil.copytree(photos, tmp_path / "copy")
    assert "up to date" in command(*arguments, tmp_path / "copy").out
    Image.fromarray(scene(99, 64, 64)).save(photos / "0" / "more.png")
    # The same folder with another image is worth another export, which replaces the first.
    assert "up to date" not in command(*arguments, photos).out


def test_two_trainings_checkpoints_stand_side_by_side(classifier_folder: Path, out: Path, command: Command) -> None:
    for run in ("runA", "runB"):
        folder = classifier_folder.parent / run / "checkpoint-500"
        shutil.copytree(classifier_folder, folder)
        retrain(folder)
        assert command("export", folder, "--out", out, "--target", "paper").code == 0
    assert sorted(path.name for path in out.iterdir()) == ["runA-checkpoint-500", "runB-checkpoint-500"]


OTHERS = {
    "checkpoint": ((), "is of another checkpoint"),
    "outputs": (("--outputs", "logits"), "was exported with outputs probabilities, logits, and logits is asked"),
    "input": (("--input", "pixel_values"), "was exported with input image, and pixel_values is asked"),
    "photo": (("--photo", "photos/0/0.png"), "was exported with no --photo"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_s_artifact_is_not_replaced_unless_it_is_asked(
    other: str,
    classifier_folder: Path,
    out: Path,
    photos: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, reason = OTHERS[other]
    assert command("export", classifier_folder, "--out", out, "--target", "paper").code == 0
    model = classifier_folder
    if other == "checkpoint":
        model = Path(shutil.copytree(classifier_folder, tmp_path / "elsewhere" / classifier_folder.name))
        retrain(model)
    before = content(out)
    asked = ("export", model, "--out", out, "--target", "paper", *arguments)
    answer = command(*asked)
    assert_refused(answer, str(out / model.name / "paper-fp32"), reason, "--force", "--name")
    assert content(out) == before
    assert command(*asked, "--name", "mine").code == 0
    assert sorted(path.name for path in out.iterdir()) == [model.name, "mine"]
    assert command(*asked, "--force").code == 0
    assert content(out / model.name) != {
        name.removeprefix(f"{model.name}/"): data for name, data in before.items() if name.startswith(f"{model.name}/")
    }


def test_an_older_version_s_artifact_is_known_by_its_manifest(
    classifier_folder: Path, out: Path, command: Command
) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "paper")
    assert command(*arguments).code == 0
    place = out / classifier_folder.name / "paper-fp32"
    (place / "export.json").unlink()
    answer = command(*arguments, "--image-size", "96", "--name", classifier_folder.name)
    assert_refused(answer, "was exported with image_size [64, 64], and [96, 96] is asked", "--force")
    assert command(*arguments).code == 0
    assert read_export(place) is not None


RESULTS = ("evaluation.json", "evaluation.jsonl", "profile-my-phone.json", "notes/mine.txt")


def add_results(place: Path) -> None:
    for name in RESULTS:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(f"my {name}")


def test_results_stay_with_the_same_file(classifier_folder: Path, out: Path, command: Command) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "paper")
    assert command(*arguments).code == 0
    place = out / classifier_folder.name / "paper-fp32"
    add_results(place)
    answer = command(*arguments, "--force")
    assert answer.code == 0
    assert "measured" not in answer.err
    assert {name: (place / name).read_text() for name in RESULTS} == {name: f"my {name}" for name in RESULTS}
    assert [path.name for path in (out / classifier_folder.name).iterdir()] == ["paper-fp32"]


def test_results_of_another_file_are_moved_aside_and_that_is_said(
    classifier_folder: Path, out: Path, command: Command
) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "paper")
    assert command(*arguments).code == 0
    model = out / classifier_folder.name
    for number in (1, 2):
        add_results(model / "paper-fp32")
        retrain(classifier_folder)
        answer = command(*arguments)
        assert answer.code == 0
        aside = out / "earlier" / classifier_folder.name / "paper-fp32" / str(number)
        assert f"what was measured of the file before it is in {aside}" in answer.err
        assert {path.relative_to(aside).as_posix() for path in aside.rglob("*") if path.is_file()} == set(RESULTS)
        assert not [name for name in RESULTS if (model / "paper-fp32" / name).exists()]


def test_links_in_an_artifact_are_never_followed(
    classifier_folder: Path, out: Path, tmp_path: Path, command: Command
) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "paper")
    assert command(*arguments).code == 0
    (tmp_path / "mine").write_text("mine")
    place = out / classifier_folder.name / "paper-fp32"
    for name in ("evaluation.json", "profile-x.json"):
        (place / name).symlink_to(tmp_path / "mine")
    for name in ("verify.json", "export.json"):
        (place / name).unlink()
        (place / name).symlink_to(tmp_path / "mine")
    assert command("verify", place).code == 0
    assert command(*arguments, "--force").code == 0
    assert (tmp_path / "mine").read_text() == "mine"
    assert (place / "evaluation.json").is_symlink()
    assert not (place / "verify.json").is_symlink()


def test_images_are_held_out_named_and_left_out_where_that_is_asked(
    classifier_folder: Path, out: Path, photos: Path, command: Command
) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "halving", "--recipe", "fp16", "--calibration")
    answer = command(*arguments, photos)
    assert answer.code == 0
    assert "files of lower precision on 3 images held out of the calibration images; they lie in the art" in answer.err
    assert "12 images are few" in answer.err
    assert "3 held-out images" in answer.out
    place = out / classifier_folder.name / "halving-fp16"
    with np.load(place / "golden" / "scenes.npz") as stored:
        assert len([key for key in stored if key.startswith("image ")]) == 3
    answer = command(*arguments, photos, "--no-samples", "--force")
    assert "and they stay out of the artifacts" in answer.err
    assert not (place / "golden" / "scenes.npz").exists()
    exported = json.loads((place / "verify.json").read_text())
    assert (exported["status"], exported["images"]) == ("passed", 4)
    answer = command("verify", place)
    assert answer.code == 1
    assert "the 3 images that the file was judged on at export aren't in the artifact" in answer.out
    assert json.loads((place / "verify.json").read_text()) == exported
    photo = np.asarray(Image.open(place / "golden" / "photo.png"))
    assert all(not np.array_equal(photo, np.asarray(Image.open(path))) for path in photos.rglob("*.png"))


def test_images_of_another_folder_can_judge(
    classifier_folder: Path, out: Path, photos: Path, tmp_path: Path, command: Command
) -> None:
    arguments = ("export", classifier_folder, "--out", out, "--target", "halving", "--recipe", "fp16")
    assert_refused(
        command(*arguments, "--calibration", photos, "--judge-on", photos), "--judge-on", "is the --calibration folder"
    )
    shutil.copytree(photos / "0", tmp_path / "judging")
    for number in range(50, 53):
        Image.fromarray(scene(number, 64, 64)).save(tmp_path / "judging" / f"{number}.png")
    answer = command(*arguments, "--calibration", photos, "--judge-on", tmp_path / "judging")
    assert "judged: 6 of 9 images are calibrated on too, and prove less" in answer.err
    assert "9 other images" in answer.out
