"""What is made once for all processes of a test run: the first that asks makes it, the others wait for it."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

T = TypeVar("T")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """Return what is made in a folder, which is that of all processes; it is handed to the others as a pickle."""
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    root.mkdir(exist_ok=True)
    made = root / f"{name}.pickle"
    with FileLock(root / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(root / name, ignore_errors=True)  # of one that failed
            (root / name).mkdir()
            made.write_bytes(pickle.dumps(make(root / name)))
        found: T = pickle.loads(made.read_bytes())  # noqa: S301  another process of this run has just written it
        return found
