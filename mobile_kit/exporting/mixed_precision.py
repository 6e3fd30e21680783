"""The mixed recipe in a worker: measure, search, write the file, and search again where the file keeps less."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from mobile_kit.artifacts.verification import OutputParity, VerifyReport
from mobile_kit.evaluation.parity import QUANTIZED_MASK_BOUND
from mobile_kit.models.family import families
from mobile_kit.models.outputs import essential_outputs
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec
from mobile_kit.quantization.calibration import Samples
from mobile_kit.quantization.mixed_search import find_mixed
from mobile_kit.quantization.part_costs import PartMeasurements, part_costs, write_costs
from mobile_kit.quantization.parts import work_of
from mobile_kit.quantization.recipes import QualityTarget
from mobile_kit.target_api.interface import Lowered, Request, Target

__all__ = ["MixedModel", "stricter", "wanted_of"]

# More than the file lacks is asked of the next search, as it can only be trusted so far.
BEYOND_DB = 0.25
# What a module's own settings are, such as the eps of a norm.
PLAIN = (bool, float, int, str, tuple)


class MixedModel:
    """A common model that has been measured, and the search for what of it stays in float.

    samples: what it is calibrated and judged on. folder: for the target's own files. measurements: where what is found
    is kept, a file for all that the figures depend on. inputs: what becomes of an image before the model. show: told
    what is done.
    """

    def __init__(
        self,
        target: Target,
        model: CommonModel,
        request: Request,
        samples: Samples,
        folder: Path,
        measurements: Path,
        inputs: str,
        show: Callable[[str], None],
    ) -> None:
        # Before the target takes the model, of which it may replace modules.
        self._work, spec = work_of(model), model.spec
        identity = _identity(model, inputs, target, request, samples)
        self._calibrated = target.calibrate(model, request, samples, folder)
        judged = _counted(spec) or [out for out in spec.outputs if out.meaning == "mask"]
        each = spec.activation == "sigmoid"
        kept = measurements / f"{identity[:16]}.json"
        self._measured = PartMeasurements(self._calibrated, samples.judged(), judged, each, kept, identity, show)

    def write_costs(self, path: Path) -> None:
        """Measure what each part costs, and write the table to a file."""
        costs = part_costs(self._measured, self._work)
        write_costs(costs, self._measured.without(()), path)

    def write(self, wanted: QualityTarget, path: Path) -> Lowered:
        """Write the fastest file found that keeps what is wanted. Raises: UnsupportedError where none is."""
        mixed = find_mixed(self._measured, self._work, wanted)
        left = [part.part for part in mixed.float_parts]
        lowered = self._calibrated.write(self._measured.int8(left), path)
        # What the search left of a kind has a name of its own.
        searched = {part.kind for part in self._calibrated.static if part.among(left)}
        others = tuple(part for part in lowered.float_parts if part.part not in searched)
        scheme = f"{lowered.recipe.scheme}; {mixed.int8_macs:.1%} of the layers' multiply-accumulates in int8"
        return replace(
            lowered, recipe=replace(lowered.recipe, scheme=scheme), float_parts=(*others, *mixed.float_parts)
        )


def wanted_of(spec: ModelSpec, wanted: QualityTarget) -> QualityTarget:
    """Return what is asked of a file: where all that it gives are class maps, which have no decibels, their pixels."""
    return wanted if _counted(spec) or wanted.agreement is not None else QualityTarget(None, 1 - QUANTIZED_MASK_BOUND)


def _counted(spec: ModelSpec) -> list[TensorSpec]:
    """Return the outputs whose decibels are judged."""
    return essential_outputs(families()[spec.family].heads[spec.head], spec.outputs)


def stricter(wanted: QualityTarget, asked: QualityTarget, report: VerifyReport) -> QualityTarget | None:
    """Return what to ask of the next search where a file keeps less than it was to; None where another can't help.

    wanted: of the files. asked: of the last search.
    """
    failed = [out for out in report.outputs if not out.passed]
    if not failed or any(check.status == "failed" for check in report.checks):
        return None
    sqnr_db, agreement = asked.sqnr_db, asked.agreement
    if sqnr_db is not None and wanted.sqnr_db is not None:
        sqnr_db += max(wanted.sqnr_db - min(_sqnr_db(out) for out in failed), 0) + BEYOND_DB
    if agreement is not None and wanted.agreement is not None:
        agreement = min(agreement + max(wanted.agreement - min(_agreement(out) for out in failed), 0), 1.0)
    stricter = QualityTarget(sqnr_db, agreement)
    return None if stricter == asked else stricter


def _sqnr_db(out: OutputParity) -> float:
    return math.inf if out.sqnr_db is None else out.sqnr_db


def _agreement(out: OutputParity) -> float:
    return 1.0 if out.agreement is None else out.agreement


def _identity(model: CommonModel, inputs: str, target: Target, request: Request, samples: Samples) -> str:
    """Return a SHA-256 of all that the measurements depend on."""
    packages = {"mobile-kit", "numpy", "torch", "torchao", *_distributions(target)}
    tools = [f"{name} {version(name)}" for name in sorted(packages) if find_spec(name.replace("-", "_"))]
    texts = (inputs, target.name, request.backend, samples.sha256, len(samples.judged()), tools, str(model.spec))
    found = hashlib.sha256(repr(texts).encode())
    for path, module in model.named_modules():
        plain = {name: value for name, value in sorted(vars(module).items()) if isinstance(value, PLAIN)}
        found.update(f"{path} {type(module).__qualname__} {plain}".encode())
    # Buffers that no state dict has, such as positions, too.
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def _distributions(target: Target) -> list[str]:
    """Return the packages that bring a target's modules."""
    packages = packages_distributions()
    return sorted({name for module in target.modules for name in packages.get(module, ())})
