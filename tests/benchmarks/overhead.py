"""What measuring costs: the kit's figures on this machine beside LiteRT's own benchmark and a bare ExecuTorch loop."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.progress import Progress
from tests.benchmarks.process import ROOT, Workshop
from tests.benchmarks.stock import CLASSIFIER, saved
from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

# Turns of a run, and calls of a turn.
TURNS, CALLS = 32, 8
# The peer's turns are in it.
MOST_S = 600.0
# LiteRT's benchmark is a process of its own each time, which must get warm.
WARMUP = 10
# How far apart the medians may be.
BOUND = 1.03
Turn = Callable[[], list[float]]


class _Between(Progress):
    """Lets a peer have its turn after every turn of the kit's."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(quiet=True)
        self._turn = turn
        self.times_ms: list[float] = []

    def stage(self, name: str, detail: str = "", done: bool = False) -> None:
        """Take a turn where one of the kit's has ended."""
        if detail.startswith("round"):
            self.times_ms += self._turn()


def measure(shop: Workshop, rounds: int) -> Section:
    """Let the kit time a file, and a peer the same file in turns with it; compare the medians of every run."""
    source = shop.scratch / "overhead"
    saved(CLASSIFIER, source)
    folders = shop.export("overhead-files", source, "--target", "executorch,tflite")
    peers = {"model.pte": ("a bare ExecuTorch loop", _bare), "model.tflite": ("LiteRT's own benchmark", _litert)}
    rows = []
    for folder in folders:
        path = next(folder / name for name in peers if (folder / name).is_file())
        peer, opened = peers[path.name]
        with opened(path, shop) as turn:
            rows.append(_row(path.name, peer, [_pair(folder, turn, shop) for _ in range(rounds)]))
    notes = [
        f"fp32, image bytes, {shop.threads} threads, {rounds} runs of {TURNS} turns of {CALLS} calls. Ratio: the "
        "median of the runs' ratios of medians; apart: it or its inverse. LiteRT's benchmark gives a turn's median."
    ]
    return Section("overhead", "What measuring costs, MobileViTV2-1.0 at 256", rows, notes)


def _row(file: str, peer: str, found: list[tuple[float, float]]) -> dict[str, Any]:
    ratios = [ours / theirs for ours, theirs in found]
    ratio = statistics.median(ratios)
    ours, theirs = (statistics.median(values) for values in zip(*found, strict=True))
    apart = max(ratio, 1 / ratio)
    return {
        "file": file,
        "peer": peer,
        "ours ms": ours,
        "peer's ms": theirs,
        "ratio": ratio,
        "least": min(ratios),
        "greatest": max(ratios),
        "apart": apart,
        **judged(apart, at_most=BOUND),
    }


def _pair(folder: Path, turn: Turn, shop: Workshop) -> tuple[float, float]:
    """Return the median milliseconds of the kit and of the peer, in one run."""
    between = _Between(turn)
    options = ProfileOptions(threads=shop.threads, runs=TURNS * CALLS, max_s=MOST_S, blocks=TURNS, loads=0, traced=0)
    (result,) = profile([folder], options, between)
    assert result.validity.valid, result.validity.reasons
    assert result.latency.p50 is not None
    return result.latency.p50 / 1e3, statistics.median(between.times_ms)


@contextmanager
def _litert(path: Path, shop: Workshop) -> Iterator[Turn]:
    found = shop.scratch / "litert.json"
    flags = {"model": path, "num_threads": shop.threads, "warmup_runs": WARMUP, "num_runs": CALLS, "result_json": found}
    tool = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model"]
    command = [*tool, *(part for name, value in flags.items() for part in (f"--{name}", str(value)))]

    def turn() -> list[float]:
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        return [float(json.loads(found.read_text(encoding="utf-8"))["latency"]["median_ms"])]

    yield turn


@contextmanager
def _bare(path: Path, shop: Workshop) -> Iterator[Turn]:
    arguments = map(str, (path, path.parent / "golden/inputs/image.bin", shop.threads, CALLS))
    command = [sys.executable, "-m", "tests.benchmarks.bare_loop", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def turn() -> list[float]:
            process.stdin.write("\n")
            process.stdin.flush()
            times: list[float] = json.loads(process.stdout.readline())
            return times

        yield turn
        process.stdin.close()
