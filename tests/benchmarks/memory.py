"""How much memory the export of the largest known checkpoints takes, with its verification."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from mobile_kit.artifacts.manifest import read_manifest
from tests.benchmarks.process import Workshop
from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

MODELS = ("facebook/hiera-huge-224-in1k-hf", "facebook/hiera-huge-224-mae-hf")
TARGETS = ("coreml", "executorch")
# The bound that the kit sets itself.
GIGABYTES = 20
EVERY_S = 0.5


class PeakMeter:
    """The most memory that the processes under this one took together while the context was open, in bytes.

    A page that several of them share counts once (the kernel's proportional set size). None where the system doesn't
    say.
    """

    def __init__(self) -> None:
        self.peak: int | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "PeakMeter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(EVERY_S):
            taken = [_proportional_set(pid) for pid in _below(os.getpid())]
            if taken and None not in taken:
                self.peak = max(self.peak or 0, sum(part or 0 for part in taken))


def _below(pid: int) -> list[int]:
    """Return all processes that a process started, and those that they did."""
    try:
        files = Path(f"/proc/{pid}/task").glob("*/children")
        children = [int(child) for file in files for child in file.read_text(encoding="ascii").split()]
    except OSError:  # it has just ended
        return []
    return children + [further for child in children for further in _below(child)]


def _proportional_set(pid: int) -> int | None:
    """Return a process's part of the memory in bytes, 0 where it has ended, None where the system doesn't say."""
    folder = Path(f"/proc/{pid}")
    try:
        lines = (folder / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None if folder.exists() else 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(shop: Workshop) -> Section:
    """Export each model to each target by itself, in both recipes."""
    rows = [_row(shop, model, target) for model in MODELS for target in TARGETS]
    notes = [
        "Random weights, fp32 and fp16 in one export, verified; proportional set size of all its processes, every "
        f"{EVERY_S} s. A .tflite has no room for so many parameters, and the export says so before it starts."
    ]
    return Section("memory", "Memory of the largest exports", rows, notes)


def _row(shop: Workshop, model: str, target: str) -> dict[str, Any]:
    slug = model.rpartition("/")[2]
    start = time.perf_counter()
    with PeakMeter() as meter:
        folders = shop.export(
            f"memory-{target}-{slug}", model, "--random-weights", "--target", target, "--recipe", "fp32,fp16"
        )
    seconds = time.perf_counter() - start
    parameters = read_manifest(folders[0]).record.model.num_parameters
    verified = all(json.loads((folder / "verify.json").read_text())["status"] == "passed" for folder in folders)
    peak = None if meter.peak is None or not verified else meter.peak / 1e9
    return {
        "model": slug,
        "target": target,
        "parameters": parameters,
        "files": ", ".join(folder.name for folder in folders),
        "minutes": seconds / 60,
        "GB": peak,
        **judged(peak, at_most=GIGABYTES),
    }
