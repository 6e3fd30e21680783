"""How targets are found, and what can be asked of them."""

from importlib import metadata
from importlib.util import find_spec

from mobile_kit.errors import MissingToolError, UnsupportedError, unknown
from mobile_kit.quantization.recipes import RECIPES, QuantRecipe
from mobile_kit.target_api.interface import Target, refusal

__all__ = [
    "GROUP",
    "check_installed",
    "check_request",
    "find_target",
    "install_command",
    "installed_targets",
    "missing_modules",
    "targets",
]

GROUP = "mobile_kit.targets"


def targets() -> dict[str, Target]:
    """Return all targets by name. Importing a target doesn't import its toolchain."""
    return {entry.name: entry.load() for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: e.name)}


def find_target(name: str) -> Target:
    """Return a target by name.

    Raises: UnsupportedError with the known names.
    """
    found = targets()
    if name not in found:
        raise unknown("target", name, found)
    return found[name]


def missing_modules(target: Target) -> list[str]:
    """Return the modules that a target needs and that aren't installed."""
    return [module for module in target.modules if find_spec(module) is None]


def installed_targets() -> tuple[str, ...]:
    """Return the names of the targets whose toolchain is installed.

    Raises: MissingToolError where none is.
    """
    names = tuple(name for name, target in targets().items() if not missing_modules(target))
    if not names:
        raise MissingToolError("targets: no toolchain is installed. Run: pip install 'mobile-kit[all]'")
    return names


def install_command(target: Target) -> str:
    """Return the command that brings a target's toolchain."""
    return f"pip install 'mobile-kit[{target.extra}]'"


def check_installed(target: Target) -> None:
    """Raise MissingToolError where a package that the target needs isn't installed."""
    missing = missing_modules(target)
    if missing:
        raise MissingToolError(
            f"target {target.name!r}: needs {', '.join(missing)}, which isn't installed. Run: {install_command(target)}"
        )


def check_request(target: Target, recipe: QuantRecipe, backend: str | None, deployment_target: str | None) -> None:
    """Raise UnsupportedError for a backend, deployment target or recipe that the target can't serve."""
    if backend is not None and backend not in target.backends:
        known = ", ".join(target.backends) or "none, so leave --backend out"
        raise UnsupportedError(f"backend {backend!r}: not one of target {target.name!r}. Known: {known}.")
    place = f"target {target.name!r}{f' with {backend}' if backend else ''}"
    system = f" for {deployment_target}" if deployment_target else ""
    systems = target.deployment_targets(backend)
    if deployment_target is not None and deployment_target not in systems:
        known = ", ".join(systems) or "none, so leave --deployment-target out"
        raise UnsupportedError(f"deployment target {deployment_target!r}: not one of {place}. Known: {known}.")
    reason = refusal(target, recipe, backend, deployment_target)
    if reason is not None:
        served = (name for name in target.recipes if target.refusal(RECIPES[name], backend, deployment_target) is None)
        raise UnsupportedError(f"recipe {recipe.name!r} for {place}{system}: {reason}. Known: {', '.join(served)}.")
