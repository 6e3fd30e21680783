"""Recipes: in what precision a file holds its weights and computes."""

from dataclasses import dataclass

from mobile_kit.errors import unknown

__all__ = ["RECIPES", "QuantRecipe", "recipe"]


@dataclass(frozen=True)
class QuantRecipe:
    """A precision scheme. Bits are those of weights and of activations between operations."""

    name: str
    scheme: str
    weight_bits: int
    activation_bits: int


RECIPES: dict[str, QuantRecipe] = {
    "fp16": QuantRecipe("fp16", "float", 16, 16),
    "fp32": QuantRecipe("fp32", "float", 32, 32),
}


def recipe(name: str) -> QuantRecipe:
    """Return a recipe by name.

    Raises: UnsupportedError with the known names.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
