"""Every family and head on every target: converted, verified by the kit, and held against Hugging Face once more."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mobile_kit.families import families
from mobile_kit.manifest import read_manifest
from tests.exports import Export, export
from tests.parity import assert_parity
from tests.small_families import CVT, HIERA, HUGGING_FACE, VIT_MSN, Small

NAMES = [f"{target}-{recipe}" for target in ("coreml", "executorch-xnnpack", "tflite") for recipe in ("fp32", "fp16")]


@dataclass(frozen=True)
class Case:
    """One export. changes: of the config; options: further arguments of the transformers class."""

    small: Small
    head: str
    image_size: tuple[int, int]
    outputs: str = ""
    changes: dict[str, Any] | None = None
    options: dict[str, Any] | None = None


# Also what boolean masks become. Core ML's slice_by_index is a plain slice.
FORBIDDEN = re.compile(r"sort|gather|scatter|topk|top_k|nonzero|non_zero|^index|where")
STATES = "hidden_states,attentions"
GRAY = {"num_channels": 1}
# Converters take their time by the layer, and one shows as much as four.
SHALLOW: dict[str, dict[str, Any]] = {
    "cvt": {"embed_dim": [16, 32], "num_heads": [1, 2], "depth": [1, 2], "cls_token": [False, True]},
    "hiera": {"depths": [1, 1, 1, 1]},
    "vit_msn": {"num_hidden_layers": 2},
}
CASES = {
    "cvt base": Case(CVT, "base", (64, 64), "hidden_states"),
    "cvt classification, gray": Case(CVT, "classification", (64, 64), changes=GRAY),
    "hiera backbone": Case(HIERA, "backbone", (64, 64), changes={"out_features": ["stage1", "stage3", "stage4"]}),
    "hiera base": Case(HIERA, "base", (64, 64), f"{STATES},reshaped_hidden_states"),
    "hiera classification, gray": Case(HIERA, "classification", (64, 64), changes=GRAY),
    "hiera pretraining": Case(HIERA, "pretraining", (64, 64)),
    "vit_msn base with masks": Case(VIT_MSN, "base", (32, 32), STATES, options={"use_mask_token": True}),
    "vit_msn classification, gray": Case(VIT_MSN, "classification", (32, 32), changes=GRAY),
}
SLOW_CASES = {
    f"{small.family} {head}, as in Hugging Face's tests": Case(small, head, size, changes=HUGGING_FACE[small.family])
    for small, size in ((CVT, (64, 64)), (HIERA, (64, 64)), (VIT_MSN, (30, 30)))
    for head in families()[small.family].heads
}
FULL_SIZE = [
    ("microsoft/cvt-13", "base"),
    ("microsoft/cvt-13", "classification"),
    ("facebook/hiera-tiny-224-hf", "base"),
    ("facebook/hiera-tiny-224-hf", "backbone"),
    ("facebook/hiera-tiny-224-in1k-hf", "classification"),
    ("facebook/hiera-tiny-224-mae-hf", "pretraining"),
    ("facebook/vit-msn-small", "base"),
    ("facebook/vit-msn-small", "classification"),
]
PARAMETERS = [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_CASES)]


@pytest.fixture(scope="module", params=PARAMETERS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    case = {**CASES, **SLOW_CASES}[request.param]
    shallow = SHALLOW[case.small.family] if request.param in CASES else {}
    root = tmp_path_factory.mktemp("family")
    changes = {**shallow, **(case.changes or {})}
    model = case.small.model(case.head, case.image_size, changes, **(case.options or {}))
    folder = case.small.save(model, root / case.small.family)
    outputs = ["--outputs", case.outputs] if case.outputs else []
    return export(folder, root / "out", *outputs, "--recipe", "fp32,fp16")


def test_every_file_is_verified(exported: Export) -> None:
    assert sorted(exported.records) == sorted(NAMES)
    assert {record["status"] for record in exported.records.values()} == {"passed"}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_computes_what_hugging_face_computes(exported: Export, name: str) -> None:
    assert_parity(exported, name)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_sorted_gathered_or_scattered(exported: Export, name: str) -> None:
    ops = read_manifest(exported[name]).data["graph"]["ops"]
    assert not [op for op in ops if FORBIDDEN.search(op.lower())]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head"), FULL_SIZE)
def test_full_size_models_are_verified_on_every_target(name: str, head: str, tmp_path: Path) -> None:
    exported = export(Path(name), tmp_path, "--random-weights", "--head", head, "--recipe", "fp32,fp16")
    assert sorted(exported.records) == sorted(NAMES)
    assert {record["status"] for record in exported.records.values()} == {"passed"}
