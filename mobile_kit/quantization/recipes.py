"""Recipes: in what precision a file holds its weights and computes.

A name decodes: `wi8` are int8 weights, `ai8` int8 activations between operations, `afp32` float ones. Weights have a
scale a channel, activations one a tensor. A `static` recipe takes the activations' ranges from calibration images, a
`dynamic` one takes them anew at each run, `weight_only` computes in float. `mixed` leaves so much in float as it takes
to keep what is asked.
"""

from dataclasses import dataclass

from mobile_kit.errors import unknown

__all__ = ["ALIASES", "LEAST_SQNR_DB", "NOTHING_ASKED", "RECIPES", "QualityTarget", "QuantRecipe", "recipe"]


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

    @property
    def mixed(self) -> bool:
        """Whether a search decides what of it is computed in float."""
        return self.name.endswith("_mixed")


RECIPES: dict[str, QuantRecipe] = {
    recipe.name: recipe
    for recipe in (
        QuantRecipe("fp32", "float", 32, 32),
        QuantRecipe("fp16", "float", 16, 16),
        QuantRecipe("weight_only_wi8_afp32", "int8 weights", 8, 32),
        QuantRecipe("weight_only_wi4_afp32", "4-bit weights", 4, 32),
        QuantRecipe("dynamic_wi8_afp32", "int8 weights, activations scaled at each run", 8, 32),
        QuantRecipe("static_wi8_ai8", "int8 weights and activations", 8, 8),
        QuantRecipe("static_wi8_ai8_mixed", "int8 weights and activations, sensitive parts in float", 8, 8),
    )
}
ALIASES = {
    "int8": "static_wi8_ai8_mixed",
    "int8-dynamic": "dynamic_wi8_afp32",
    "int8-weight": "weight_only_wi8_afp32",
}
# What a file must keep of the checkpoint's outputs where nothing else is asked for: decibels of signal over noise.
LEAST_SQNR_DB = {
    "dynamic_wi8_afp32": 30.0,
    "static_wi8_ai8": 20.0,
    "static_wi8_ai8_mixed": 25.0,
    "weight_only_wi4_afp32": 15.0,
    "weight_only_wi8_afp32": 30.0,
}


@dataclass(frozen=True)
class QualityTarget:
    """What a quantized file must keep of the checkpoint's outputs, None for what isn't asked.

    sqnr_db: decibels of signal over noise. agreement: the part of the decisions that stay: an image's best class, each
    of its labels, or a pixel's class.
    """

    sqnr_db: float | None = None
    agreement: float | None = None

    def by(self, recipe: QuantRecipe) -> "QualityTarget":
        """Return what a recipe's files must keep: what is asked, or the recipe's own bound where nothing is."""
        return QualityTarget(LEAST_SQNR_DB[recipe.name]) if self == NOTHING_ASKED else self

    def met_by(self, sqnr_db: float, agreement: float | None) -> bool:
        """Whether that is kept. agreement: None where nothing is decided."""
        enough = self.sqnr_db is None or sqnr_db >= self.sqnr_db
        return enough and (self.agreement is None or (agreement is not None and agreement >= self.agreement))

    def __str__(self) -> str:
        decibels = [] if self.sqnr_db is None else [f"SQNR >= {self.sqnr_db:.1f} dB"]
        return " and ".join(decibels + ([] if self.agreement is None else [f"agreement >= {self.agreement:.4f}"]))


NOTHING_ASKED = QualityTarget()
# What others call them.
MEANT = {
    "dynamic": ("dynamic_wi8_afp32",),
    "float16": ("fp16",),
    "float32": ("fp32",),
    "half": ("fp16",),
    "int4": ("weight_only_wi4_afp32",),
    "static": ("static_wi8_ai8", "int8"),
    "w4": ("weight_only_wi4_afp32",),
    "w8": ("weight_only_wi8_afp32",),
    "w8a8": ("static_wi8_ai8", "int8"),
    "weight_only": ("weight_only_wi8_afp32",),
}


def recipe(name: str) -> QuantRecipe:
    """Return a recipe by name or alias.

    Raises: UnsupportedError with the known names.
    """
    known = ALIASES.get(name, name)
    if known not in RECIPES:
        raise unknown("recipe", name, [*RECIPES, *ALIASES], MEANT.get(name.lower(), ()))
    return RECIPES[known]
