"""The iOS app's runtime package: compiled for Linux, and held against Pillow and the kit."""

import json
import re
import shutil
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mobile_kit.evaluation.overlay import LEAST_SHARE, class_color
from mobile_kit.preprocessing.preprocess import Preprocess
from tests.apps.swift_app import (
    JOB,
    OWN,
    PACKAGE,
    SOURCES,
    STRICT,
    App,
    sources,
    write_artifact,
    write_photo,
)
from tests.apps.vectors import write_answers, write_geometry, write_large_photo
from tests.exports import ROOT

# Grey levels. Measured: 0, as the arithmetic is Pillow's own.
MOST_LEVELS = 1
# Of code, comments and empty lines apart.
MOST_LINES = 1000
# A photo of 12 megapixels to the input, on two cores, and as a part of Pillow's time on one.
LARGE_MS, LARGE_OF_PILLOW = 60, 0.6


def test_all_sources_parse() -> None:
    """Where there is no compiler, a torn file is still found."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip("tree_sitter_swift")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    files = [*(ROOT / "sample_apps" / "ios").rglob("*.swift"), *OWN.rglob("*.swift")]
    assert len(files) > 20
    assert not [path.name for path in files if parser.parse(path.read_bytes()).root_node.has_error]
    assert parser.parse(b"func torn( {").root_node.has_error


def test_the_package_is_short() -> None:
    assert 500 < len(code(SOURCES)) < MOST_LINES


def test_nothing_can_crash_by_choice() -> None:
    lines = code(ROOT / "sample_apps" / "ios")
    assert len(lines) > MOST_LINES
    for word in ("fatalError(", "try!", "as!", "precondition(", "unowned("):
        assert not [line for line in lines if word in line], word
    assert not [line for line in lines if re.search(r"[\w)\]]!(?!=)", re.sub(r'"[^"]*"', "", line))]


def code(folder: Path) -> list[str]:
    """The lines of Swift below a folder, but for empty ones and comments."""
    found = [line.strip() for path in folder.rglob("*.swift") for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if line and not line.startswith("//")]


def test_it_type_checks_against_apples_interfaces(swift: App, apples: str) -> None:
    # As `bundle --check` does it where none of them is.
    assert swift.swiftc("-typecheck", *STRICT, *sources(swift)) == ""
    assert swift.swiftc("-typecheck", *STRICT, "-I", apples, *sources(swift)) == ""
    # What stands behind `canImport` is seen, and data races are errors.
    broken = (SOURCES / "ExecuTorchRunner.swift").read_text(encoding="utf-8").replace("module.forward", "module.ask")
    race = "import Dispatch\nfunc race() {\n var n = 0\n DispatchQueue.global().async { n += 1 }\n n += 1\n}\n"
    changed = sources(swift, {"ExecuTorchRunner.swift": f"{broken}\n{race}"})
    said = swift.swiftc("-typecheck", *STRICT, "-I", apples, *changed)
    assert "'ask'" in said
    assert "concurrently-executing" in said


@pytest.mark.parametrize("uses", [True, False])
def test_swiftpm_takes_the_package(swift: App, tmp_path: Path, uses: bool) -> None:
    place = Path(shutil.copytree(PACKAGE, swift.folder / f"package-{uses}"))
    text = (place / "Package.swift").read_text(encoding="utf-8")
    assert "let usesExecuTorch = true\n" in text
    (place / "Package.swift").write_text(text if uses else text.replace("ch = true", "ch = false"))
    ended = swift.tools.run(swift.folder, "swift", "package", "--package-path", str(JOB / place.name), "dump-package")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert {each["platformName"]: each["version"] for each in said["platforms"]} == {"ios": "17.0", "macos": "14.0"}
    assert said["swiftLanguageVersions"] == ["6"]
    named = [each["product"][0] for each in said["targets"][0]["dependencies"]]
    assert ("backend_xnnpack" in named) == uses
    assert len(said["dependencies"]) == int(uses)


def test_geometry_is_pillows_for_random_sizes_and_crops(swift: App) -> None:
    folder = swift.place("geometry")
    write_geometry(folder)
    said = swift.ask("geometry", folder)
    print(f"largest difference {said['largest']}, mean {said['mean']:.5f} grey levels")
    assert said["cases"] == 200
    assert said["largest"] <= MOST_LEVELS


@pytest.mark.parametrize("channels", [1, 3])
def test_a_photo_is_turned_as_its_orientation_says(swift: App, channels: int) -> None:
    folder = swift.place(f"turned-{channels}")
    image = np.random.default_rng(0).integers(0, 256, (45, 70, channels), dtype=np.uint8)
    write_photo(image, folder)
    sizes = swift.ask("turned", folder)
    for orientation in range(1, 9):
        picture = Image.fromarray(image if channels == 3 else image[..., 0])
        picture.getexif()[0x0112] = orientation
        upright = np.asarray(ImageOps.exif_transpose(picture)).reshape(*sizes[orientation - 1], channels)
        ours = np.fromfile(folder / f"{orientation}.bin", np.uint8).reshape(upright.shape)
        assert (ours == upright).all(), orientation


@pytest.mark.parametrize("order", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("in_graph", [True, False])
def test_what_enters_is_the_kits(swift: App, family_artifacts: dict[str, Path], order: Any, in_graph: bool) -> None:
    count = 1 if order == "GRAY" else 3
    mean, std = (0.485, 0.456, 0.406)[:count], (0.229, 0.224, 0.225)[:count]
    work = Preprocess({"shortest_edge": 40}, (32, 48), "bicubic", order, 1 / 255, mean, std)
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    seen = np.asarray(Image.fromarray(image).convert("L"))[..., None] if count == 1 else image
    expected = work.entering(work.geometry(seen), in_graph)
    folder = swift.place(f"entering-{order}-{in_graph}")
    record = {"resize": work.resize, "crop": work.crop, "resample": work.resample, "channel_order": order}
    record |= {"scale": work.scale, "mean": mean, "std": std, "in_graph": in_graph}
    entry = {"name": "image", "shape": expected.shape, "dtype": str(expected.dtype), "layout": None}
    entry |= {"color": None, "range": None, "golden": "none.bin"}
    write_artifact(folder, family_artifacts["cvt"], preprocess=record, inputs=[entry])
    write_photo(image, folder)
    assert swift.ask("entering", folder) == list(expected.shape)
    assert (np.fromfile(folder / "entering.bin", expected.dtype).reshape(expected.shape) == expected).all()


@pytest.mark.parametrize("resize", [None, {"height": 32, "width": 48}])
def test_a_filter_is_asked_for_only_by_a_resize(swift: App, family_artifacts: dict[str, Path], resize: Any) -> None:
    folder = swift.place(f"filter-{resize is None}")
    record = {**json.loads((family_artifacts["cvt"] / "manifest.json").read_text())["inputs"][0]}
    work = {"resize": resize, "crop": [32, 48], "resample": "lanczos", "in_graph": True}
    write_artifact(folder, family_artifacts["cvt"], preprocess=work, inputs=[{**record, "shape": [1, 32, 48, 3]}])
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    write_photo(image, folder)
    said = swift.ask("entering", folder)
    if resize is None:
        assert (np.fromfile(folder / "entering.bin", np.uint8).reshape(image.shape) == image).all()
    else:
        assert "Resizing with lanczos" in said["error"]


def test_answers_are_read_as_the_kit_reads_them(swift: App, family_artifacts: dict[str, Path]) -> None:
    folder = swift.place("answers")
    for number, case in enumerate(write_answers(folder)):
        place = folder / str(number)
        map_size = [case["height"], case["width"]] if "height" in case else None
        shape = case["shape"] if map_size else [1, case["classes"]]
        record = {"name": "logits" if case["kind"] == "score_planes" else case["kind"], "shape": shape}
        record |= {"dtype": "int32" if case["kind"] == "mask" else "float32", "layout": None}
        record |= {"meaning": "logits", "golden": "values.bin"}
        head = {"head": "segmentation" if map_size else "classification", "num_labels": 21 if map_size else shape[1]}
        head["activation"] = case.get("activation")
        write_artifact(
            place, family_artifacts["cvt"], model=head, outputs=[record], preprocess={"resize": None, "crop": map_size}
        )
        shutil.copy(folder / case["values"], place / "values.bin")
        said = swift.ask("predicted", place)
        if map_size is None:
            assert [index for index, _, _ in said["classes"]] == [index for index, _ in case["best"]]
            assert [score for _, _, score in said["classes"]] == pytest.approx([score for _, score in case["best"]])
            assert said["classes"][0][1] == f"class {case['best'][0][0]}"
            continue
        expected = np.fromfile(folder / case["result"], np.uint8)
        assert said["size"] == map_size
        assert (np.fromfile(place / "classes.bin", np.uint8) == expected).all()
        shares = np.bincount(expected, minlength=21) / expected.size
        named = {index: share for index, share in enumerate(shares) if share >= LEAST_SHARE}
        assert {index: share for index, _, share in said["shares"]} == pytest.approx(named)
        palette = np.array([class_color(index) for index in range(21)], np.uint8)
        assert (np.fromfile(place / "overlay.bin", np.uint8).reshape(-1, 3) == palette[expected]).all()


def test_a_class_of_a_few_pixels_is_not_named(swift: App, family_artifacts: dict[str, Path]) -> None:
    folder = swift.place("few")
    mask = np.zeros((1, 50, 60), np.int32)
    # Of 3,000 pixels, 6 are 0.2 %.
    mask[0, 0, :6], mask[0, 1, :5] = 1, 2
    record = {"name": "mask", "shape": mask.shape, "dtype": "int32", "layout": None, "meaning": "mask"}
    head = {"head": "segmentation", "num_labels": 3}
    write_artifact(folder, family_artifacts["cvt"], model=head, outputs=[{**record, "golden": "values.bin"}])
    (folder / "values.bin").write_bytes(mask.tobytes())
    assert [index for index, _, _ in swift.ask("predicted", folder)["shares"]] == [0, 1]
    assert set(np.fromfile(folder / "classes.bin", np.uint8)) == {0, 1, 2}


def test_other_heads_show_shapes_and_norms(swift: App, family_artifacts: dict[str, Path]) -> None:
    folder = swift.place("features")
    values = np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32)
    record = {"name": "last_hidden_state", "shape": values.shape, "dtype": "float32", "layout": None}
    record |= {"meaning": "features", "golden": "values.bin"}
    write_artifact(folder, family_artifacts["cvt"], model={"head": "base"}, outputs=[record])
    (folder / "values.bin").write_bytes(values.tobytes())
    ((name, shape, norm),) = swift.ask("predicted", folder)["features"]
    assert (name, shape) == ("last_hidden_state", [1, 4, 8])
    assert norm == pytest.approx(float(np.linalg.norm(values)))
    (folder / "values.bin").write_bytes(np.full_like(values, np.nan).tobytes())
    assert "aren't finite numbers" in swift.ask("predicted", folder)["error"]


def test_classes_have_the_kits_colors(swift: App) -> None:
    assert swift.ask("colors", swift.folder) == [list(class_color(index)) for index in range(300)]


@pytest.mark.slow
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
def test_a_large_photo_is_quick(swift: App, family_artifacts: dict[str, Path], resample: str) -> None:
    folder = swift.place(f"large-{resample}")
    pixels: NDArray[np.uint8] = np.fromfile(write_large_photo(folder), np.uint8).reshape(3000, 4000, 3)
    write_photo(pixels, folder)
    work = Preprocess({"shortest_edge": 292}, (256, 256), resample, "RGB", 1.0, (0.0,) * 3, (1.0,) * 3)
    record = {"resize": work.resize, "crop": work.crop, "resample": resample}
    entry = {
        **json.loads((family_artifacts["cvt"] / "manifest.json").read_text())["inputs"][0],
        "shape": [1, 256, 256, 3],
    }
    write_artifact(folder, family_artifacts["cvt"], preprocess=record, inputs=[entry])
    pillows = []
    for _ in range(8):
        start = perf_counter()
        work.entering(work.geometry(pixels), True)
        pillows.append((perf_counter() - start) * 1e3)
    ours = min(swift.ask("large", folder))
    print(f"{resample}: {ours:.1f} ms, Pillow {min(pillows):.1f} ms, ratio {ours / min(pillows):.2f}")
    assert ours < LARGE_MS
    assert ours < LARGE_OF_PILLOW * min(pillows)
