"""The fastest set of parts in int8 that keeps what is asked."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mobile_kit.errors import UnsupportedError
from mobile_kit.quantization.part_costs import LEAST_INT8, SLACK_DB, VALUE_MACS, Fidelity, PartMeasurements
from mobile_kit.quantization.parts import FIRST, LAYERS, OTHER, FloatPart, Part, Work
from mobile_kit.quantization.recipes import QualityTarget

__all__ = ["MixedChoice", "find_mixed"]


@dataclass(frozen=True)
class MixedChoice:
    """A choice of parts: those left in float with their cost, what the rest keeps, and its part of the layers' work."""

    float_parts: tuple[FloatPart, ...]
    kept: Fidelity
    int8_macs: float


def find_mixed(measured: PartMeasurements, work: Mapping[Part, Work], wanted: QualityTarget) -> MixedChoice:
    """Return the fastest set found that keeps what is wanted.

    The parts that make most noise for the work they save leave int8 one after the other, until the measured rest keeps
    enough; then those come back that needn't have left, the most work first. What sets keep is predicted by the sum of
    their parts' noise, and measured where that says that it may do.
    Raises: UnsupportedError with the best found, where too little would be left in int8.
    """
    if measured.without(()).meets(wanted):
        return _mixed(measured, work, [])
    search = _Search(measured, work, wanted)
    if not search.leave():
        best = _mixed(measured, work, search.best)
        raise UnsupportedError(
            f"recipe 'static_wi8_ai8_mixed': {wanted} can't be kept with {LEAST_INT8:.0%} of the layers' work in int8. "
            f"The best found keeps {best.kept} with {_listed(best)} in float. Ask for less with "
            "--min-sqnr or --min-agreement, or take another recipe."
        )
    search.return_needless()
    return _mixed(measured, work, search.left)


class _Search:
    """The parts that have left int8 so far, by name, and the set that kept most."""

    def __init__(self, measured: PartMeasurements, work: Mapping[Part, Work], wanted: QualityTarget) -> None:
        self._measured, self._work, self._wanted = measured, work, wanted
        self.left: list[str] = []
        self.best: list[str] = []
        # What reads the image stays, so that it comes in as bytes: the first layer, and what may stand before it.
        small = sorted({part.kind for part in measured.static if part.kind not in {*LAYERS, OTHER}})
        # Most often the layers can stay, and need no measuring.
        rest = measured.without(small)
        enough = rest.meets(wanted)
        layers = sorted({part.names[-1] for part in measured.static if part.kind in LAYERS and part.end != FIRST})
        self._units = small if enough else [*small, *layers]
        self._noise = {name: measured.only(name).noise for name in self._units}
        never = [name for name in (FIRST, OTHER) if any(part.among([name]) for part in measured.static)]
        self._staying = rest.noise if enough else sum(measured.only(name).noise for name in never)

    def leave(self) -> bool:
        """Let parts leave until enough is kept; tell whether it is."""
        for name in sorted(self._units, key=lambda n: self._noise[n] / self._cost(n), reverse=True):
            if _int8_macs(self._measured, self._work, [*self.left, name]) < LEAST_INT8:
                continue
            self.left.append(name)
            if self._may_do(self.left) and self._does(self.left):
                return True
        return not self._may_do(self.left) and self._does(self.left)

    def return_needless(self) -> None:
        """Let those come back without which enough is kept too."""
        for name in sorted(self.left, key=self._cost, reverse=True):
            rest = [other for other in self.left if other != name]
            if self._may_do(rest) and self._does(rest):
                self.left = rest

    def _does(self, left: list[str]) -> bool:
        kept = self._measured.without(left)
        best = self._measured.without(self.best)
        by_decisions = self._wanted.sqnr_db is None
        if (kept.agreement or 0) > (best.agreement or 0) if by_decisions else kept.sqnr_db > best.sqnr_db:
            self.best = list(left)
        return kept.meets(self._wanted)

    def _may_do(self, left: list[str]) -> bool:
        """Whether the sum of what is left of the noise says that a set may keep enough."""
        if self._wanted.sqnr_db is None:
            return True
        noise = self._staying + sum(noise for name, noise in self._noise.items() if name not in left)
        return noise <= 10 ** ((SLACK_DB - self._wanted.sqnr_db) / 10)

    def _cost(self, name: str) -> float:
        found = [each for part, each in self._work.items() if part in self._measured.static and part.among([name])]
        return max(sum(each.macs + VALUE_MACS * each.values for each in found), 1)


def _mixed(measured: PartMeasurements, work: Mapping[Part, Work], left: list[str]) -> MixedChoice:
    kept = measured.without(left)
    counted = math.isfinite(kept.sqnr_db)
    costs = (10 * math.log10(1 + measured.only(name).noise / kept.noise) if counted else None for name in left)
    parts = tuple(
        FloatPart(name, None if cost is None else round(cost, 2)) for name, cost in zip(left, costs, strict=True)
    )
    return MixedChoice(parts, kept, _int8_macs(measured, work, left))


def _int8_macs(measured: PartMeasurements, work: Mapping[Part, Work], left: Collection[str]) -> float:
    int8 = measured.int8(left)
    return sum(each.macs for part, each in work.items() if part in int8) / sum(each.macs for each in work.values())


def _listed(mixed: MixedChoice) -> str:
    return ", ".join(part.part for part in mixed.float_parts) or "nothing"
