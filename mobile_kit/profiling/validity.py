"""Whether a result can be trusted, and what it says of the file that it was measured on."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mobile_kit.artifacts.golden import GoldenRecord, Sample
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.errors import DeviceError
from mobile_kit.evaluation.parity import parity
from mobile_kit.measurements.result import ModelInfo, OutputDistance, Result, Validity
from mobile_kit.models.spec import Array
from mobile_kit.profiling.machine_load import QUIET_CORES
from mobile_kit.records import finite

__all__ = ["LEAST_RUNS", "LEAST_S", "MOST_S", "distances", "model_info", "with_validity"]

# What LiteRT's own benchmark asks for: calls, seconds, and the seconds after which it gives up.
LEAST_RUNS, LEAST_S, MOST_S = 50, 1.0, 150.0


def model_info(manifest: Manifest) -> ModelInfo:
    """Return what a result says of an artifact."""
    record = manifest.record
    hashes = [file.sha256 for _, file in sorted(manifest.model_files.items())]
    return ModelInfo(
        name=manifest.folder.resolve().name,
        family=record.model.family,
        head=record.model.head,
        source=record.model.source,
        target=record.target,
        backend=record.backend,
        recipe=record.recipe.name,
        sha256=hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest(),
        size_bytes=manifest.model_bytes,
    )


def distances(
    manifest: Manifest, answers: GoldenRecord, samples: Sequence[Sample], outputs: Mapping[str, bytes]
) -> Iterator[OutputDistance]:
    """Yield how far each output is from the oracle's.

    outputs: raw little-endian values of all samples behind one another; those of large outputs are the first's alone.
    Raises: DeviceError where their number isn't that of the samples.
    """
    results = [dict[str, Array]() for _ in samples]
    for spec in manifest.outputs:
        kind = np.dtype(spec.dtype).newbyteorder("<")
        told = [place for place, sample in enumerate(samples) if spec.name in sample.reference]
        came, wanted = len(outputs[spec.name]), math.prod(spec.shape) * kind.itemsize * len(told)
        if came != wanted:
            raise DeviceError(f"output {spec.name!r}: came back with {came} bytes of {wanted}. Run it again.")
        values = np.frombuffer(outputs[spec.name], kind)
        for place, array in zip(told, values.astype(spec.dtype).reshape(-1, *spec.shape), strict=True):
            results[place][spec.name] = array
    for out in parity(manifest, answers, samples, results):
        error, noise = finite((out.max_error, out.sqnr_db))
        yield OutputDistance(out.name, error, noise, out.top1, out.pixel_agreement, out.bound, out.passed)


def with_validity(
    result: Result, error: str | None = None, undisturbed: bool | None = None, pieces: int | None = None
) -> Result:
    """Add to a result whether it can be trusted.

    error: what ended it early. undisturbed: whether enough rounds had the machine for themselves. pieces: in how many
    the delegate had the graph at export.
    """
    asked, found = result.config, result.latency
    runs = LEAST_RUNS if asked.runs is None else asked.runs
    least_s = LEAST_S if asked.min_s is None else asked.min_s
    most_s = MOST_S if asked.max_s is None else asked.max_s
    seconds = None if found.count is None or found.mean is None else found.count * found.mean / 1e6
    count, there = found.count or 0, result.placement.partitions
    verdicts = [out.passed for out in result.parity if out.passed is not None]
    silent = not asked.runs and found.count is None  # a tool that doesn't say how often it called
    timeless = found.count is not None and seconds is None  # or how long that took
    flags = {
        "completed": error is None,
        "enough_runs": None if silent else count >= runs,
        "long_enough": None if silent or timeless else (seconds or 0) >= min(least_s, most_s),
        "parity_held": all(verdicts) if verdicts else None,
        "not_throttled": None if result.thermal.throttled is None else not result.thermal.throttled,
        "one_delegate": None if there is None else there == 1 or there == pieces,
        "undisturbed": undisturbed,
    }
    words = {
        "completed": error or "",
        "enough_runs": f"{count} calls of at least {runs}",
        "long_enough": f"{seconds or 0:.2f} s of at least {min(least_s, most_s):g}",
        "parity_held": "what it computed there isn't what the checkpoint computes",
        "not_throttled": "the device held its clock back",
        "one_delegate": f"the delegate has the graph in {there} pieces",
        "undisturbed": f"other processes used more than {QUIET_CORES:.0%} of a core in too many rounds",
    }
    reasons = tuple(words[name] for name, value in flags.items() if value is False)
    return replace(result, validity=Validity(**flags, reasons=reasons))
