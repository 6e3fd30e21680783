"""What is asked is checked before any work."""

from pathlib import Path

import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.exporting.plan import plan
from mobile_kit.quantization.recipes import QualityTarget

OUT = Path("out")


def asked(**changes: object) -> ExportOptions:
    return ExportOptions("model", OUT, **changes)  # type: ignore[arg-type]


def test_a_choice_is_a_target_and_a_recipe() -> None:
    found = plan(asked(targets=("tflite", "executorch"), recipes=("fp32", "fp16")))
    names = [choice.name for choice in found]
    assert names == ["tflite-fp32", "tflite-fp16", "executorch-xnnpack-fp32", "executorch-xnnpack-fp16"]


def test_an_alias_beside_what_it_means_is_one_file(tmp_path: Path) -> None:
    options = asked(targets=("tflite",), recipes=("int8", "static_wi8_ai8_mixed"), calibration=tmp_path)
    assert [choice.recipe.name for choice in plan(options)] == ["static_wi8_ai8_mixed"]


def test_a_backend_and_a_system_are_those_targets_that_have_them() -> None:
    found = plan(asked(targets=("coreml", "tflite", "executorch"), backend="vulkan", deployment_target="iOS18"))
    assert [(choice.name, choice.deployment_target) for choice in found] == [
        ("coreml-fp32", "iOS18"),
        ("tflite-fp32", None),
        ("executorch-vulkan-fp32", None),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ("tflite",), "backend": "vulkan"}, "backend 'vulkan': not one of target 'tflite'"),
        ({"targets": ("tflite",), "deployment_target": "iOS17"}, "deployment target 'iOS17': not one of target"),
        ({"targets": ("tflite",), "recipes": ("static_wi8_ai8",)}, "Add --calibration with a folder of at least 8"),
        ({"targets": ("tflite",), "recipes": ("int3",)}, "recipe 'int3': unknown"),
        ({"targets": ("tflight",)}, "target 'tflight': unknown"),
        ({"calibration": OUT, "calibration_samples": 3}, "--calibration-samples 3: fewer than 8 say little"),
    ],
)
def test_what_can_not_be_served_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        plan(asked(**changes))


def test_what_files_must_keep_is_what_was_asked() -> None:
    assert asked(min_sqnr=20.0, min_agreement=0.99).wanted == QualityTarget(20.0, 0.99)
