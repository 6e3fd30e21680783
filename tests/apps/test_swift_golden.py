"""The iOS app's self-test, index and benchmark, on artifacts of all families with the network's own answers."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.measurements.latency import latency
from mobile_kit.measurements.metrics import sqnr_db
from mobile_kit.preprocessing.image_files import read_image
from mobile_kit.profiling.import_results import import_results
from mobile_kit.profiling.validity import model_info
from tests.apps.conftest import FAMILIES
from tests.apps.swift_app import (
    JOB,
    LEAST_DB,
    App,
    write_bundle,
    write_photo,
)
from tests.apps.vectors import masks
from tests.conftest import install_paper_targets

# Grey levels. Measured: 0, as the arithmetic is Pillow's own.
MOST_LEVELS = 1


@pytest.fixture(scope="module")
def bundle(swift: App, family_artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = swift.place("bundle")
    with pytest.MonkeyPatch.context() as patch:
        install_paper_targets(tmp_path_factory.mktemp("bundle"), patch)
        write_bundle(folder, family_artifacts)
    for family in FAMILIES:
        write_photo(read_image(folder / family / "golden/photo.png"), folder / family / "given")
    return folder


def test_the_self_test_passes_for_files_that_are_right(swift: App, bundle: Path) -> None:
    said = swift.ask("tested", bundle, "strict")
    assert [each["title"] for each in said] == [f"{family} tested" for family in FAMILIES]
    for family, report in zip(FAMILIES, said, strict=True):
        assert (report["passed"], report["reasons"]) == (True, [])
        assert (report["geometry"], report["canary"]) == (0, True)
        manifest = read_manifest(bundle / family)
        for (name, sqnr), record in zip(report["sqnr"], manifest.record.outputs, strict=True):
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
    judged, other = data["outputs"]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    manifest = read_manifest(own)
    pixels = manifest.golden(manifest.record.inputs[0])
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
    (own / manifest.record.inputs[0].golden).write_bytes(golden.tobytes())
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
        ('"schema_version": 2', '"schema_version": 3', "schema version 3 is unknown. Known: up to 2. Update the app."),
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
    file = read_manifest(bundle / "cvt").record.model_file
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
