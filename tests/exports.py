"""Run the command line in a process of its own, and export artifacts with it that many tests look at."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CHECKPOINTS = ROOT / "sample_apps" / "checkpoints"
DIGITS = CHECKPOINTS / "mobilevitv2-digits"
TARGETS = ("coreml", "executorch", "tflite")
TIMEOUT_S = 900


@dataclass(frozen=True)
class Export:
    """What one export wrote. records: the command's JSON, by the artifact's name. Not to be changed."""

    checkpoint: Path
    records: Mapping[str, Mapping[str, Any]] = field(repr=False)
    out: Path
    stderr: str = field(repr=False)

    def __getitem__(self, name: str) -> Path:
        """Return an artifact's folder by its name, such as `tflite-fp32`."""
        return Path(self.records[name]["artifact"])


def mobile_kit(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "mobile_kit", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=TIMEOUT_S
    )


def export(checkpoint: Path, out: Path, *arguments: str) -> Export:
    """Export a checkpoint to `out`, to the kit's own targets unless others are named. It must succeed."""
    if "--target" not in arguments:  # a test may have installed others, such as one that hangs
        arguments = ("--target", ",".join(TARGETS), *arguments)
    done = mobile_kit("export", checkpoint, "--out", out, "--json", *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    records = json.loads(done.stdout)["artifacts"]
    return Export(checkpoint, {Path(record["artifact"]).name: record for record in records}, out, done.stderr)
