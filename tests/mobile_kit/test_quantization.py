import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.quantization import RECIPES, QuantRecipe, recipe


def test_recipes_are_found_by_their_names() -> None:
    assert {name: recipe(name).name for name in RECIPES} == {name: name for name in RECIPES}
    assert recipe("fp32") == QuantRecipe("fp32", "float", 32, 32)
    assert recipe("fp16") == QuantRecipe("fp16", "float", 16, 16)


def test_the_registry_is_sorted() -> None:
    assert list(RECIPES) == sorted(RECIPES)


@pytest.mark.parametrize("name", ["int3", "", "FP32", "fp32 "])
def test_an_unknown_recipe_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        recipe(name)
    assert str(caught.value) == f"recipe {name!r}: unknown. Known: {', '.join(sorted(RECIPES))}."
