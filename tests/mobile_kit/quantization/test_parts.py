import pytest

from mobile_kit.models.family import families
from mobile_kit.models.spec import CommonModel
from mobile_kit.quantization.parts import FIRST, KINDS, LAST, Part, parts_of
from tests.small_families import CVT, HIERA, VIT_MSN, Small

FAMILIES = {small.family: small for small in (CVT, HIERA, VIT_MSN)}


def model(small: Small) -> CommonModel:
    return families()[small.family].build(small.model("classification", (64, 64), {}), "classification", (64, 64), ())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_module_has_a_kind_and_the_ends_are_known(family: str) -> None:
    ours = model(FAMILIES[family])
    parts = parts_of(ours)
    assert parts.keys() == dict(ours.named_modules()).keys()
    kinds = {part.kind for part in parts.values()}
    assert kinds <= set(KINDS)
    assert {"convolutions", "linear layers", "norms", "softmax", "residual adds", "attention products"} <= kinds
    ends = {part.end: path for path, part in parts.items() if part.end}
    assert set(ends) == {FIRST, LAST}
    assert ours.get_submodule(ends[FIRST]) is ours.stem
    assert "classifier" in ends[LAST] or "read" in ends[LAST]


def test_a_part_has_names_from_wide_to_narrow() -> None:
    part = parts_of(model(VIT_MSN))["layers.1.mlp.expand"]
    assert part == Part("linear layers", "layers.1")
    assert part.names == ("linear layers", "layers.1", "linear layers of layers.1")
    assert part.among(["norms", "layers.1"])
    assert not part.among(["layers.10", "norms"])


def test_what_is_within_a_kind_is_of_it() -> None:
    parts = parts_of(model(CVT))
    norms = [path for path, part in parts.items() if part.kind == "norms"]
    assert any(".norm.norm" in path for path in norms)
    softmaxes = {part.kind for path, part in parts.items() if path.endswith("attend.softmax")}
    assert softmaxes == {"softmax"}
