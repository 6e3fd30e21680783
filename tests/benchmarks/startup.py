"""How long the command line takes to answer."""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

RUNS = 5
# Seconds.
BOUND_S = 0.5


def measure() -> Section:
    """Time `mobile-kit --help` next to a Python that does nothing."""
    script = Path(sys.executable).with_name("mobile-kit")
    command = [str(script)] if script.is_file() else [shutil.which("mobile-kit") or "mobile-kit"]
    idle = _median_s([sys.executable, "-c", "pass"])
    ours = _median_s([*command, "--help"])
    rows = [
        {"command": "mobile-kit --help", "seconds": ours, **judged(ours, at_most=BOUND_S)},
        {"command": "python -c pass", "seconds": idle},
    ]
    return Section("startup", "Startup", rows, [f"Median of {RUNS}."])


def _median_s(command: list[str]) -> float | None:
    """Return the median time of a command, None where it doesn't run."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        times.append(time.perf_counter() - start)
    return statistics.median(times)
