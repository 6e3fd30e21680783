"""Other programs that the benchmark runs: the kit's own command line, and converters in processes of their own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Conversion", "Spent", "Workshop"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Spent:
    """Time of a finished process: on the clock, and of all cores, its children's included."""

    seconds: float
    cpu_s: float


@dataclass(frozen=True)
class Conversion:
    """What a converter's process left. spent: by the process. convert_s: without imports; None where it failed.

    path: the file, None where error says why there is none.
    """

    path: Path | None
    spent: Spent
    convert_s: float | None
    error: str | None
    graph: dict[str, int]


@dataclass(frozen=True)
class Workshop:
    """A folder for helper files, a folder for logs, and the number of threads that engines get."""

    scratch: Path
    logs: Path
    threads: int

    def kit(self, name: str, *arguments: str) -> Spent:
        """Run `mobile-kit` with arguments; return what it took.

        Raises: RuntimeError naming the log where it doesn't end well.
        """
        code, spent = self._run(name, [sys.executable, "-m", "mobile_kit", *arguments])
        if code:
            raise RuntimeError(f"mobile-kit {arguments[0]}: ended with {code}. See logs/{name}.log.")
        return spent

    def export(self, name: str, model: Path | str, *arguments: str) -> list[Path]:
        """Export a checkpoint in a folder; return the artifacts' folders. A parity failure is no failure here."""
        out = self.scratch / name
        command = [sys.executable, "-m", "mobile_kit", "export", str(model), "--out", str(out), *arguments]
        code, _ = self._run(name, command)
        found = sorted(path.parent for path in out.glob("*/*/manifest.json"))
        if not found:
            raise RuntimeError(f"mobile-kit export: ended with {code}, no artifact. See logs/{name}.log.")
        return found

    def convert(self, name: str, tool: str, module: Path, suffix: str, *arguments: str) -> Conversion:
        """Run one converter on a saved module in a fresh process; see converters.py."""
        out = self.scratch / f"{name}{suffix}"
        command = [sys.executable, "-m", "tests.benchmarks.converters", tool, str(module), str(out), *arguments]
        code, spent = self._run(name, command)
        report = out.with_name(out.name + ".json")
        result: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        error = result.get("error") or (None if result else f"the process ended with code {code}")
        return Conversion(
            path=None if error else out,
            spent=spent,
            convert_s=result.get("convert_s"),
            error=error,
            graph=result.get("graph", {}),
        )

    def handed(self, target: str, checkpoint: Path) -> Path:
        """Save the module that a target hands to its toolchain; see handed.py.

        Raises: RuntimeError naming the log.
        """
        path = self.scratch / f"handed-{target}.pt"
        name = path.stem
        code, _ = self._run(name, [sys.executable, "-m", "tests.benchmarks.handed", target, str(checkpoint), str(path)])
        if code:
            raise RuntimeError(f"target {target!r}: its graph can't be had. See logs/{name}.log.")
        return path

    def module(self, name: str, *arguments: str) -> None:
        """Run a module of the benchmark in a fresh process. Raises: RuntimeError naming the log."""
        log = f"{name}-{arguments[0]}"
        code, _ = self._run(log, [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments])
        if code:
            raise RuntimeError(f"tests.benchmarks.{name}: ended with {code}. See logs/{log}.log.")

    def save(self, name: str, module: nn.Module, examples: tuple[Tensor, ...]) -> Path:
        """Keep a module with its example inputs for a converter."""
        path = self.scratch / f"{name}.pt"
        torch.save((module, examples), path)
        return path

    def _run(self, name: str, command: list[str]) -> tuple[int, Spent]:
        start, before = time.perf_counter(), os.times()
        with (self.logs / f"{name}.log").open("a", encoding="utf-8") as log:
            run = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        return run.returncode, Spent(time.perf_counter() - start, cpu_s)
