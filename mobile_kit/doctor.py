"""What is installed, what is missing, and the command that mends it."""

import platform
from dataclasses import dataclass
from importlib import metadata

from mobile_kit import __version__
from mobile_kit.target import missing_modules, targets

__all__ = ["Finding", "doctor"]

CORE = ("torch", "transformers", "safetensors", "huggingface_hub", "pillow", "numpy")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for; `mend` is null where nothing is to be done."""

    name: str
    found: str | None
    mend: str | None


def doctor() -> list[Finding]:
    """Return what the kit, its core and each target need, in that order."""
    findings = [
        Finding("mobile_kit", __version__, None),
        Finding("python", platform.python_version(), None),
        Finding("machine", f"{platform.system()} {platform.machine()}", None),
    ]
    findings += [_package(name, "pip install mobile-kit") for name in CORE]
    for target in targets().values():
        missing = missing_modules(target)
        found = None if missing else ", ".join(_described(module) for module in target.modules)
        mend = f"pip install 'mobile-kit[{target.extra}]'" if missing else None
        findings.append(Finding(f"target {target.name}", found, mend))
    if platform.system() != "Darwin":
        findings.append(Finding("Core ML runtime", "none here; .mlpackage files run on the kit's interpreter", None))
    return findings


def _package(name: str, mend: str) -> Finding:
    try:
        return Finding(name, metadata.version(name), None)
    except metadata.PackageNotFoundError:
        return Finding(name, None, mend)


def _described(module: str) -> str:
    names = metadata.packages_distributions().get(module, [module])
    return f"{names[0]} {metadata.version(names[0])}"
