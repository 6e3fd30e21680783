import json
from collections.abc import Callable

import pytest

from mobile_kit.models.family import families
from mobile_kit.quantization.recipes import RECIPES
from mobile_kit.target_api.support_matrix import listing, to_markdown
from tests.conftest import Answer
from tests.exports import ROOT

Command = Callable[..., Answer]


def test_the_readme_has_the_printed_matrix(command: Command) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = readme.partition("<!-- support matrix -->\n")
    matrix, end, _ = rest.partition("<!-- end -->")
    assert end
    answer = command("list", "--markdown")
    assert (answer.code, answer.err) == (0, "")
    assert matrix == answer.out


def test_the_matrix_has_a_row_a_recipe_and_a_column_a_backend() -> None:
    recipes, _, heads = to_markdown().partition("\n\n")
    header, rule, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in recipes.splitlines())
    backends = ["coreml", "executorch (xnnpack)", "executorch (coreml)", "executorch (vulkan)", "tflite"]
    assert header == ["recipe", *backends]
    assert rule == ["---"] * 6
    found = {row[0]: {title for title, cell in zip(backends, row[1:], strict=True) if cell == "yes"} for row in rows}
    assert list(found) == list(RECIPES)
    assert found["fp32"] == set(backends)
    assert found["static_wi8_ai8"] == {"coreml", "executorch (xnnpack)", "tflite"}
    assert found["dynamic_wi8_afp32"] == {"executorch (xnnpack)", "tflite"}
    assert heads.splitlines()[2:] == [f"| {name} | {', '.join(family.heads)} |" for name, family in families().items()]
    assert set(families()) == {"cvt", "hiera", "mobilevitv2", "vit_msn"}


def test_json_has_all_that_can_be_asked_for(command: Command) -> None:
    answer = command("list", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert found == listing()
    family = found["families"]["mobilevitv2"]
    assert set(family["heads"]) == {"base", "classification", "segmentation"}
    assert family["heads"]["segmentation"]["outputs"] == ["mask", "segmenter", "logits", "hidden_states"]
    assert len(family["known_checkpoints"]) == 8
    assert "apple/mobilevitv2-1.0-voc-deeplabv3" in family["known_checkpoints"]
    assert found["recipes"] == list(RECIPES)
    assert found["aliases"]["int8"] == "static_wi8_ai8_mixed"
    assert found["targets"]["executorch"]["recipes"] == {
        "xnnpack": ["fp32", "fp16", "dynamic_wi8_afp32", "static_wi8_ai8", "static_wi8_ai8_mixed"],
        "coreml": ["fp32", "fp16"],
        "vulkan": ["fp32"],
    }
    assert found["targets"]["coreml"]["deployment_targets"][""][0] == "iOS17"
    executorch = found["targets"]["executorch"]["deployment_targets"]
    assert executorch == {"xnnpack": [], "coreml": ["iOS17", "iOS16", "iOS18"], "vulkan": []}


def test_people_get_every_name_too(command: Command) -> None:
    said = command("list").out
    for name in (
        "family mobilevitv2",
        "head base",
        "target tflite: model.tflite",
        "backend vulkan: recipes fp32",
        "alias int8",
    ):
        assert name in said
    for known in listing()["families"]["mobilevitv2"]["known_checkpoints"]:
        assert f"  known {known}" in said


@pytest.mark.usefixtures("paper_targets")
def test_a_third_party_s_target_is_listed_too() -> None:
    assert listing()["targets"]["paper"]["recipes"] == {"": ["fp32"]}
    assert "| paper |" in to_markdown().splitlines()[0]
