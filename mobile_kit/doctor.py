"""What is installed, what is missing, and the command that mends it.

Works where torch isn't installed: it reads what the package asks for from its own metadata.
"""

import platform
from dataclasses import dataclass
from importlib import metadata

from mobile_kit import __version__

__all__ = ["Finding", "doctor"]

PACKAGE = "mobile-kit"
# The extras that an export needs; the others are for working on the kit.
EXTRAS = ("coreml", "executorch", "tflite")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for; `mend` is None where nothing is to be done."""

    name: str
    found: str | None
    mend: str | None


def doctor() -> list[Finding]:
    """Return what the kit, its core and each toolchain need, in that order, and whether the versions are those."""
    findings = [
        Finding("mobile_kit", __version__, None),
        Finding("python", platform.python_version(), None),
        Finding("machine", f"{platform.system()} {platform.machine()}", None),
    ]
    for extra in ("", *EXTRAS):
        findings += [_package(name, wanted, extra) for name, wanted in _requirements(extra)]
    findings += _registered(findings)
    if platform.system() != "Darwin":
        findings.append(Finding("Core ML runtime", "none here; .mlpackage files run on the kit's interpreter", None))
    return findings


def _requirements(extra: str) -> list[tuple[str, str]]:
    """Return the packages that the kit, or one of its extras, asks for, with the versions: `>=2,<3`."""
    from packaging.requirements import Requirement

    found = [Requirement(text) for text in metadata.requires(PACKAGE) or []]
    return [
        (requirement.name, str(requirement.specifier))
        for requirement in found
        if (requirement.marker.evaluate({"extra": extra}) if requirement.marker else not extra)
    ]


def _package(name: str, wanted: str, extra: str) -> Finding:
    from packaging.specifiers import SpecifierSet

    command = f"pip install '{PACKAGE}[{extra}]'" if extra else f"pip install {PACKAGE}"
    title = f"{extra}: {name}" if extra else name
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(title, None, command)
    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    return Finding(title, version if fits else f"{version}, but {wanted} is needed", None if fits else command)


def _registered(findings: list[Finding]) -> list[Finding]:
    """Return the targets, those of other packages too, with their backends; none while the core isn't whole."""
    if any(finding.mend and ": " not in finding.name for finding in findings):
        return []
    from mobile_kit.models.family import broken_families
    from mobile_kit.target_api.registry import broken_targets, install_command, missing_modules, targets

    broken = {f"target {name}": reason for name, reason in broken_targets().items()}
    broken |= {f"family {each.name}": each.reason for each in broken_families()}
    found = [
        Finding(f"target {name}", None if missing else target.model_file, install_command(target) if missing else None)
        for name, target, missing in ((n, t, missing_modules(t)) for n, t in targets().items())
    ]
    return found + [Finding(name, None, reason) for name, reason in broken.items()]
