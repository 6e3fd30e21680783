"""What others wrote, damaged at random: a reader gives it or refuses it in a line, and raises nothing else.

The seeds are fixed. A few of each kind run always, ten thousand and more with -m slow.
"""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobile_kit.artifacts.export_record import read_export
from mobile_kit.artifacts.golden import read_answers, read_golden
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.artifacts.scores import read_scores
from mobile_kit.artifacts.verification import read_report
from mobile_kit.checkpoints.load import load
from mobile_kit.errors import MobileKitError
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.profiling.import_results import import_results
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.progress import Progress
from mobile_kit.reporting.report import ReportOptions, report
from tests.damage import refresh_hashes

pytestmark = [pytest.mark.usefixtures("paper_targets"), pytest.mark.filterwarnings("ignore")]

FEW, MANY = 40, 2_500
# Of a checkpoint, which transformers builds each time.
FEW_LOADS, MANY_LOADS = 12, 600
MOST_LINE = 2000

DEEP: Any = []
for _ in range(150):
    DEEP = [DEEP]
NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *("", "x" * 5000, "../../x", "/dev/zero", "\ud800", "a\nb", "\x1b[31m", "[/b]", "$\\frac$", "<script>"),
    *([], {}, [[]], {"a": {}}, DEEP, [1] * 3000),
)


def some_json(value: Any, chance: random.Random) -> Any:
    """Return JSON values with one of them, at any depth, replaced, taken away or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if chance.random() < 0.05:
            return {**value, str(chance.choice(NASTY))[:50]: value[key]}
        return {**value, key: some_json(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        return [*value[:place], some_json(value[place], chance), *value[place + 1 :]]
    return chance.choice(NASTY)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return a file with bytes flipped, cut out or cut off; JSON also with another value."""
    if chance.random() < 0.7:
        try:
            return json.dumps(some_json(json.loads(content), chance)).encode()
        except ValueError:
            pass
    found = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        if found:
            found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found[: chance.randrange(len(found) + 1)] if chance.random() < 0.3 else found)


def refused_in_a_line(read: Callable[[], object]) -> bool:
    """Whether something is refused; anything but the kit's own error in one line fails the test."""
    try:
        read()
    except MobileKitError as exc:
        said = str(exc)
    else:
        return False
    assert "\n" not in said
    assert len(said) < MOST_LINE
    return True


@pytest.fixture
def measured(paper_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact with a result and scores."""
    monkeypatch.setattr("mobile_kit.profiling.machine_load.BusyMeter.cores", lambda self: 0.0)
    quick = ProfileOptions(runs=20, blocks=8, min_s=0.0, warmup_s=0.0, loads=1, traced=0)
    profile([paper_artifact], quick, Progress(quiet=True))
    figures = {"value": 1.0, "checkpoint": 1.0, "difference": 0.0, "interval": [-0.1, 0.1]}
    score = {"artifact": "paper-fp32", "metric": "top1", "images": 5, **figures}
    (paper_artifact / "evaluation.json").write_text(json.dumps([score]))
    (paper_artifact / "evaluation.jsonl").write_text('{"files": {}}\n{"image": "a", "found": [[true], [true]]}\n')
    return paper_artifact


SIDE_FILES = (
    *("manifest.json", "verify.json", "evaluation.json", "profile-host.json", "labels.txt"),
    *("golden/oracle.json", "golden/outputs/logits.bin", "golden/photo.png"),
)


def read_all(folder: Path) -> None:
    """Read all that lies in an artifact."""
    manifest = read_manifest(folder)
    read_report(manifest)
    read_golden(manifest)
    read_answers(manifest).samples(manifest, read_golden(manifest))
    read_scores(folder)
    assert manifest.labels is None or all(isinstance(label, str) for label in manifest.labels)
    read_export(folder)
    read_image(folder / "golden" / "photo.png")
    report(ReportOptions((folder.parent,)))


def fuzz_side_files(folder: Path, count: int) -> None:
    chance, refused = random.Random(19), 0  # noqa: S311
    originals = {name: (folder / name).read_bytes() for name in SIDE_FILES}
    read_all(folder)
    for _ in range(count):
        name = chance.choice(SIDE_FILES)
        (folder / name).write_bytes(damaged(originals[name], chance))
        # Half of them by a liar, who adjusts the hashes.
        if name in json.loads(originals["manifest.json"])["files"] and chance.random() < 0.7:
            refresh_hashes(folder)
        refused += refused_in_a_line(lambda: read_all(folder))
        for each, content in originals.items():
            (folder / each).write_bytes(content)
    assert refused > count // 4


def test_side_files(measured: Path) -> None:
    fuzz_side_files(measured, FEW)


@pytest.mark.slow
def test_many_side_files(measured: Path) -> None:
    fuzz_side_files(measured, 2 * MANY)


def fuzz_checkpoints(folder: Path, count: int) -> None:
    chance, refused = random.Random(20), 0  # noqa: S311
    originals = {name: (folder / name).read_bytes() for name in ("config.json", "preprocessor_config.json")}
    for _ in range(count):
        name = chance.choice(sorted(originals))
        (folder / name).write_bytes(damaged(originals[name], chance))
        refused += refused_in_a_line(lambda: load(str(folder)))
        (folder / name).write_bytes(originals[name])
    assert refused > count // 4


def test_checkpoints(classifier_folder: Path) -> None:
    fuzz_checkpoints(classifier_folder, FEW_LOADS)


@pytest.mark.slow
def test_many_checkpoints(classifier_folder: Path) -> None:
    fuzz_checkpoints(classifier_folder, MANY_LOADS)


def fuzz_weights(folder: Path, count: int) -> None:
    chance = random.Random(21)  # noqa: S311
    path = folder / "model.safetensors"
    original = path.read_bytes()
    size = 8 + int.from_bytes(original[:8], "little")
    for _ in range(count):
        header = damaged(original[8:size], chance)
        path.write_bytes(len(header).to_bytes(8, "little") + header + original[size:])
        refused_in_a_line(lambda: load(str(folder)))


def test_weights(classifier_folder: Path) -> None:
    fuzz_weights(classifier_folder, FEW_LOADS)


@pytest.mark.slow
def test_many_weights(classifier_folder: Path) -> None:
    fuzz_weights(classifier_folder, MANY_LOADS)


def fuzz_images(folder: Path, count: int) -> None:
    chance = random.Random(22)  # noqa: S311
    originals = []
    for suffix in ("avif", "bmp", "gif", "jpg", "png", "tif", "webp"):
        Image.fromarray(scene(1, 40, 56)).save(folder / f"a.{suffix}")
        originals.append((folder / f"a.{suffix}").read_bytes())
    for _ in range(count):
        (folder / "x.jpg").write_bytes(damaged(chance.choice(originals), chance))
        refused_in_a_line(lambda: read_image(folder / "x.jpg", chance.choice((1, 3, 4))))


def test_images(tmp_path: Path) -> None:
    fuzz_images(tmp_path, 5 * FEW)


@pytest.mark.slow
def test_many_images(tmp_path: Path) -> None:
    fuzz_images(tmp_path, 2 * MANY)


def fuzz_imports(measured: Path, count: int) -> None:
    chance, refused = random.Random(23), 0  # noqa: S311
    original = (measured / "profile-host.json").read_bytes()
    for number in range(count):
        path = measured.parent / f"result-{number}.json"
        path.write_bytes(damaged(original, chance))
        refused += refused_in_a_line(lambda path=path: import_results(path, measured))  # type: ignore[misc]
        path.unlink()
        for written in measured.glob("profile-import-*"):
            written.unlink()
    assert refused > count // 4


def test_imports(measured: Path) -> None:
    fuzz_imports(measured, FEW)


@pytest.mark.slow
def test_many_imports(measured: Path) -> None:
    fuzz_imports(measured, MANY)


def fuzz_scenes(folder: Path, count: int) -> None:
    """Arrays of all kinds in the archive of images and answers."""
    chance = random.Random(24)  # noqa: S311
    place = folder / "golden" / "scenes.npz"
    kinds = (np.float32, np.uint8, np.float64, np.complex64, "U5", np.int64)
    for _ in range(count):
        shape = chance.choice([(), (0,), (1, 20), (1, 5), (128, 128, 3), (2, 2, 2, 2)])
        keys = chance.choice(["100 logits", "image 0", "logits", "image x", "9" * 5000, "1 \ud7ff"])
        np.savez(place, **{keys: np.zeros(shape, chance.choice(kinds))})
        if chance.random() < 0.3:
            place.write_bytes(damaged(place.read_bytes(), chance))
        refresh_hashes(folder)
        refused_in_a_line(lambda: read_all(folder))
        place.unlink()


def test_scenes(measured: Path) -> None:
    manifest = json.loads((measured / "manifest.json").read_text())
    manifest["files"]["golden/scenes.npz"] = {"sha256": "0" * 64, "bytes": 1}
    (measured / "manifest.json").write_text(json.dumps(manifest))
    fuzz_scenes(measured, FEW)
    shutil.rmtree(measured)
