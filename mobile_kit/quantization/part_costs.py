"""What each part of a network costs in int8, and the fastest set of parts in int8 that keeps what is asked."""

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mobile_kit.measurements import metrics
from mobile_kit.models.spec import DISCRETE, Array, TensorSpec
from mobile_kit.quantization.parts import KINDS, Part, Work
from mobile_kit.quantization.recipes import QualityTarget
from mobile_kit.reading import read_json_object
from mobile_kit.records import finite
from mobile_kit.whole_file import write_whole

__all__ = ["EVERYTHING", "Fidelity", "PartCost", "PartMeasurements", "part_costs", "read_costs", "write_costs"]

# The work that int8 saves on a value that is added or activated, in multiply-accumulates: memory against arithmetic.
VALUE_MACS = 32
# A mixed recipe's promise: the part of the multiply-accumulates of convolutions and linear layers that stays in int8.
LEAST_INT8 = 0.9
# What the sum of the parts' noise may be off by.
SLACK_DB = 1.0
EVERYTHING = "everything"
NOTHING_DB = -300.0


class CalibratedParts(Protocol):
    """A model whose activations have been measured, and of which any parts can be computed in int8.

    `parts` are those that can be, `static` those of them that a static recipe computes so: the others would be slow.
    """

    parts: frozenset[Part]
    static: frozenset[Part]

    def run(self, int8: Collection[Part], samples: Sequence[Mapping[str, Array]]) -> Iterator[Mapping[str, Array]]:
        """Compute the outputs by name with some parts in int8, as the file would, one mapping a sample."""
        ...


@dataclass(frozen=True)
class Fidelity:
    """What is left of the float outputs: the least decibels of signal over noise, and the part of decisions that stay.

    A decision is an image's best class, each of its labels, or a pixel's class. sqnr_db: infinite where nothing is
    lost, or where all outputs are class maps. agreement: None where the head decides nothing.
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
        return {"sqnr_db": finite(self.sqnr_db), "agreement": self.agreement}

    def meets(self, wanted: QualityTarget) -> bool:
        """Whether that is enough."""
        return wanted.met_by(self.sqnr_db, self.agreement)


class PartMeasurements:
    """What sets of parts in int8 keep, each measured once and kept in a file, so that a stopped search goes on.

    outputs: what is judged. each: whether each label is decided by itself. identity: of everything that the figures
    depend on. show: told what is measured next.
    """

    def __init__(
        self,
        calibrated: CalibratedParts,
        samples: Sequence[Mapping[str, Array]],
        outputs: Sequence[TensorSpec],
        each: bool,
        path: Path,
        identity: str,
        show: Callable[[str], None],
    ) -> None:
        self.parts, self.static = calibrated.parts, calibrated.static
        self._calibrated, self._samples, self._outputs, self._show = calibrated, samples, outputs, show
        self._each, self._path, self._identity = each, path, identity
        self._found = self._stored()
        self._reference: Mapping[str, Array] | None = None

    def only(self, name: str) -> Fidelity:
        """Return what is kept with one part in int8 alone."""
        chosen = {part for part in self.parts if part.among([name])}
        # A kind that no static recipe computes in int8 is measured as such; elsewhere only what one does.
        return self._kept(f"only {name}", chosen & self.static or chosen)

    def without(self, names: Iterable[str]) -> Fidelity:
        """Return what is kept with all that a static recipe computes in int8, but for some parts."""
        left = sorted(names)
        return self._kept(f"without {', '.join(left)}" if left else EVERYTHING, self.int8(left))

    def int8(self, left: Collection[str]) -> frozenset[Part]:
        """Return what is in int8 where some parts aren't."""
        return frozenset(part for part in self.static if not part.among(left))

    def _kept(self, key: str, int8: Collection[Part]) -> Fidelity:
        if key not in self._found:
            self._show(f"int8: {key}")
            if self._reference is None:
                self._reference = self._run(())
            self._found[key] = _kept(self._outputs, self._each, self._run(int8), self._reference)
            self._store()
        return self._found[key]

    def _run(self, int8: Collection[Part]) -> Mapping[str, Array]:
        found: dict[str, list[Array]] = {spec.name: [] for spec in self._outputs}
        for results in self._calibrated.run(int8, self._samples):
            for name, values in found.items():
                values.append(np.array(results[name]))
        return {name: np.concatenate(values) for name, values in found.items()}

    def _stored(self) -> dict[str, Fidelity]:
        try:
            record = read_json_object(self._path)
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

    static: whether a static recipe computes any of it in int8. kept: None where the target can't compute it so.
    macs: its part of the multiply-accumulates of all convolutions and linear layers.
    """

    part: str
    static: bool
    macs: float
    kept: Fidelity | None


def part_costs(measured: PartMeasurements, work: Mapping[Part, Work]) -> list[PartCost]:
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


def write_costs(costs: Sequence[PartCost], everything: Fidelity, path: Path) -> None:
    """Write a table of parts; everything: what is kept with all in int8 that a static recipe computes so."""
    parts = [{**asdict(cost), "kept": cost.kept and cost.kept.to_json()} for cost in costs]
    _write(path, {EVERYTHING: everything.to_json(), "parts": parts})


def read_costs(path: Path) -> tuple[list[PartCost], Fidelity]:
    """Read what `write_costs` wrote."""
    record = read_json_object(path)
    costs = [PartCost(**{**cost, "kept": cost["kept"] and _kept_of(cost["kept"])}) for cost in record["parts"]]
    return costs, _kept_of(record[EVERYTHING])


def _kept(outputs: Sequence[TensorSpec], each: bool, got: Mapping[str, Array], want: Mapping[str, Array]) -> Fidelity:
    counted = [spec for spec in outputs if spec.meaning not in DISCRETE]
    found = [metrics.sqnr_db(*_pair(spec, got, want)) for spec in counted]
    # Where an output isn't a number, nothing of it is left.
    decibels = min((NOTHING_DB if math.isnan(one) else one for one in found), default=math.inf)
    decided = [spec for spec in outputs if spec.meaning in {"logits", "mask"}]
    agreements = [_agreement(spec, each, got[spec.name], want[spec.name]) for spec in decided]
    return Fidelity(decibels, min(agreements) if agreements else None)


def _pair(spec: TensorSpec, got: Mapping[str, Array], want: Mapping[str, Array]) -> tuple[Array, Array]:
    return metrics.comparable(got[spec.name], want[spec.name], spec.spread_over_photos)


def _agreement(spec: TensorSpec, each: bool, got: Array, want: Array) -> float:
    if spec.meaning == "mask":
        return metrics.pixel_agreement(got, want)
    axis = 3 if spec.layout == "NHWK" else 1
    return metrics.pixel_agreement(*(metrics.decisions(logits, axis, each) for logits in (got, want)))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what orders stages.2 before stages.10."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in name.split(".")]


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _kept_of(record: Mapping[str, Any]) -> Fidelity:
    return Fidelity(math.inf if record["sqnr_db"] is None else float(record["sqnr_db"]), record["agreement"])
