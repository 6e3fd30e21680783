import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.quantization.recipes import ALIASES, LEAST_SQNR_DB, RECIPES, QualityTarget, QuantRecipe, recipe


def test_recipes_are_found_by_their_names() -> None:
    assert {name: recipe(name).name for name in RECIPES} == {name: name for name in RECIPES}
    assert recipe("fp32") == QuantRecipe("fp32", "float", 32, 32)
    assert recipe("fp16") == QuantRecipe("fp16", "float", 16, 16)


def test_an_alias_is_another_name_of_a_recipe() -> None:
    assert {alias: recipe(alias).name for alias in ALIASES} == ALIASES
    assert recipe("int8-weight").name == "weight_only_wi8_afp32"


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_says_what_the_recipe_is(name: str) -> None:
    found = recipe(name)
    if not found.quantized:
        assert (found.weight_bits, found.activation_bits) == (int(name[2:]),) * 2
        return
    assert f"wi{found.weight_bits}" in name
    assert ("ai8" if found.activation_bits == 8 else "afp32") in name.split("_")
    assert found.mixed == name.endswith("_mixed")
    assert found.calibrated == name.startswith("static")


def test_every_quantized_recipe_has_a_bound() -> None:
    assert set(LEAST_SQNR_DB) == {name for name, found in RECIPES.items() if found.quantized}


def test_what_is_asked_replaces_a_recipe_s_own_bound() -> None:
    mixed = recipe("int8")
    assert QualityTarget().by(mixed) == QualityTarget(25.0)
    assert QualityTarget(40.0).by(mixed) == QualityTarget(40.0)
    # Who asks for decisions alone isn't held to decibels.
    assert QualityTarget(None, 0.99).by(mixed) == QualityTarget(None, 0.99)


@pytest.mark.parametrize(
    ("wanted", "sqnr_db", "agreement", "met"),
    [
        (QualityTarget(25.0), 25.0, None, True),
        (QualityTarget(25.0), 24.9, 1.0, False),
        (QualityTarget(None, 0.98), -3.0, 0.98, True),
        (QualityTarget(None, 0.98), 60.0, 0.97, False),
        (QualityTarget(None, 0.98), 60.0, None, False),
        (QualityTarget(25.0, 0.98), 26.0, 0.97, False),
        (QualityTarget(), -9.0, None, True),
    ],
)
def test_what_is_wanted_is_met_or_not(
    wanted: QualityTarget, sqnr_db: float, agreement: float | None, met: bool
) -> None:
    assert wanted.met_by(sqnr_db, agreement) == met


@pytest.mark.parametrize("name", ["int3", "", "FP32", "fp32 "])
def test_an_unknown_recipe_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        recipe(name)
    assert str(caught.value) == f"recipe {name!r}: unknown. Known: {', '.join(sorted([*RECIPES, *ALIASES]))}."


@pytest.mark.parametrize(
    ("name", "meant"),
    [("int4", "weight_only_wi4_afp32"), ("float16", "fp16"), ("w8a8", "static_wi8_ai8 or int8")],
)
def test_what_others_call_a_recipe_is_understood(name: str, meant: str) -> None:
    with pytest.raises(UnsupportedError, match=f"Is {meant} meant"):
        recipe(name)
