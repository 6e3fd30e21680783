"""The iOS app's runtime package: compiled for Linux, and held against Pillow and the kit."""

import hashlib
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

from mobile_kit.images import read_image
from mobile_kit.importing import import_results
from mobile_kit.judge import model_info
from mobile_kit.latency import latency
from mobile_kit.manifest import read_manifest
from mobile_kit.metrics import sqnr_db
from mobile_kit.predict import LEAST_SHARE, _color
from mobile_kit.preprocess import Preprocess
from tests.apps.conftest import FAMILIES
from tests.apps.swift_app import (
    JOB,
    LEAST_DB,
    OWN,
    PACKAGE,
    SOURCES,
    STRICT,
    App,
    build,
    build_stubs,
    sources,
    write_artifact,
    write_bundle,
    write_photo,
)
from tests.apps.swift_toolchain import toolchain
from tests.apps.vectors import masks, write_answers, write_geometry, write_large_photo
from tests.conftest import install_paper_targets
from tests.exports import ROOT
from tests.packages import PackageError

# Grey levels. Measured: 0, as the arithmetic is Pillow's own.
MOST_LEVELS = 1
# Of code, comments and empty lines apart.
MOST_LINES = 1000
# A photo of 12 megapixels to the input, on two cores, and as a part of Pillow's time on one.
LARGE_MS, LARGE_OF_PILLOW = 60, 0.6


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> App:
    try:
        tools = toolchain()
    except PackageError as exc:
        pytest.skip(str(exc))
    return build(tools, tmp_path_factory.mktemp("swift"))


@pytest.fixture(scope="module")
def bundle(swift: App, family_artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = swift.place("bundle")
    with pytest.MonkeyPatch.context() as patch:
        install_paper_targets(tmp_path_factory.mktemp("bundle"), patch)
        write_bundle(folder, family_artifacts)
    for family in FAMILIES:
        write_photo(read_image(folder / family / "golden/photo.png"), folder / family / "given")
    return folder


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


def test_it_type_checks_against_apples_interfaces(swift: App) -> None:
    # As `bundle --check` does it where none of them is.
    assert swift.swiftc("-typecheck", *STRICT, *sources(swift)) == ""
    modules = build_stubs(swift)
    assert swift.swiftc("-typecheck", *STRICT, "-I", modules, *sources(swift)) == ""
    # What stands behind `canImport` is seen, and data races are errors.
    broken = (SOURCES / "ExecuTorchRunner.swift").read_text(encoding="utf-8").replace("module.forward", "module.ask")
    assert "'ask'" in swift.swiftc(
        "-typecheck", *STRICT, "-I", modules, *sources(swift, {"ExecuTorchRunner.swift": broken})
    )
    race = "import Dispatch\nfunc race() {\n var n = 0\n DispatchQueue.global().async { n += 1 }\n n += 1\n}\n"
    said = swift.swiftc("-typecheck", *STRICT, "-I", modules, *sources(swift, {"ExecuTorchRunner.swift": race}))
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
        palette = np.array([_color(index) for index in range(21)], np.uint8)
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
    assert swift.ask("colors", swift.folder) == [list(_color(index)) for index in range(300)]


def test_the_self_test_passes_for_files_that_are_right(swift: App, bundle: Path) -> None:
    said = swift.ask("tested", bundle, "strict")
    assert [each["title"] for each in said] == [f"{family} tested" for family in FAMILIES]
    for family, report in zip(FAMILIES, said, strict=True):
        assert (report["passed"], report["reasons"]) == (True, [])
        assert (report["geometry"], report["canary"]) == (0, True)
        manifest = read_manifest(bundle / family)
        for (name, sqnr), record in zip(report["sqnr"], manifest.data["outputs"], strict=True):
            given = np.fromfile(bundle / family / "given" / "right" / f"{name}.bin", np.float32)
            assert sqnr == pytest.approx(min(sqnr_db(given, manifest.golden(record).ravel()), 999))


@pytest.mark.parametrize(("wrong", "db", "passed"), [(0, 999, True), (10, 17.1, True), (30, 12.3, False)])
def test_a_map_of_classes_is_judged_by_its_pixels(
    swift: App, bundle: Path, wrong: int, db: float, passed: bool
) -> None:
    folder = swift.place(f"mask-{wrong}")
    own = Path(shutil.copytree(bundle / "cvt", folder / "cvt"))
    data = json.loads((own / "manifest.json").read_text(encoding="utf-8"))
    right, found, swapped = masks(wrong)
    for place, values in (("golden/outputs", right), ("given/right", found), ("given/swapped", swapped)):
        (own / place / "mask.bin").write_bytes(values.tobytes())
    data["outputs"] = [{**data["outputs"][0], "name": "mask", "shape": right.shape, "dtype": "int32"}]
    data["outputs"][0] |= {"meaning": "mask", "golden": "golden/outputs/mask.bin"}
    (own / "manifest.json").write_text(json.dumps(data), encoding="utf-8")
    entry = {"folder": "cvt", "title": "cvt", "least_sqnr_db": {"mask": 14.0}}
    (folder / "models.json").write_text(json.dumps({"schema_version": 1, "models": [entry]}))
    (report,) = swift.ask("tested", folder, "right")
    assert report["sqnr"] == [["mask", pytest.approx(db, abs=0.1)]]
    assert (report["passed"], report["canary"]) == (passed, True)


def test_pixel_values_and_further_inputs_are_tested_too(swift: App, bundle: Path) -> None:
    """A file that leaves the arithmetic to the app, takes noise beside the photo, and has names of several words."""
    folder = swift.place("further")
    own = Path(shutil.copytree(bundle / "cvt", folder / "cvt"))
    data = json.loads((own / "manifest.json").read_text(encoding="utf-8"))
    (image,), (judged, other) = data["inputs"], data["outputs"]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = read_manifest(own).golden(image)
    for place, colors in (("golden/inputs", pixels), ("given/swapped", pixels[..., ::-1])):
        values = ((colors * (1 / 255) - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
        (own / place / "pixel_values.bin").write_bytes(values.tobytes())
    noise = np.random.default_rng(0).random((1, 16), np.float32)
    (own / "golden/inputs/order_of_mask.bin").write_bytes(noise.tobytes())
    record = {"dtype": "float32", "layout": None, "color": None, "range": None}
    data["inputs"] = [
        {**record, "name": name, "shape": shape, "golden": f"golden/inputs/{name}.bin"}
        for name, shape in (("pixel_values", values.shape), ("order_of_mask", noise.shape))
    ]
    data["preprocess"] |= {"in_graph": False, "scale": 1 / 255, "mean": mean.tolist(), "std": std.tolist()}
    for kind in ("right", "swapped"):
        (own / "given" / kind / f"{judged['name']}.bin").rename(own / "given" / kind / "class_scores.bin")
    judged["name"] = "class_scores"
    (own / "manifest.json").write_text(json.dumps(data), encoding="utf-8")
    entry = {"folder": "cvt", "title": "cvt", "least_sqnr_db": {"class_scores": LEAST_DB}}
    (folder / "models.json").write_text(json.dumps({"schema_version": 1, "models": [entry]}))
    (report,) = swift.ask("tested", folder, "strict")
    assert (report["passed"], report["reasons"], report["canary"]) == (True, [], True)
    assert report["geometry"] == pytest.approx(0, abs=1e-4)
    assert [name for name, _ in report["sqnr"]] == ["class_scores", other["name"]]
    (report,) = swift.ask("tested", folder, "blind")
    assert report["reasons"] == ["Swapped red and blue go unnoticed."]
    (own / "golden/inputs/order_of_mask.bin").unlink()
    (report,) = swift.ask("tested", folder, "right")
    assert "golden/inputs/order_of_mask.bin isn't [1, 16]" in report["error"]


def test_a_photo_without_colors_has_no_canary(swift: App, bundle: Path) -> None:
    folder = swift.place("gray")
    own = Path(shutil.copytree(bundle / "cvt", folder / "cvt"))
    manifest = read_manifest(own)
    image = np.repeat(read_image(own / "golden/photo.png")[..., :1], 3, 2)
    golden = manifest.preprocess.entering(manifest.preprocess.geometry(image), True)
    (own / manifest.data["inputs"][0]["golden"]).write_bytes(golden.tobytes())
    write_photo(image, own / "given")
    entry = {"folder": "cvt", "title": "cvt", "least_sqnr_db": {"logits": LEAST_DB}}
    (folder / "models.json").write_text(json.dumps({"schema_version": 1, "models": [entry]}))
    (report,) = swift.ask("tested", folder, "blind")
    assert (report["passed"], report["canary"], report["geometry"]) == (True, None, 0)


@pytest.mark.parametrize(
    ("manner", "why"), [("noisy", "26.0 dB of at least 30.0 dB"), ("blind", "Swapped red and blue go unnoticed")]
)
def test_the_self_test_fails_for_files_that_are_wrong(swift: App, bundle: Path, manner: str, why: str) -> None:
    said = swift.ask("tested", bundle, manner)
    assert len(said) == len(FAMILIES)
    for report in said:
        assert not report["passed"]
        assert any(why in reason for reason in report["reasons"])


def test_the_self_test_notices_another_photo(swift: App, bundle: Path) -> None:
    given = bundle / "cvt" / "given"
    image = read_image(bundle / "cvt/golden/photo.png")
    write_photo(np.roll(image, 1, 1), given)
    report = swift.ask("tested", bundle, "right")[0]
    write_photo(image, given)
    assert report["geometry"] > MOST_LEVELS
    assert "became another input" in report["reasons"][0]


def test_a_broken_file_is_a_message(swift: App, bundle: Path) -> None:
    said = swift.ask("tested", bundle, "broken")
    assert [each["error"] for each in said] == ["The file is broken. Bundle it again."] * len(FAMILIES)
    assert all("can't run a file for paper" in line for line in swift.ask("loaded", bundle))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"schema_version": 1', '"schema_version": 2', "schema version 2 is unknown. Known: 1. Update the app."),
        ("{", "[", "isn't JSON with a schema version"),
        ('"inputs"', '"entries"', "lacks what this app needs"),
        ("", "", "isn't there"),
    ],
)
def test_a_manifest_that_is_not_known_is_refused_alone(swift: App, bundle: Path, old: str, new: str, why: str) -> None:
    manifest = bundle / "cvt" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(old, new, 1)) if old else manifest.unlink()
    try:
        first, *others = swift.ask("loaded", bundle)
    finally:
        manifest.write_text(text)
    assert why in first
    assert first.startswith("cvt/manifest.json: ")
    assert all("can't run a file for paper" in line for line in others)


def test_an_index_or_a_folder_that_lacks_something_is_refused(swift: App, bundle: Path) -> None:
    folder = swift.place("lacking")
    entries = []
    for name in ("whole", "labels", "output", "torn", "missing"):
        shutil.copytree(bundle / "cvt", folder / name)
        entries.append({"folder": name, "title": name, "least_sqnr_db": {"logits": 30.0}})
    entries[2]["least_sqnr_db"] = {"logits": 30.0, "mask": 30.0}
    index = folder / "models.json"
    index.write_text(json.dumps({"schema_version": 1, "models": entries}))
    file = read_manifest(bundle / "cvt").data["model_file"]
    (folder / "labels" / "labels.txt").unlink()
    (folder / "torn" / file).write_bytes((folder / "torn" / file).read_bytes()[:-1])
    (folder / "missing" / file).unlink()
    way = "Bundle the model again."
    assert swift.ask("located", folder) == [
        str(JOB / "lacking" / "whole" / file),
        f"labels: labels.txt isn't there. {way}",
        f"output: has no output mask to judge. {way}",
        f"torn: {file} is missing or torn. {way}",
        f"missing: {file} is missing or torn. {way}",
    ]
    index.write_text(json.dumps({"schema_version": 1, "models": []}))
    assert swift.ask("located", folder) == {"error": "models.json: names no model. Bundle the app again."}


def test_a_package_is_found_and_has_the_kits_hash(swift: App, family_artifacts: dict[str, Path]) -> None:
    root = swift.place("package")
    folder, beside = root / "models" / "tiny", root / "CoreML" / "tiny.mlpackage"
    shutil.copytree(family_artifacts["cvt"], folder)
    data = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / data["model_file"]).unlink()
    del data["files"][data["model_file"]]
    for part in ("Manifest.json", "Data/model.mlmodel", "Data/weights/weight.bin"):
        file = folder / "model.mlpackage" / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(part)
        record = {"sha256": hashlib.sha256(part.encode()).hexdigest(), "bytes": len(part)}
        data["files"][f"model.mlpackage/{part}"] = record
    (folder / "manifest.json").write_text(json.dumps({**data, "model_file": "model.mlpackage"}), encoding="utf-8")
    assert swift.ask("hash", folder) == model_info(read_manifest(folder)).sha256
    index = {"schema_version": 1, "models": [{"folder": "tiny", "title": "tiny", "least_sqnr_db": {}}]}
    (root / "models" / "models.json").write_text(json.dumps(index))
    assert swift.ask("located", root / "models") == [str(JOB / "package/models/tiny/model.mlpackage")]
    beside.parent.mkdir()
    (folder / "model.mlpackage").rename(beside)
    assert swift.ask("located", root / "models") == [str(JOB / "package/CoreML/tiny.mlpackage")]
    shutil.rmtree(beside)
    (said,) = swift.ask("located", root / "models")
    assert said == "tiny: model.mlpackage is missing or torn. Bundle the model again."


def test_the_kit_reads_what_the_benchmark_writes(
    swift: App, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_paper_targets(tmp_path, monkeypatch)
    swift.ask("tested", bundle, "right")
    for family in FAMILIES:
        (found,) = import_results(bundle / family / "given" / "bench.json", bundle / family)
        assert (found.run.harness, found.run.tool, found.config.delegate) == ("app", "MobileKitRuntime", "stand-in")
        assert (found.device.name, found.device.os, found.device.soc) == ("Harness", "Linux", None)
        assert found.config.input == "golden"
        assert found.latency.count is not None
        assert found.latency.count >= found.config.runs == 60
        kits = latency(found.latency.samples, found.latency.first)
        assert _figures(found.latency) == pytest.approx(_figures(kits))
        assert found.latency.stability == kits.stability
        assert found.load.cold_us is not None
        assert len(found.load.warm_us) == 2
        assert found.config.threads is None
        assert found.pipeline.preprocess_us is None
        assert {out.name: out.passed for out in found.parity} == {"probabilities": True, "logits": True}
        assert (found.validity.valid, found.validity.reasons) == (True, ())


def _figures(of: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(of).items() if key not in {"samples", "stability"}}


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
