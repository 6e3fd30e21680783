"""models.json: what an app knows of its models beside their manifests."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.verification import OutputParity, read_report
from mobile_kit.errors import ArtifactError, UnsupportedError

__all__ = ["INDEX", "folder_names", "model_index"]

INDEX, SCHEMA_VERSION = "models.json", 1
# The signal to noise that an app's self-test asks for. Other processors round otherwise, and one photo isn't the mean
# of many, so a file may lie this far below what verification measured.
MOST_ASKED_DB, MARGIN_DB, LEAST_ASKED_DB = 30.0, 10.0, 10.0
# How far what is asked lies from what colours that changed places leave.
CANARY_DB = 3.0
# Of a map of classes: 98 % of the pixels, as of a quantized file's.
MOST_ASKED_OF_CLASSES_DB = 14.0


def folder_names(artifacts: Sequence[Path]) -> list[str]:
    """Return a folder's name for each artifact, made of its own and its model's; a number tells equal ones apart.

    They have letters, digits, dots, dashes and underscores, and begin with a letter or digit, as Android's tools leave
    other folders out of an app.
    Raises: UnsupportedError for an artifact that is given twice.
    """
    found: list[str] = []
    seen = set()
    for artifact in artifacts:
        folder = artifact.resolve()
        if folder in seen:
            raise UnsupportedError(f"artifact {artifact}: is given twice. Give it once.")
        seen.add(folder)
        parts = (re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-._") for part in (folder.parent.name, folder.name))
        name = "-".join(filter(None, parts)) or "model"
        taken = {each.lower() for each in found}
        numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(artifacts) + 1))
        found.append(next(each for each in numbered if each.lower() not in taken))
    return found


def model_index(chosen: Mapping[str, Manifest]) -> dict[str, Any]:
    """Return the index of an app's models, by their folders' names. Raises: ArtifactError where one isn't verified."""
    titles = {name: _title(manifest) for name, manifest in chosen.items()}
    times = Counter(titles.values())
    models = [
        {
            "folder": name,
            "title": titles[name] if times[titles[name]] == 1 else f"{titles[name]} ({name})",
            "least_sqnr_db": dict(_asked(manifest)),
        }
        for name, manifest in chosen.items()
    ]
    return {"schema_version": SCHEMA_VERSION, "models": models}


def _title(manifest: Manifest) -> str:
    record = manifest.record
    kind = " ".join(filter(None, (record.target, record.backend, record.recipe.name)))
    return f"{record.model.source.rpartition('/')[2]}, {kind}"


def _asked(manifest: Manifest) -> Iterator[tuple[str, float]]:
    """Yield what the self-test asks of each output that verification judged, or would have on a device.

    Raises: ArtifactError where the artifact wasn't verified, or failed.
    """
    found, canary = _verified(manifest)
    for spec in manifest.outputs:
        classes = spec.dtype.startswith("int")
        most = MOST_ASKED_OF_CLASSES_DB if classes else MOST_ASKED_DB
        if not found:
            yield spec.name, most
        elif found[spec.name].judged:
            measured = _measured(found[spec.name])
            asked = max(LEAST_ASKED_DB, min(most, measured - MARGIN_DB))
            # The self-test must fail with red and blue swapped, also of a network that hardly minds.
            noticed = _swapped(canary.get(spec.name), classes) + CANARY_DB
            yield spec.name, round(max(asked, min(noticed, measured - CANARY_DB)), 1)


def _swapped(moved: float | None, classes: bool) -> float:
    """Return the decibels that are left where an output moved so far, in standard deviations or parts of the pixels."""
    if not moved:
        return -math.inf  # the photo has no colours
    return -10 * math.log10(2 * moved) if classes else -20 * math.log10(moved)


def _verified(manifest: Manifest) -> tuple[Mapping[str, OutputParity], Mapping[str, float | None]]:
    """Return what verification found of each output, and how far each moved with red and blue swapped.

    Nothing for a file that runs on devices only.
    """
    where, way = f"artifact {manifest.folder}", f"Run: mobile-kit verify {manifest.folder}"
    report = read_report(manifest)
    if report is None:
        raise ArtifactError(f"{where}: wasn't verified. {way}")
    if report.status == "failed":
        raise ArtifactError(f"{where}: failed its verification: {report.failure}. Bundle another.")
    found = {out.name: out for out in report.outputs}
    elsewhere = not found and any(check.status == "not run" for check in report.checks)
    if not elsewhere and set(found) != {spec.name for spec in manifest.outputs}:
        raise ArtifactError(f"{where}: verify.json is of a file with other outputs. {way}")
    return found, report.canary


def _measured(output: OutputParity) -> float:
    """Return the signal to noise of an output; of integers, that of planes of ones and zeros, one a class.

    A pixel of the wrong class is wrong in two planes, and right in one it is one: P / (2 (1 - a) P) for the part `a` of
    P pixels that agrees.
    """
    if output.sqnr_db is None and output.pixel_agreement is not None:
        wrong = 2 * (1 - output.pixel_agreement)
        return -10 * math.log10(wrong) if wrong > 0 else math.inf
    measured = output.sqnr_db if output.photo_sqnr_db is None else output.photo_sqnr_db
    return math.inf if measured is None else measured
