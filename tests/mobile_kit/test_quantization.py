import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.quantization import ALIASES, LEAST_SQNR_DB, RECIPES, QuantRecipe, recipe


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
    assert name.endswith("ai8" if found.activation_bits == 8 else "afp32")
    assert found.calibrated == name.startswith("static")


def test_every_quantized_recipe_has_a_bound() -> None:
    assert set(LEAST_SQNR_DB) == {name for name, found in RECIPES.items() if found.quantized}


@pytest.mark.parametrize("name", ["int3", "", "FP32", "fp32 "])
def test_an_unknown_recipe_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        recipe(name)
    assert str(caught.value) == f"recipe {name!r}: unknown. Known: {', '.join(sorted([*RECIPES, *ALIASES]))}."
