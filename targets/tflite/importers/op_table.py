"""The table of operations that LiteRT's profilers print, as text or CSV: columns are found by their header.

Versions differ: some have a column `start` more, some write commas in names as they are and some as tabs, some list a
delegate's kernels apart and some among the other operations.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mobile_kit.errors import ResultError, malformed, one_line
from mobile_kit.measurements.result import Op

__all__ = ["SECTIONS", "OpSections", "OpTable", "delegate_name", "joined", "nothing", "with_shares"]

NEEDED = ("node type", "avg ms", "name")
NUMBER = r"\s+(-?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?)%?)"
# Before the type of a delegate's kernel, where it stands among the other operations.
KERNEL = "Delegate/"
# Bytes of what the profiler calls KB.
KB = 1000
# What a title begins with, and what the tables below it are of. Those of loading, and of graphs that run within an
# operation, aren't read; what is in the part on loading stays in it.
SECTIONS = {
    "Delegate internal": "kernels",
    "Operator-wise Profiling Info": "runs",
    "Primary graph": "runs",
    "Profiling Info for Benchmark Initialization": "loading",
    "Subgraph (index": "inner graph",
}
# What the runtime calls a delegate's node, and what it is called otherwise.
DELEGATES = {
    "TfLiteXNNPackDelegate": "XNNPACK",
    "TfLiteGpuDelegateV2": "GPU",
    "TfLiteNnapiDelegate": "NNAPI",
}


def delegate_name(node: str) -> str:
    """Return what a delegate is called, of what its node is called."""
    return DELEGATES.get(node, node)


class OpTable:
    """One table, read row by row."""

    def __init__(self, path: Path, number: int, header: str) -> None:
        """Read the header. Raises: ResultError where it lacks a column."""
        self.ops: list[Op] = []
        self._path, text = path, header.lstrip().startswith("[")
        names = re.findall(r"\[([^]]*)\]", header) if text else header.split(",")
        self._names = [name.strip().lower().replace("_", " ") for name in names]
        # As text, a type and a name may have spaces in them, and the numbers between them none.
        numbers = NUMBER * (len(names) - 2)
        self._row = re.compile(rf"\s*(.+?){numbers}\s*(.*)") if text else None
        missing = [name for name in NEEDED if name not in self._names]
        if missing:
            raise malformed(path, f"line {number}", f"the header has no column {missing[0]!r}")

    def add(self, number: int, row: str) -> None:
        """Read a row. Raises: ResultError naming the line where it doesn't fit the header."""
        cells = self._split(row)
        if len(cells) != len(self._names):
            raise malformed(self._path, f"line {number}", f"has {len(cells)} columns, the header {len(self._names)}")
        values = dict(zip(self._names, cells, strict=True))
        try:
            mean, percent, size = (_number(values.get(name)) for name in ("avg ms", "%", "mem kb"))
            calls = None if "times called" not in values else int(values["times called"])
        except ValueError as exc:
            raise malformed(self._path, f"line {number}", f"no row of the table ({one_line(exc)})") from exc
        self.ops.append(
            Op(
                name=values["name"].replace("\t", ","),
                type=values["node type"],
                mean_us=None if mean is None else mean * 1e3,
                percent=percent,
                calls=calls,
                # It writes 0 where it doesn't track memory.
                memory_bytes=round(size * KB) if size else None,
            )
        )

    def _split(self, row: str) -> list[str]:
        """Return the cells; in the last one, commas are part of the name."""
        if self._row is None:
            return [cell.strip() for cell in row.split(",", len(self._names) - 1)]
        found = self._row.fullmatch(row.rstrip())
        return list(found.groups()) if found else row.split()


@dataclass
class OpSections:
    """The tables of a profile: of the runs, and of a delegate's own kernels in them."""

    path: Path
    graph: list[Op] = field(default_factory=list)
    kernels: list[Op] = field(default_factory=list)
    _section: str = "runs"
    _wanted: bool = True
    _table: OpTable | None = None

    def take(self, number: int, line: str) -> bool:
        """Read a line; return whether it was a title, a header or a row."""
        if self._table is not None and line.strip():
            self._table.add(number, line)
            return True
        self._table = None
        text = line.strip()
        if text.startswith("="):
            self._wanted = text.strip("= ") == "Run Order"
        elif text.startswith(("[node type]", "node type,")) and self._wanted:
            return self._open(number, line)
        else:
            return self._entitled(text)
        return True

    def _open(self, number: int, header: str) -> bool:
        self._table = OpTable(self.path, number, header)
        if self._section == "runs":
            self.graph = self._table.ops
        elif self._section == "kernels":
            self.kernels = self._table.ops
        return True

    def _entitled(self, text: str) -> bool:
        """Note what the tables to come are of; return whether the line said it."""
        for title, section in SECTIONS.items():
            if text.startswith(title):
                if self._section != "loading" or section == "loading" or title.startswith("Operator-wise"):
                    self._section = section
                return True
        return False


def joined(graph: list[Op], kernels: list[Op], delegate: str | None = None) -> tuple[tuple[Op, ...], int | None]:
    """Return all operations, and in how many pieces a delegate has the graph, None where it isn't known.

    A delegate's kernels, where they are known, stand for its nodes. delegate: what is called so elsewhere.
    """
    nodes = [op for op in graph if "delegate" in (op.type or "").lower() and not (op.type or "").startswith(KERNEL)]
    names = {delegate_name(op.type or "") for op in nodes}
    name = names.pop() if len(names) == 1 else delegate or "delegate"
    marked = [_marked(op, name) for op in graph if not (kernels and op in nodes)]
    if not kernels:
        return tuple(marked), len(nodes) or None
    return with_shares([*marked, *(replace(op, delegate=name) for op in kernels)]), len(nodes) or None


def with_shares(ops: Sequence[Op]) -> tuple[Op, ...]:
    """Add which percent of all each operation takes, where its time is known."""
    total = sum(op.mean_us or 0 for op in ops)
    shares = [None if op.mean_us is None or not total else 100 * op.mean_us / total for op in ops]
    return tuple(replace(op, percent=share) for op, share in zip(ops, shares, strict=True))


def _marked(op: Op, delegate: str) -> Op:
    """Add what computes an operation of the graph, where a delegate does. delegate: the one that the graph has."""
    kind = op.type or ""
    if kind.startswith(KERNEL):
        return replace(op, type=kind.removeprefix(KERNEL), delegate=delegate)
    return replace(op, delegate=delegate_name(kind)) if "delegate" in kind.lower() else op


def _number(text: str | None) -> float | None:
    """Return a number, None for one that isn't there or isn't finite."""
    if text is None:
        return None
    number = float(text.removesuffix("%"))
    return number if math.isfinite(number) else None


def nothing(path: Path) -> ResultError:
    """Return the error for a profile without operations."""
    return ResultError(f"result {path.name}: has no operation of a run. Profile with --enable_op_profiling=true.")
