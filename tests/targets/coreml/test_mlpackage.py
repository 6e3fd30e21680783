"""The model of arrays alone, which goes to coremltools' app on a phone, computes what the package does."""

from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest

from mobile_kit.artifacts.golden import read_golden
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.models.spec import Array
from targets.coreml.mil import read_program, run
from targets.coreml.mlpackage import Package
from tests.noise_model import NOISE, PIXELS, lowered


def outputs_of_arrays(package: Package, inputs: dict[str, Array], folder: Path) -> dict[str, Any]:
    """Write the package of arrays, and compute with it."""
    path = folder / "arrays.mlpackage"
    ct.models.MLModel(package.of_arrays(), weights_dir=package.weights, skip_model_load=True).save(str(path))
    program = read_program(path)
    assert {feature.kind for feature in (*program.inputs, *program.outputs)} == {"array"}
    return run(program, inputs).outputs


@pytest.mark.parametrize("fixture", ["digits", "segmentation", "base"])
def test_an_image_and_a_dictionary_become_arrays(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    manifest = read_manifest(request.getfixturevalue(fixture)["coreml-fp16"])
    package = Package(str(manifest.model_path))
    (image,) = package.images
    assert package.outputs == [spec.name for spec in manifest.outputs]
    pixels = package.array(image, read_golden(manifest).inputs[image].tobytes()).transpose(2, 0, 1)[None]
    wanted = run(read_program(manifest.model_path), {image: pixels}).outputs
    found = outputs_of_arrays(package, {image: pixels.astype(np.float32)}, tmp_path)
    if package.labels:
        table = wanted.pop(package.probabilities)
        assert isinstance(table, dict)
        wanted.pop("classLabel")
        wanted[package.vector] = np.array([[table[label] for label in package.labels]], np.float16)
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, wanted[name])
        key = package.probabilities if name == package.vector else name
        assert package.content(key, values) == np.asarray(values).tobytes()


def test_inputs_that_are_arrays_stay_so(tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    lowered("coreml", None, path)
    package = Package(str(path))
    assert not package.images
    noise = np.random.default_rng(0).random(NOISE.shape, np.float32)
    values = {"noise": package.array("noise", noise.tobytes()), "pixel_values": np.ones(PIXELS.shape, np.float32)}
    np.testing.assert_array_equal(values["noise"], noise)
    assert package.zeros()["pixel_values"] == bytes(4 * np.ones(PIXELS.shape).size)
    found, wanted = outputs_of_arrays(package, values, tmp_path), run(read_program(path), values).outputs
    np.testing.assert_array_equal(found["order"], wanted["order"])
