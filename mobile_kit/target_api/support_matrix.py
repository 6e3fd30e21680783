"""What the kit can do: families, heads, targets, recipes and known checkpoints, from the registries."""

from typing import Any

from mobile_kit.models.family import broken_families, families
from mobile_kit.models.outputs import known_outputs
from mobile_kit.quantization.recipes import ALIASES, RECIPES
from mobile_kit.target_api.interface import Target, refusal
from mobile_kit.target_api.registry import broken_targets, targets

__all__ = ["listing", "to_markdown"]


def listing() -> dict[str, Any]:
    """Return everything that can be asked for, as JSON values."""
    return {
        "families": {
            name: {
                "heads": {
                    head.name: {"architecture": head.architecture, "outputs": list(known_outputs(head))}
                    for head in member.heads.values()
                },
                "known_checkpoints": [known.name for known in member.known()],
            }
            for name, member in families().items()
        },
        "targets": {
            name: {
                "file": target.model_file,
                "backends": list(target.backends),
                "deployment_targets": {
                    backend: list(target.deployment_targets(backend or None)) for backend in target.backends or ("",)
                },
                "recipes": {backend: served(target, backend) for backend in target.backends or ("",)},
            }
            for name, target in targets().items()
        },
        "recipes": list(RECIPES),
        "aliases": dict(ALIASES),
        "broken": [broken.reason for broken in broken_families()] + list(broken_targets().values()),
    }


def served(target: Target, backend: str) -> list[str]:
    """Return the recipes that a target serves with a backend."""
    return [name for name, recipe in RECIPES.items() if refusal(target, recipe, backend or None) is None]


def to_markdown() -> str:
    """Return the support matrix: the recipes of each target and backend, and the families' heads, which all take."""
    columns = [(target, backend) for target in targets().values() for backend in target.backends or ("",)]
    titles = [f"{target.name} ({backend})" if backend else target.name for target, backend in columns]
    lines = ["| recipe | " + " | ".join(titles) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in RECIPES:
        cells = ("yes" if name in served(target, backend) else "" for target, backend in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| family | heads, each for every target and recipe |", "|---|---|"]
    lines += [f"| {member.name} | {', '.join(member.heads)} |" for member in families().values()]
    return "\n".join(lines) + "\n"
