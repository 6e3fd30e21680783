"""Recipes: in what precision a file holds its weights and computes.

A name decodes: `wi8` are int8 weights, `ai8` int8 activations between operations, `afp32` float ones. Weights have a
scale a channel, activations one a tensor. A `static` recipe takes the activations' ranges from calibration images, a
`dynamic` one takes them anew at each run, `weight_only` computes in float.
"""

from dataclasses import dataclass

from mobile_kit.errors import unknown

__all__ = ["ALIASES", "LEAST_SQNR_DB", "RECIPES", "QuantRecipe", "recipe"]


@dataclass(frozen=True)
class QuantRecipe:
    """A precision scheme. Bits are those of weights and of activations between operations."""

    name: str
    scheme: str
    weight_bits: int
    activation_bits: int

    @property
    def quantized(self) -> bool:
        """Whether its weights are integers."""
        return self.weight_bits <= 8

    @property
    def calibrated(self) -> bool:
        """Whether it takes the ranges of activations from calibration images."""
        return self.activation_bits == 8


RECIPES: dict[str, QuantRecipe] = {
    recipe.name: recipe
    for recipe in (
        QuantRecipe("fp32", "float", 32, 32),
        QuantRecipe("fp16", "float", 16, 16),
        QuantRecipe("weight_only_wi8_afp32", "int8 weights", 8, 32),
        QuantRecipe("dynamic_wi8_afp32", "int8 weights, activations scaled at each run", 8, 32),
        QuantRecipe("static_wi8_ai8", "int8 weights and activations", 8, 8),
    )
}
ALIASES = {
    "int8": "static_wi8_ai8",
    "int8-dynamic": "dynamic_wi8_afp32",
    "int8-weight": "weight_only_wi8_afp32",
}
# What a file must keep of the checkpoint's outputs where nothing else is asked for: decibels of signal over noise.
LEAST_SQNR_DB = {"dynamic_wi8_afp32": 30.0, "static_wi8_ai8": 20.0, "weight_only_wi8_afp32": 30.0}


def recipe(name: str) -> QuantRecipe:
    """Return a recipe by name or alias.

    Raises: UnsupportedError with the known names.
    """
    known = ALIASES.get(name, name)
    if known not in RECIPES:
        raise unknown("recipe", name, [*RECIPES, *ALIASES])
    return RECIPES[known]
