"""The import of coremltools, without what it looks for and this target never asks of it."""

import importlib
import sys
from types import ModuleType

__all__ = ["import_coremltools"]

# Where they are installed, their imports take a third of coremltools' own; its converters for them aren't used here.
UNUSED = ("sklearn", "transformers")


def import_coremltools() -> ModuleType:
    """Import coremltools as if the packages of `UNUSED` weren't installed; they stay importable afterwards."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    try:
        for name in hidden:
            sys.modules[name] = None  # type: ignore[assignment]  # its import then says that it isn't there
        return importlib.import_module("coremltools")
    finally:
        for name in hidden:
            del sys.modules[name]
