"""mobile_kit: vision transformers from a Hugging Face checkpoint to verified files for phones."""

import importlib
from typing import Any

__all__ = ["__version__", "find_target", "load", "read_manifest"]

__version__ = "0.1.0"

# Commands are functions of the module that has their name: `from mobile_kit.exporting.export import export`.
_HOMES = {
    "find_target": "mobile_kit.target_api.registry",
    "load": "mobile_kit.checkpoints.load",
    "read_manifest": "mobile_kit.artifacts.manifest",
}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used: torch takes seconds, and `--help` mustn't wait for it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mobile_kit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
