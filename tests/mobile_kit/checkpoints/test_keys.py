"""Every key that transformers' classes have stands in the tables of what becomes of it."""

import re
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers.processing_utils import ImagesKwargs

import mobile_kit.checkpoints
from mobile_kit.models.family import families

TABLES = Path(mobile_kit.checkpoints.__file__).with_name("README.md").read_text(encoding="utf-8")
CONFIGS = {
    "cvt": transformers.CvtConfig,
    "hiera": transformers.HieraConfig,
    "mobilevitv2": transformers.MobileViTV2Config,
    "vit_msn": transformers.ViTMSNConfig,
}
# What isn't of a file: set by the class itself, or of transformers' own loading.
OF_THE_CLASS = {"hidden_size", "stage_names", "num_layers", "_name_or_path", "_commit_hash"}


def rows(heading: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = TABLES.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def keys(cells: list[list[str]], column: int) -> list[str]:
    return [key for row in cells for key in re.findall(r"`([^`]+)`", row[column])]


def own_keys(config: Any) -> set[str]:
    return {name for name in config.to_dict() if name not in OF_THE_CLASS} - {"model_type"}


def test_a_table_has_a_row_for_every_family() -> None:
    assert set(CONFIGS) == set(families())


@pytest.mark.parametrize("family", CONFIGS)
def test_every_key_of_a_config_has_its_row(family: str) -> None:
    common = set(keys(rows("config.json, of every family"), 0))
    own = keys([row for row in rows("config.json, of a family") if row[0] == family], 1)
    assert len(own) == len(set(own))
    found = own_keys(CONFIGS[family]()) | set(CONFIGS[family].__annotations__)
    assert found - {"model_type", "attribute_map"} <= common | set(own)
    # And no row is of a key that there isn't.
    aliases = {"out_features", "out_indices"}
    assert set(own) - aliases <= set(CONFIGS[family].__annotations__)


def test_every_key_of_a_processor_has_its_row() -> None:
    table = rows("preprocessor_config.json, or processor_config.json's image_processor")
    listed = set(keys(table, 0))
    kinds = (
        transformers.MobileViTImageProcessorPil,
        transformers.ConvNextImageProcessorPil,
        transformers.BitImageProcessorPil,
        transformers.ViTImageProcessorPil,
    )
    known = set(ImagesKwargs.__annotations__).union(*(kind.valid_kwargs.__annotations__ for kind in kinds))
    assert known <= listed
    assert listed - known == {"image_processor_type", "auto_map"}


def test_each_row_says_what_becomes_of_it() -> None:
    common, own = rows("config.json, of every family"), rows("config.json, of a family")
    processor = rows("preprocessor_config.json, or processor_config.json's image_processor")
    said = [row[1] for row in (*common, *processor)] + [row[2] for row in own]
    assert set(said) == {"reproduced", "refused", "ignored"}
    assert all(row[-1] for row in (*common, *own, *processor))
