"""What each part of a network costs in int8, and the fastest set of parts in int8 that keeps what is asked."""

import json
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_kit.errors import UnsupportedError
from mobile_kit.measurements import metrics
from mobile_kit.models.spec import DISCRETE, TensorSpec
from mobile_kit.quantization.parts import FIRST, KINDS, LAYERS, OTHER, Part, Work
from mobile_kit.quantization.recipes import Wanted
from mobile_kit.target_api.interface import Array, Calibrated, FloatPart

__all__ = [
    "EVERYTHING",
    "Kept",
    "Measurements",
    "Mixed",
    "PartCost",
    "find_mixed",
    "part_costs",
    "read_costs",
    "write_costs",
]

# The work that int8 saves on a value that is added or activated, in multiply-accumulates: memory against arithmetic.
VALUE_MACS = 32
# A mixed recipe's promise: the part of the multiply-accumulates of convolutions and linear layers that stays in int8.
LEAST_INT8 = 0.9
# What the sum of the parts' noise may be off by.
SLACK_DB = 1.0
EVERYTHING = "everything"
NOTHING_DB = -300.0


@dataclass(frozen=True)
class Kept:
    """What is left of the float outputs: the least decibels of signal over noise, and the part of decisions that stay.

    A decision is an image's best class, or a pixel's. sqnr_db: infinite where nothing is lost, or where all outputs are
    class maps. agreement: null where the head decides nothing.
    """

    sqnr_db: float
    agreement: float | None

    def __str__(self) -> str:
        agreement = [] if self.agreement is None else [f"an agreement of {self.agreement:.4f}"]
        return " and ".join(([f"{self.sqnr_db:.1f} dB"] if math.isfinite(self.sqnr_db) else []) + agreement)

    @property
    def noise(self) -> float:
        """Its noise, of a signal of 1; of class maps, the part of the decisions that change."""
        if math.isfinite(self.sqnr_db) or self.agreement is None:
            return float(10 ** (-self.sqnr_db / 10))
        return 1 - self.agreement

    def to_json(self) -> dict[str, float | None]:
        """Return it as JSON values, which have no word for infinite decibels: null."""
        return {"sqnr_db": self.sqnr_db if math.isfinite(self.sqnr_db) else None, "agreement": self.agreement}

    def meets(self, wanted: Wanted) -> bool:
        """Whether that is enough."""
        return wanted.met_by(self.sqnr_db, self.agreement)


class Measurements:
    """What sets of parts in int8 keep, each measured once and kept in a file, so that a stopped search goes on.

    outputs: what is judged. identity: of everything that the figures depend on. show: told what is measured next.
    """

    def __init__(
        self,
        calibrated: Calibrated,
        samples: Sequence[Mapping[str, Array]],
        outputs: Sequence[TensorSpec],
        path: Path,
        identity: str,
        show: Callable[[str], None],
    ) -> None:
        self.parts, self.static = calibrated.parts, calibrated.static
        self._calibrated, self._samples, self._outputs, self._show = calibrated, samples, outputs, show
        self._path, self._identity = path, identity
        self._found = self._stored()
        self._reference: Mapping[str, Array] | None = None

    def only(self, name: str) -> Kept:
        """Return what is kept with one part in int8 alone."""
        chosen = {part for part in self.parts if part.among([name])}
        # A kind that no static recipe computes in int8 is measured as such; elsewhere only what one does.
        return self._kept(f"only {name}", chosen & self.static or chosen)

    def without(self, names: Iterable[str]) -> Kept:
        """Return what is kept with all that a static recipe computes in int8, but for some parts."""
        left = sorted(names)
        return self._kept(f"without {', '.join(left)}" if left else EVERYTHING, self.int8(left))

    def int8(self, left: Collection[str]) -> frozenset[Part]:
        """Return what is in int8 where some parts aren't."""
        return frozenset(part for part in self.static if not part.among(left))

    def _kept(self, key: str, int8: Collection[Part]) -> Kept:
        if key not in self._found:
            self._show(f"int8: {key}")
            if self._reference is None:
                self._reference = self._run(())
            self._found[key] = _kept(self._outputs, self._run(int8), self._reference)
            self._store()
        return self._found[key]

    def _run(self, int8: Collection[Part]) -> Mapping[str, Array]:
        found: dict[str, list[Array]] = {spec.name: [] for spec in self._outputs}
        for results in self._calibrated.run(int8, self._samples):
            for name, values in found.items():
                values.append(np.array(results[name]))
        return {name: np.concatenate(values) for name, values in found.items()}

    def _stored(self) -> dict[str, Kept]:
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            kept = {key: _kept_of(stored) for key, stored in record["kept"].items()}
            return kept if record["identity"] == self._identity else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _store(self) -> None:
        kept = {key: kept.to_json() for key, kept in self._found.items()}
        _write(self._path, {"identity": self._identity, "kept": kept})


@dataclass(frozen=True)
class PartCost:
    """What a part costs where it alone is in int8.

    static: whether a static recipe computes any of it in int8. kept: null where the target can't compute it so.
    macs: its part of the multiply-accumulates of all convolutions and linear layers.
    """

    part: str
    static: bool
    macs: float
    kept: Kept | None


def part_costs(measured: Measurements, work: Mapping[Part, Work]) -> list[PartCost]:
    """Measure each kind, each block, and the first and last layer alone."""
    known = {*measured.parts, *work}
    kinds = [kind for kind in KINDS if kind != "always float" and any(part.kind == kind for part in known)]
    ends = sorted({part.end for part in known if part.end})
    blocks = sorted({part.block for part in known if part.block}, key=_natural)
    total = sum(each.macs for each in work.values())
    measured.without(())
    costs = []
    for name in (*kinds, *ends, *blocks):
        can = any(part.among([name]) for part in measured.parts)
        macs = sum(each.macs for part, each in work.items() if part.among([name])) / total
        static = any(part.among([name]) for part in measured.static)
        costs.append(PartCost(name, static, macs, measured.only(name) if can else None))
    return costs


@dataclass(frozen=True)
class Mixed:
    """A choice of parts: those left in float with their cost, what the rest keeps, and its part of the layers' work."""

    float_parts: tuple[FloatPart, ...]
    kept: Kept
    int8_macs: float


def write_costs(costs: Sequence[PartCost], everything: Kept, path: Path) -> None:
    """Write a table of parts; everything: what is kept with all in int8 that a static recipe computes so."""
    parts = [{**asdict(cost), "kept": cost.kept and cost.kept.to_json()} for cost in costs]
    _write(path, {EVERYTHING: everything.to_json(), "parts": parts})


def read_costs(path: Path) -> tuple[list[PartCost], Kept]:
    """Read what `write_costs` wrote."""
    record = json.loads(path.read_text(encoding="utf-8"))
    costs = [PartCost(**{**cost, "kept": cost["kept"] and _kept_of(cost["kept"])}) for cost in record["parts"]]
    return costs, _kept_of(record[EVERYTHING])


def find_mixed(measured: Measurements, work: Mapping[Part, Work], wanted: Wanted) -> Mixed:
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

    def __init__(self, measured: Measurements, work: Mapping[Part, Work], wanted: Wanted) -> None:
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


def _mixed(measured: Measurements, work: Mapping[Part, Work], left: list[str]) -> Mixed:
    kept = measured.without(left)
    counted = math.isfinite(kept.sqnr_db)
    costs = (10 * math.log10(1 + measured.only(name).noise / kept.noise) if counted else None for name in left)
    parts = tuple(
        FloatPart(name, None if cost is None else round(cost, 2)) for name, cost in zip(left, costs, strict=True)
    )
    return Mixed(parts, kept, _int8_macs(measured, work, left))


def _int8_macs(measured: Measurements, work: Mapping[Part, Work], left: Collection[str]) -> float:
    int8 = measured.int8(left)
    return sum(each.macs for part, each in work.items() if part in int8) / sum(each.macs for each in work.values())


def _kept(outputs: Sequence[TensorSpec], got: Mapping[str, Array], want: Mapping[str, Array]) -> Kept:
    found = [metrics.sqnr_db(got[spec.name], want[spec.name]) for spec in outputs if spec.meaning not in DISCRETE]
    # Where an output isn't a number, nothing of it is left.
    decibels = min((NOTHING_DB if math.isnan(each) else each for each in found), default=math.inf)
    decided = [spec for spec in outputs if spec.meaning in {"logits", "mask"}]
    agreements = [_agreement(spec, got[spec.name], want[spec.name]) for spec in decided]
    return Kept(decibels, min(agreements) if agreements else None)


def _agreement(spec: TensorSpec, got: Array, want: Array) -> float:
    if spec.meaning == "mask":
        return metrics.pixel_agreement(got, want)
    axis = 3 if spec.layout == "NHWK" else 1
    return metrics.pixel_agreement(got.argmax(axis), want.argmax(axis))


def _listed(mixed: Mixed) -> str:
    return ", ".join(part.part for part in mixed.float_parts) or "nothing"


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what orders stages.2 before stages.10."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in name.split(".")]


def _write(path: Path, content: Any) -> None:
    """Write a JSON file that is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}-{os.getpid()}")
    new.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(new, path)


def _kept_of(record: Mapping[str, Any]) -> Kept:
    return Kept(math.inf if record["sqnr_db"] is None else float(record["sqnr_db"]), record["agreement"])
