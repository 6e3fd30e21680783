import json
from collections.abc import Callable

import pytest

from mobile_kit.families import families
from mobile_kit.listing import listing, to_markdown
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


def test_the_matrix_has_a_row_a_head_and_a_column_a_backend() -> None:
    header, rule, *rows = to_markdown().splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        "family",
        "head",
        "coreml",
        "executorch (xnnpack)",
        "executorch (coreml)",
        "executorch (vulkan)",
        "tflite",
    ]
    assert rule == "|---" * 7 + "|"
    assert {row.count("|") for row in (header, *rows)} == {8}
    vulkan = {row.split("|")[6].strip() for row in rows}
    assert vulkan == {"fp32"}
    assert {tuple(cell.strip() for cell in row.split("|")[1:3]) for row in rows} == {
        (name, head) for name, family in families().items() for head in family.heads
    }
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
    assert found["recipes"] == ["fp16", "fp32"]
    assert found["targets"]["executorch"]["recipes"] == {
        "xnnpack": ["fp16", "fp32"],
        "coreml": ["fp16", "fp32"],
        "vulkan": ["fp32"],
    }
    assert found["targets"]["coreml"]["deployment_targets"][""][0] == "iOS17"
    executorch = found["targets"]["executorch"]["deployment_targets"]
    assert executorch == {"xnnpack": [], "coreml": ["iOS17", "iOS16", "iOS18"], "vulkan": []}


def test_people_get_every_name_too(command: Command) -> None:
    said = command("list").out
    for name in ("family mobilevitv2", "head base", "target tflite: model.tflite", "backend vulkan: recipes fp32"):
        assert name in said
    for known in listing()["families"]["mobilevitv2"]["known_checkpoints"]:
        assert f"  known {known}" in said


@pytest.mark.usefixtures("paper_targets")
def test_a_third_party_s_target_is_listed_too() -> None:
    assert listing()["targets"]["paper"]["recipes"] == {"": ["fp32"]}
    assert "| paper |" in to_markdown().splitlines()[0]
