"""Core ML's protobuf classes, without the 8 seconds that importing coremltools takes."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from mobile_kit.errors import MissingToolError

__all__ = ["load_proto"]

ALIAS = "_mobile_kit_coreml_proto"


@cache
def load_proto() -> ModuleType:
    """Return `coremltools.proto`, loaded under another name where coremltools itself isn't imported yet.

    The generated modules need nothing but protobuf, whose pool takes the same definitions twice: a later
    `import coremltools` gets the same classes.
    Raises: MissingToolError where coremltools isn't installed.
    """
    if "coremltools.proto" in sys.modules:
        return sys.modules["coremltools.proto"]
    package = importlib.util.find_spec("coremltools")
    if package is None or package.origin is None:
        raise MissingToolError(
            "reading an .mlpackage: coremltools isn't installed. Install it with: pip install 'mobile-kit[coreml]'."
        )
    folder = Path(package.origin).parent / "proto"
    spec = importlib.util.spec_from_file_location(
        ALIAS, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise MissingToolError(f"reading an .mlpackage: {folder} can't be imported. Reinstall coremltools.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[ALIAS] = module
    spec.loader.exec_module(module)
    return module
