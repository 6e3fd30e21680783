"""What the figures were measured on: never a host's name, never a path."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["machine"]

PACKAGES = (
    "ai-edge-litert",
    "coremltools",
    "executorch",
    "litert-torch",
    "mobile-kit",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "torch",
    "transformers",
)


def machine(threads: int) -> dict[str, Any]:
    """Return processor, cores, system and versions; None for what isn't known."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
