"""The Android app's self-test and benchmark, on artifacts of all families with the answers of the real network."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobile_kit.artifacts.manifest import Manifest, read_manifest, sha256_of
from mobile_kit.artifacts.manifest_record import OutputRecord
from mobile_kit.models.spec import Array
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.profiling.import_results import import_results
from mobile_kit.records import to_values
from tests.apps.kotlin_app import App, tensor, write_artifact, write_photo
from tests.apps.vectors import masks
from tests.paper_target import PaperRuntime

LEAST_DB = 30.0


@pytest.fixture(scope="module")
def kept(family_artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an app has, and for each artifact the network's answers to both orders of colours. Not to be changed."""
    root = tmp_path_factory.mktemp("kept")
    for name, artifact in family_artifacts.items():
        manifest = read_manifest(shutil.copytree(artifact, root / name))
        folder = root / "stand-in" / name
        folder.mkdir(parents=True)
        write_photo(np.asarray(Image.open(manifest.folder / "golden/photo.png").convert("RGB")), folder)
        runtime = PaperRuntime(manifest.model_path)
        image = manifest.golden(manifest.record.inputs[0])
        give(folder / "given", runtime.run({"image": image}))
        give(folder / "swapped", runtime.run({"image": np.ascontiguousarray(image[..., ::-1])}))
    return root


def bundle(kept: Path, root: Path, *names: str) -> dict[str, Manifest]:
    """Copy some artifacts with their answers, and write their index."""
    for name in names:
        shutil.copytree(kept / name, root / name)
        shutil.copytree(kept / "stand-in" / name, root / "stand-in" / name)
    least = {"logits": LEAST_DB, "probabilities": LEAST_DB}
    models = [{"folder": name, "title": name, "least_sqnr_db": least} for name in names]
    (root / "models.json").write_text(json.dumps({"schema_version": 1, "models": models}))
    return {name: read_manifest(root / name) for name in names}


def give(folder: Path, outputs: Mapping[str, Array]) -> None:
    folder.mkdir(exist_ok=True)
    for name, values in outputs.items():
        (folder / f"{name}.bin").write_bytes(np.ascontiguousarray(values).tobytes())


def sqnr_db(manifest: Manifest, record: OutputRecord, folder: Path) -> float:
    golden = manifest.golden(record).astype(np.float64)
    values = np.fromfile(folder / f"{record.name}.bin", np.float32).reshape(golden.shape)
    return float(10 * np.log10(np.sum(golden**2) / np.sum((golden - values) ** 2)))


def test_the_self_test_passes_for_right_answers_of_all_families(
    kotlin: App, family_artifacts: dict[str, Path], kept: Path, tmp_path: Path
) -> None:
    manifests = bundle(kept, tmp_path, *family_artifacts)
    said = kotlin.ask("golden", tmp_path)
    assert set(said) == set(family_artifacts)
    for name, found in said.items():
        assert found["passed"], found
        assert found["canary"] is True, found
        assert found["grey_levels"] <= 1
        cold, *warm = found["loads"]
        assert cold > 0
        assert len(warm) == 2
        manifest, folder = manifests[name], tmp_path / "stand-in" / name
        image = manifest.golden(manifest.record.inputs[0])
        assert (folder / "given.bin").read_bytes() == image.tobytes()
        assert (folder / "swapped.bin").read_bytes() == image[..., ::-1].tobytes()
        for output, (noise, passed) in found["outputs"].items():
            assert passed, output
            assert noise == "Infinity" or noise > LEAST_DB


def test_the_self_test_fails_for_disturbed_answers(
    kotlin: App, family_artifacts: dict[str, Path], kept: Path, tmp_path: Path
) -> None:
    manifests = bundle(kept, tmp_path, *family_artifacts)
    draw = np.random.default_rng(0)
    for name, manifest in manifests.items():
        given = tmp_path / "stand-in" / name / "given"
        for record in manifest.record.outputs:
            golden = manifest.golden(record)
            noise = draw.normal(0, float(np.sqrt(np.mean(golden**2))) / 20, golden.shape)
            give(given, {record.name: (golden + noise).astype(np.float32)})
    said = kotlin.ask("golden", tmp_path)
    for name, manifest in manifests.items():
        assert not said[name]["passed"]
        for record in manifest.record.outputs:
            expected = sqnr_db(manifest, record, tmp_path / "stand-in" / name / "given")
            assert said[name]["outputs"][record.name] == [pytest.approx(expected, abs=1e-3), False]


@pytest.fixture
def bundled(kept: Path, tmp_path: Path) -> Manifest:
    return bundle(kept, tmp_path, "mobilevitv2")["mobilevitv2"]


def test_the_canary_fails_where_the_network_ignores_colours(kotlin: App, bundled: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "stand-in/mobilevitv2"
    shutil.copytree(folder / "given", folder / "swapped", dirs_exist_ok=True)
    found = kotlin.ask("golden", tmp_path)["mobilevitv2"]
    assert found["canary"] is False
    assert not found["passed"]


def test_a_photo_in_the_wrong_geometry_fails(kotlin: App, bundled: Manifest, tmp_path: Path) -> None:
    photo = np.asarray(Image.open(bundled.folder / "golden/photo.png").convert("RGB"))
    write_photo(np.roll(photo, 3, axis=1), tmp_path / "stand-in/mobilevitv2")
    found = kotlin.ask("golden", tmp_path)["mobilevitv2"]
    assert found["grey_levels"] > 1
    assert not found["passed"]


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_values_that_are_not_finite_fail(kotlin: App, bundled: Manifest, tmp_path: Path, poison: float) -> None:
    values = bundled.golden(bundled.record.outputs[0]).copy()
    values.flat[0] = poison
    give(tmp_path / "stand-in/mobilevitv2/given", {bundled.record.outputs[0].name: values})
    assert not kotlin.ask("golden", tmp_path)["mobilevitv2"]["passed"]


@pytest.mark.parametrize(
    ("least", "passed", "refused"),
    [({}, False, None), ({"logits": LEAST_DB}, True, None), ({"mask": 1.0}, None, "mobilevitv2: has no output [mask]")],
)
def test_only_named_outputs_are_judged_and_one_must_be(
    kotlin: App, bundled: Manifest, tmp_path: Path, least: dict[str, float], passed: bool | None, refused: str | None
) -> None:
    index = json.loads((tmp_path / "models.json").read_text())
    index["models"][0]["least_sqnr_db"] = least
    (tmp_path / "models.json").write_text(json.dumps(index))
    said = kotlin.ask("golden", tmp_path)
    if refused is not None:
        assert said["refused"].startswith(refused)
        return
    found = said["mobilevitv2"]
    assert found["passed"] is passed
    judged = {name for name, (_, verdict) in found["outputs"].items() if verdict is not None}
    assert judged == set(least)


def test_a_torn_golden_file_is_refused_in_a_line(kotlin: App, bundled: Manifest, tmp_path: Path) -> None:
    path = bundled.folder / bundled.record.outputs[0].golden
    path.write_bytes(path.read_bytes()[:-4])
    said = kotlin.ask("golden", tmp_path)["refused"]
    assert said == "golden/outputs/probabilities.bin: has 76 bytes, not 80. Bundle the app again."


def test_the_benchmark_is_read_by_import(kotlin: App, bundled: Manifest, tmp_path: Path) -> None:
    said = kotlin.ask("bench", tmp_path)
    written = json.loads((tmp_path / "bench.json").read_text())
    told: list[str] = []
    (result,) = import_results(tmp_path / "bench.json", bundled.folder, tell=told.append)
    assert not told
    assert (result.run.harness, result.run.tool) == ("app", "mobilekit-runtime")
    assert (result.config.delegate, result.config.threads) == ("stand-in", None)
    assert result.validity.valid, result.validity
    assert result.validity.parity_held is True
    (calls,) = written[0]["latency"]["samples"]
    assert result.latency.count == len(calls) == said["mobilevitv2"] >= 50
    assert result.latency.p50 == pytest.approx(np.percentile(calls, 50))
    assert result.latency.p99 == pytest.approx(np.percentile(calls, 99))
    assert result.latency.std == pytest.approx(np.std(calls, ddof=1))
    assert result.latency.trimmed_mean_80 == pytest.approx(
        np.mean(np.sort(calls)[len(calls) // 10 : len(calls) - len(calls) // 10])
    )
    assert result.load.cold_us is not None
    assert len(result.load.warm_us) == 2
    assert {out.name: out.passed for out in result.parity} == {"probabilities": True, "logits": True}
    assert result.device.os is None


def test_of_a_file_with_several_models_import_takes_its_artifacts(kotlin: App, kept: Path, tmp_path: Path) -> None:
    manifests = bundle(kept, tmp_path, *[folder.name for folder in sorted((kept / "stand-in").iterdir())[:2]])
    said = kotlin.ask("bench", tmp_path)
    assert set(said) == set(manifests)
    for name, manifest in manifests.items():
        (result,) = import_results(tmp_path / "bench.json", manifest.folder, tell=pytest.fail)
        assert (result.model.sha256, result.latency.count) == (sha256_of(manifest.model_path), said[name])


def test_a_failed_self_test_stays_with_its_benchmark(kotlin: App, bundled: Manifest, tmp_path: Path) -> None:
    photo = np.asarray(Image.open(bundled.folder / "golden/photo.png").convert("RGB"))
    write_photo(np.roll(photo, 3, axis=1), tmp_path / "stand-in/mobilevitv2")
    kotlin.ask("bench", tmp_path)
    (result,) = import_results(tmp_path / "bench.json", bundled.folder)
    assert all(out.passed for out in result.parity)
    assert (result.validity.parity_held, result.validity.reasons) == (False, ("its self-test failed there",))


@pytest.mark.parametrize(("wrong", "db", "passed"), [(0, "Infinity", True), (10, 17.1, True), (30, 12.3, False)])
def test_a_map_of_classes_is_judged_by_its_pixels(
    kotlin: App, bundled: Manifest, tmp_path: Path, wrong: int, db: float | str, passed: bool
) -> None:
    files = tmp_path / "stand-in/mobilevitv2"
    right, found, swapped = masks(wrong)
    give(files / "given", {"mask": found})
    give(files / "swapped", {"mask": swapped})
    outputs = [tensor("mask", right, bundled.folder, "mask")]
    (bundled.folder / "manifest.json").write_text(json.dumps({**to_values(bundled.record), "outputs": outputs}))
    index = json.loads((tmp_path / "models.json").read_text())
    index["models"][0]["least_sqnr_db"] = {"mask": 14.0}
    (tmp_path / "models.json").write_text(json.dumps(index))
    said = kotlin.ask("golden", tmp_path)["mobilevitv2"]
    assert said["outputs"]["mask"] == [db if isinstance(db, str) else pytest.approx(db, abs=0.1), passed]
    assert (said["passed"], said["canary"]) == (passed, True)


def test_pixel_values_are_swapped_as_a_swapped_photo_would_be(kotlin: App, tmp_path: Path) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    work = Preprocess({"height": 24, "width": 40}, None, "bicubic", "BGR", 1 / 255, mean, std)
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    folder, files = tmp_path / "artifact", tmp_path / "stand-in/artifact"
    for each in (folder / "golden", files):
        each.mkdir(parents=True)
    values = work.arithmetic(work.geometry(photo))
    logits = np.array([[1.0, 2.0, 3.0]], np.float32)
    record = {"resize": work.resize, "crop": None, "resample": "bicubic", "channel_order": "BGR"}
    write_artifact(
        folder,
        preprocess={**record, "mean": mean, "std": std, "in_graph": False},
        inputs=[tensor("pixel_values", values, folder)],
        outputs=[tensor("logits", logits, folder, "logits")],
    )
    (folder / "golden/photo.png").touch()  # decoded here
    (folder / "model.tflite").write_bytes(b"1")
    write_photo(photo, files)
    give(files / "given", {"logits": logits})
    give(files / "swapped", {"logits": -logits})
    models = [{"folder": "artifact", "title": "", "least_sqnr_db": {"logits": LEAST_DB}}]
    (tmp_path / "models.json").write_text(json.dumps({"schema_version": 1, "models": models}))
    found = kotlin.ask("golden", tmp_path)["artifact"]
    assert found["passed"], found
    assert found["canary"] is True
    assert found["grey_levels"] < 0.01
    swapped = np.fromfile(files / "swapped.bin", np.float32).reshape(values.shape)
    np.testing.assert_allclose(swapped, work.arithmetic(work.geometry(photo[..., ::-1].copy())), atol=1e-5)
