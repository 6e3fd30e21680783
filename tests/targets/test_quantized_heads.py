"""Every head in every recipe of integers: it exports, and the file is what its manifest says.

Random weights say nothing of what integers keep, so nothing is asked of the decibels here; the trained checkpoints are
asked in test_recipes.py.
"""

from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.preprocessing.synthetic_images import scene
from tests.one_process import export
from tests.small_checkpoints import save, small_model
from tests.targets.test_families import CASES, model_of

RECIPES = {
    "coreml": ("weight_only_wi8_afp32", "weight_only_wi4_afp32", "static_wi8_ai8", "static_wi8_ai8_mixed"),
    "executorch": ("dynamic_wi8_afp32", "static_wi8_ai8", "static_wi8_ai8_mixed"),
    "tflite": ("weight_only_wi8_afp32", "dynamic_wi8_afp32", "static_wi8_ai8", "static_wi8_ai8_mixed"),
}
HEADS = {
    **{name: case for name, case in CASES.items() if "classification" not in name},
    "mobilevitv2 base": "base",
    "mobilevitv2 segmentation": "segmentation",
}
CELLS = [pytest.param(head, target, id=f"{head}-{target}") for head in HEADS for target in RECIPES]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(8):
        Image.fromarray(scene(3000 + number, 80, 100)).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("head", "target"), CELLS)
def test_a_head_takes_every_recipe(head: str, target: str, images: Path, tmp_path: Path) -> None:
    case = HEADS[head]
    outputs: tuple[str, ...] = ()
    if isinstance(case, str):
        folder = save(small_model(case), tmp_path / "model")
        outputs = ("--outputs", "mask,logits") if case == "segmentation" else ()
    else:
        folder = case.small.save(model_of(case), tmp_path / "model")
    asked = ("--target", target, "--recipe", ",".join(RECIPES[target]), "--calibration", str(images))
    exported = export(folder, tmp_path / "out", *asked, "--min-sqnr", "-30", *outputs)
    assert {record["status"] for record in exported.records.values()} == {"passed"}
    assert len(exported.records) == len(RECIPES[target])
    for name in exported.records:
        manifest = read_manifest(exported[name])
        assert manifest.inputs[0].dtype == "uint8"
        assert {out.dtype for out in manifest.outputs} <= {"float32", "int32"}
