"""What is to be exported, checked before any work."""

from collections.abc import Iterable
from typing import NamedTuple

from mobile_kit.errors import UnsupportedError
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.quantization.calibration import LEAST_IMAGES
from mobile_kit.quantization.recipes import QuantRecipe, recipe
from mobile_kit.target_api.interface import Target
from mobile_kit.target_api.registry import check_installed, check_request, find_target, installed_targets

__all__ = ["Choice", "plan"]


class Choice(NamedTuple):
    """One file to make."""

    target: Target
    recipe: QuantRecipe
    backend: str | None
    deployment_target: str | None

    @property
    def place(self) -> str:
        """The target, with its backend where it has several."""
        return f"{self.target.name}-{self.backend}" if self.backend else self.target.name

    @property
    def name(self) -> str:
        """Of the artifact."""
        return f"{self.place}-{self.recipe.name}"


def plan(options: ExportOptions) -> list[Choice]:
    """Check everything that can be checked before any work."""
    if options.calibration is not None and options.calibration_samples < LEAST_IMAGES:
        raise UnsupportedError(
            f"--calibration-samples {options.calibration_samples}: fewer than {LEAST_IMAGES} say little. "
            "Give more, or leave it out."
        )
    if options.judge_on is not None and options.judge_on == options.calibration:
        raise UnsupportedError(
            f"--judge-on {options.judge_on}: is the --calibration folder. Leave it out, as some images are held out."
        )
    chosen = [find_target(name) for name in options.targets or installed_targets()]
    for target in chosen:
        check_installed(target)
    # A choice that only some targets offer is theirs; where none offers it, it is refused.
    backends = [(target, _own(options.backend, target.backends, [t.backends for t in chosen])) for target in chosen]
    systems = [target.deployment_targets(backend) for target, backend in backends]
    plan = []
    for (target, backend), offered in zip(backends, systems, strict=True):
        system = _own(options.deployment_target, offered, systems)
        # An alias may stand beside what it means.
        for used in dict.fromkeys(recipe(name) for name in options.recipes):
            check_request(target, used, backend, system)
            _check_calibration(options, used)
            plan.append(Choice(target, used, backend, system))
    return plan


def _check_calibration(options: ExportOptions, used: QuantRecipe) -> None:
    if used.calibrated and options.calibration is None:
        raise UnsupportedError(
            f"recipe {used.name!r}: measures the activations' ranges on images, and none were given. Add --calibration "
            f"with a folder of at least {LEAST_IMAGES}, better 100, such as the app will see."
        )


def _own(asked: str | None, offered: tuple[str, ...], everywhere: Iterable[tuple[str, ...]]) -> str | None:
    """Return a target's part of a choice: what was asked, its default, or nothing where it has no such choice."""
    if not offered:
        return None if any(everywhere) else asked
    return asked or offered[0]
