"""How targets are found, and what can be asked of them."""

from importlib.util import find_spec

from mobile_kit.errors import MissingToolError, UnsupportedError, unknown
from mobile_kit.plugins import Plugin, plugins
from mobile_kit.quantization.recipes import RECIPES, QuantRecipe
from mobile_kit.target_api.interface import Target, refusal

__all__ = [
    "GROUP",
    "broken_targets",
    "check_installed",
    "check_request",
    "find_target",
    "install_command",
    "installed_targets",
    "missing_modules",
    "target_names",
    "targets",
]

GROUP = "mobile_kit.targets"


def target_names() -> tuple[str, ...]:
    """Return the names of all targets, those that can't be imported among them."""
    return tuple(_plugins())


def targets() -> dict[str, Target]:
    """Return all targets by name, but for those of `broken_targets`. Importing one doesn't import its toolchain."""
    return _found()[0]


def broken_targets() -> dict[str, str]:
    """Return why targets of installed packages can't be used, by name: an error's text, one line each."""
    return _found()[1]


def find_target(name: str) -> Target:
    """Return a target by name; no other is imported.

    Raises: UnsupportedError with the known names, or for a package that can't be imported.
    """
    known = _plugins()
    if name not in known:
        # A platform, whose apps some targets' files are for.
        apps = {
            each: [target.apps(backend) for backend in target.backends or (None,)] for each, target in targets().items()
        }
        raise unknown("target", name, known, [each for each, platforms in apps.items() if name in sum(platforms, ())])
    return _loaded(name, known[name])


def _plugins() -> dict[str, list[Plugin]]:
    """Return what is registered by name; installed packages are searched once."""
    found: dict[str, list[Plugin]] = {}
    for plugin in plugins(GROUP):
        found.setdefault(plugin.name, []).append(plugin)
    return found


def _found() -> tuple[dict[str, Target], dict[str, str]]:
    good, broken = dict[str, Target](), dict[str, str]()
    for name, found in _plugins().items():
        try:
            good[name] = _loaded(name, found)
        except UnsupportedError as exc:
            broken[name] = str(exc)
    return good, broken


def _loaded(name: str, found: list[Plugin]) -> Target:
    if len(found) > 1:
        packages = " and ".join(plugin.package for plugin in found)
        raise UnsupportedError(f"target {name!r}: is of {packages} at once. Uninstall all but one of them.")
    return found[0].load("target", Target)  # type: ignore[type-abstract]


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
