"""Let coremltools find its native half, and the project of its app, which only its Mac package has."""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

NATIVE = "coremltools.libcoremlpython"


def _with_project(client: ModuleType) -> None:
    client._ModelRunnerAppBuilder._get_project_path = staticmethod(lambda: Path(os.environ["STANDIN_PHONE"], "project"))


def _on_a_mac(utils: ModuleType) -> None:
    utils._macos_version = lambda: (15, 0)  # type: ignore[attr-defined]


CHANGES = {
    "coremltools.models.ml_program.experimental.remote_device": _with_project,
    "coremltools.models.utils": _on_a_mac,
}


class _Changed(importlib.abc.Loader):
    """Loads a module and changes it."""

    def __init__(self, loader: importlib.abc.Loader, change: Callable[[ModuleType], None]) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == NATIVE:
            return importlib.util.spec_from_file_location(name, Path(__file__).with_name("core_ml.py"))
        if name in CHANGES:
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            assert spec is not None
            assert spec.loader is not None
            spec.loader = _Changed(spec.loader, CHANGES[name])
            return spec
        return None


if "STANDIN_PHONE" in os.environ:
    sys.meta_path.insert(0, _Finder())
