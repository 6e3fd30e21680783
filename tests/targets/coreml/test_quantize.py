"""Weights of 4 bits: how they are held, and what of them stays as it was."""

import re
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.artifacts.manifest import read_manifest
from sample_apps.checkpoints.digits import training_views
from tests.exports import DIGITS
from tests.one_process import export

# In decibels of the logits over the images here. Measured over 1,077 unseen views: 26.9 (blocks), 22.1 (a palette).
KEPT = {"iOS18": ("int4 weights a block of 16 input channels", 24.0), "iOS17": ("a palette of 16 values", 19.0)}


@pytest.mark.parametrize("system", ["iOS18", pytest.param("iOS17", marks=pytest.mark.slow)])
def test_four_bits_say_how_they_are_held_and_what_stays(system: str, tmp_path: Path) -> None:
    scheme, decibels = KEPT[system]
    for number, (image, _) in enumerate(training_views(16, 5)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    asked = ("--target", "coreml", "--recipe", "weight_only_wi4_afp32", "--deployment-target", system)
    judged = ("--calibration", str(tmp_path), "--min-sqnr", str(decibels))
    exported = export(DIGITS, tmp_path / "out", *asked, *judged)
    (name,) = exported.records
    manifest = read_manifest(exported[name])
    recipe = manifest.record.recipe
    assert recipe.weight_bits == 4
    assert recipe.scheme.startswith(scheme)
    found = re.search(r"; ([\d.]+)% of the layers' weights in float", recipe.scheme)
    assert found is not None  # small ones
    assert 0 < float(found[1]) < 10
    # Of so small a network, the graph is no small part: 1.10 (blocks), 0.84 (a palette); int8 weights take 1.35.
    assert manifest.model_bytes < 1.2 * manifest.record.model.num_parameters
