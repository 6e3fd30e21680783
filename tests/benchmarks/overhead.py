"""What measuring costs: the kit's figures on this machine beside LiteRT's own benchmark and a bare ExecuTorch loop."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobile_kit.profiling import profile
from mobile_kit.progress import Progress
from mobile_kit.trial import ProfileOptions
from tests.benchmarks.process import ROOT, Workshop
from tests.benchmarks.stock import CLASSIFIER, saved
from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

WARMUP, RUNS = 20, 100
# How far apart the medians may be.
BOUND = 1.03


def measure(shop: Workshop, rounds: int) -> Section:
    """Time the same file with each in turns, every time in a fresh process, and compare the medians of each round."""
    source = shop.scratch / "overhead"
    saved(CLASSIFIER, source)
    folders = shop.export("overhead-files", source, "--target", "executorch,tflite")
    peers: dict[str, tuple[str, Callable[[Path, Workshop], float]]] = {
        "model.pte": ("a bare ExecuTorch loop", _bare_ms),
        "model.tflite": ("LiteRT's own benchmark", _litert_ms),
    }
    rows = []
    for folder in folders:
        path = next(folder / name for name in peers if (folder / name).is_file())
        peer, measured = peers[path.name]
        found = [(_ours_ms(folder, shop), measured(path, shop)) for _ in range(rounds)]
        rows.append(_row(path.name, peer, found))
    notes = [
        f"fp32, image bytes, {shop.threads} threads, {rounds} rounds of {RUNS} calls each. Ratio: the median of the "
        "rounds' ratios; apart: it or its inverse. LiteRT's benchmark gives two decimals of a millisecond."
    ]
    return Section("overhead", "What measuring costs, MobileViTV2-1.0 at 256", rows, notes)


def _row(file: str, peer: str, found: list[tuple[float, float]]) -> dict[str, Any]:
    ratio = statistics.median(ours / theirs for ours, theirs in found)
    ours, theirs = (statistics.median(values) for values in zip(*found, strict=True))
    apart = max(ratio, 1 / ratio)
    return {
        "file": file,
        "peer": peer,
        "ours ms": ours,
        "peer's ms": theirs,
        "ratio": ratio,
        "apart": apart,
        **judged(apart, at_most=BOUND),
    }


def _ours_ms(folder: Path, shop: Workshop) -> float:
    options = ProfileOptions(threads=shop.threads, warmup_runs=WARMUP, runs=RUNS, loads=0, traced=0)
    (result,) = profile([folder], options, Progress(quiet=True))
    assert result.latency.p50 is not None, result.validity.reasons
    return result.latency.p50 / 1e3


def _litert_ms(path: Path, shop: Workshop) -> float:
    found = shop.scratch / "litert.json"
    flags = {"model": path, "num_threads": shop.threads, "warmup_runs": WARMUP, "num_runs": RUNS, "result_json": found}
    command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model"]
    _run([*command, *(part for name, value in flags.items() for part in (f"--{name}", str(value)))])
    record = json.loads(found.read_text(encoding="utf-8"))
    return float(record["latency"]["median_ms"])


def _bare_ms(path: Path, shop: Workshop) -> float:
    image = path.parent / "golden/inputs/image.bin"
    arguments = map(str, (path, image, shop.threads, WARMUP, RUNS))
    return float(_run([sys.executable, "-m", "tests.benchmarks.bare_loop", *arguments]).splitlines()[-1])


def _run(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
