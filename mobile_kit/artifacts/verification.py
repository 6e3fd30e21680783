"""verify.json: what a verification found, written by it and read by what publishes, bundles and reports artifacts.

Its shape belongs to the artifact, whose version is the manifest's.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mobile_kit.artifacts.layout import VERIFY, verify_name
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.older_versions import newer_verification
from mobile_kit.errors import ArtifactError, one_line, unwritable
from mobile_kit.records import RecordError, builtins, dumped, finite, read_file, said
from mobile_kit.whole_file import write_whole

__all__ = ["LEFT_OUT", "Bound", "Check", "OutputParity", "Status", "VerifyReport", "read_report", "write_report"]

# The check that isn't run where the images that a file was judged on aren't in the artifact.
LEFT_OUT = "judged images"

Status = Literal["passed", "failed", "not run"]
# How far an output moves, in its standard deviations.
Moved = Annotated[float, msgspec.Meta(ge=0)]
Kind = Literal["max_error", "sqnr_db", "agreement", "pixel_agreement"]
# The option that asks a quantized file for another limit of a kind.
OPTIONS: Mapping[Kind, str] = {
    "agreement": "--min-agreement",
    "pixel_agreement": "--min-agreement",
    "sqnr_db": "--min-sqnr",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what was found."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Bound:
    """What a figure of an output was held against.

    limit: the most of `max_error`, in standard deviations of the reference; the least of the others: decibels, or the
    part of the decisions or pixels that agree, where 1 means all.
    """

    kind: Kind
    limit: float

    def __str__(self) -> str:
        if self.kind == "max_error":
            return f"max error <= {self.limit:.2g} sigma"
        if self.kind == "sqnr_db":
            return f"SQNR >= {self.limit:.1f} dB"
        if self.kind == "pixel_agreement":
            return "pixel agreement = 1" if self.limit == 1 else f"pixel agreement >= {self.limit:.4f}"
        return f"agreement >= {self.limit:.4f}"


@dataclass(frozen=True)
class OutputParity:
    """Distance of one output from the oracle's, over all images; what doesn't apply to an output is None.

    max_error: largest difference in standard deviations of the reference. photo_sqnr_db: of what is judged by how
    photos spread it, the golden photo's alone, as an app's self-test has it. label_agreement: of a classifier whose
    labels are or aren't right each by itself, the part of them that are on the same side of 1/2. bounds: what the
    output was held against, of which all must hold; none where it isn't judged: of a quantized file's outputs, those
    are that its head is there for. bound: that in words.
    """

    name: str
    max_error: float | None
    sqnr_db: float | None
    photo_sqnr_db: float | None
    cosine: float | None
    top1: float | None
    top5: float | None
    label_agreement: float | None
    pixel_agreement: float | None
    mean_iou: float | None
    bounds: tuple[Bound, ...]
    passed: bool
    bound: str = said()

    def __post_init__(self) -> None:
        if self.sqnr_db is None and self.max_error == 0:
            object.__setattr__(self, "sqnr_db", math.inf)  # JSON has no word for the decibels of no noise
        object.__setattr__(self, "bound", " and ".join(map(str, self.bounds)) or "not judged")

    @property
    def agreement(self) -> float | None:
        """The part of the decisions that stay: an image's best class, its labels, or a map's pixels."""
        return next((part for part in (self.top1, self.label_agreement) if part is not None), self.pixel_agreement)

    @property
    def judged(self) -> bool:
        """Whether it was held against a bound."""
        return bool(self.bounds)

    def failure(self, quantized: bool) -> str:
        """Return in words what it has and what was wanted. quantized: whether another limit can be asked for."""
        if self.max_error is None:
            got = f"pixel agreement {_shown(self.pixel_agreement, '.4f')}"
        else:
            got = f"max error {self.max_error:.2g} sigma, SQNR {_shown(self.sqnr_db, '.1f')} dB"
        kinds = [bound.kind for bound in self.bounds]
        if "agreement" in kinds:
            got += f", agreement {_shown(self.agreement, '.4f')}"
        # Numbers that must be right, such as those of kept units, have no limit that could be another.
        exact = any(bound.kind == "pixel_agreement" and bound.limit == 1 for bound in self.bounds)
        options = [option for kind, option in OPTIONS.items() if kind in kinds] if quantized and not exact else []
        relax = f"; {' and '.join(options)} asks for less" if options else ""
        return f"{self.name} ({got}; wanted {self.bound}{relax})"


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    quantized: whether the file's weights are integers. canary: how far each output moves, in its standard deviations,
    with red and blue swapped. status: failed where any check failed; passed where parity was measured and every check
    was run. failure: in one line why it isn't a pass, None where it is. sqnr_db: the least signal to noise of the
    outputs that were judged, infinite where nothing is lost; max_error: their largest error, in standard deviations;
    None where none has any.
    """

    artifact: str
    runtime: str | None
    images: int
    checks: tuple[Check, ...]
    outputs: tuple[OutputParity, ...] = ()
    canary: Mapping[str, Moved | None] = field(default_factory=dict)
    quantized: bool = False
    status: Status = field(init=False, default="not run")
    failure: str | None = said()
    sqnr_db: float | None = field(init=False, default=None)
    max_error: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        judged = [out for out in self.outputs if out.judged]
        found = {
            "status": self._status(),
            "sqnr_db": min((out.sqnr_db for out in judged if out.sqnr_db is not None), default=None),
            "max_error": max((out.max_error for out in judged if out.max_error is not None), default=None),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "failure", self._failure())

    def _status(self) -> Status:
        found = {check.status for check in self.checks} | {"passed" if out.passed else "failed" for out in self.outputs}
        if "failed" in found:
            return "failed"
        return "passed" if self.outputs and "not run" not in found else "not run"

    def _failure(self) -> str | None:
        if self.status == "passed":
            return None
        wrong = [check for check in self.checks if check.status == self.status]
        if self.status == "not run":
            return "; ".join(check.detail for check in wrong)
        said = [f"{check.name} ({check.detail})" for check in wrong]
        return "; ".join(said + [out.failure(self.quantized) for out in self.outputs if not out.passed])

    def also(self, *checks: Check) -> "VerifyReport":
        """Return the report with further checks."""
        return replace(self, checks=(*self.checks, *checks))

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; what isn't finite, such as the decibels of no noise, becomes null."""
        values: dict[str, Any] = finite(builtins(self))
        return values


def write_report(report: VerifyReport, folder: Path, other_runtime: str | None = None) -> None:
    """Write verify.json into the artifact, or verify-RUNTIME.json.

    A report on less than the file was judged on at export replaces none. Raises: ArtifactError where it can't be
    written.
    """
    path = folder / verify_name(other_runtime)
    if any(check.name == LEFT_OUT for check in report.checks) and path.exists():
        return
    try:
        write_whole(path, dumped(report.to_json()))
    except OSError as exc:
        raise unwritable(path, exc) from exc


def read_report(manifest: Manifest) -> VerifyReport | None:
    """Return what an artifact's verify.json says, None where it wasn't verified. Raises: ArtifactError."""
    folder = manifest.folder
    path = folder / VERIFY
    if not os.path.lexists(path):
        return None
    try:
        return read_file(VerifyReport, path, lambda values: newer_verification(values, manifest.version))
    except RecordError as exc:
        way = f"Run: mobile-kit verify {folder}"
        raise ArtifactError(f"artifact {folder}: {VERIFY} {one_line(exc)}. {way}") from exc


def _shown(figure: float | None, form: str) -> str:
    return "unknown" if figure is None else format(figure, form)
