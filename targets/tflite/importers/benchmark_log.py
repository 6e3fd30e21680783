"""What LiteRT's `benchmark_model` prints: its log, and its profile of operations as CSV.

The lines are those of tflite/tools/benchmark/benchmark_model.cc; statistics come for the warm-up first, then for the
timed calls. A log may be of logcat, and hold several runs.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobile_kit.errors import ResultError, malformed, one_line
from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.json_document import MOST
from mobile_kit.measurements.latency import Latency
from mobile_kit.measurements.result import (
    Config,
    Load,
    Memory,
    ModelInfo,
    Placement,
    Result,
    RunInfo,
    Validity,
    unknown_device,
)
from targets.tflite.importers.op_table import SECTIONS, OpSections, delegate_name, joined, nothing

__all__ = ["BenchmarkLog", "OpProfileCsv"]

TOOL = "LiteRT benchmark_model"
MEGABYTE, MEBIBYTE = 1e6, 1 << 20
# Bytes that are read at a time.
BLOCK = 1 << 20
# More would be no log of a model, and fill the memory.
MOST_RUNS = 1000
MARKS = (b"STARTING!", b"Min num runs: [", b"Initialized session in ", b"Running benchmark for at least ")
TIMINGS = b"Inference timings in us: "
OPTION = re.compile(r"([\w ()/.]+): \[(.*)\]$")
STATISTIC = re.compile(r"(\w+)=([^\s(]+)")
ASKED = re.compile(r"Running benchmark for at least (\S+) iterations and at least (\S+) seconds .* exceeding (\S+) sec")
LOADED = re.compile(r"Initialized session in (\S+?)ms")
SIZE = re.compile(r"The input model file size \(MB\): (\S+)")
SUMMARY = re.compile(r"Inference timings in us: Init: (\S+), First inference: (\S+), .*Inference \(avg\): (\S+)")
FOOTPRINT = re.compile(r"Memory footprint delta from the start of the tool \(MB\): init=(\S+) overall=(\S+)")
FOOTPRINTS = re.compile(r"(Init footprint|Overall footprint|Peak memory): +([\d.]+) MB")
PEAK = re.compile(r"Overall peak memory footprint \(MB\) via periodic monitoring: (\S+)")
REPLACED = re.compile(r"Replacing (\d+)(?: out of (\d+))? node\(s\) with delegate \((\w+)\) node, yielding (\d+) part")
APPLIED = re.compile(
    r"Explicitly applied (\S+) delegate, and the model graph will be (completely|partially)(?:.* w/ (\d+))?"
)


# A severity and the place in the source, or a date, processes and a tag, as logcat has them.
BEFORE = rb"(?:(?:INFO|WARNING|ERROR|VERBOSE): (?:\[[^]\n]*:\d+\] )?|\d\d-\d\d \S+ +\d+ +\d+ \w tflite *: )"
PREFIX = re.compile(rb"\A" + BEFORE)


class BenchmarkLog:
    """Reads the log."""

    name = "LiteRT benchmark_model's log"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it has one of the tool's own lines."""
        return any(mark in head for mark in (*MARKS, TIMINGS))

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file, line by line: a log may be large."""
        runs = [_Run(path)]
        for number, line in _lines(path):
            if (line.startswith("STARTING!") and runs[-1].begun) or (runs[-1].ended and OPTION.match(line)):
                if len(runs) == MOST_RUNS:
                    raise ResultError(f"result {path.name}: has more than {MOST_RUNS} runs. Give a log of fewer.")
                runs.append(_Run(path))
            runs[-1].take(number, line)
        if not runs[-1].begun:
            raise malformed(path, "line 1", "no line here or below begins as the tool's do")
        return Imported(tuple(run.result() for run in runs))


class OpProfileCsv:
    """Reads what `--op_profiling_output_mode=csv` writes: the operations alone."""

    name = "LiteRT benchmark_model's profile of operations (CSV)"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it has a table's header, and is no log."""
        return b"node type, " in head and not any(mark in head for mark in (*MARKS, TIMINGS))

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        run = _Run(path)
        for number, line in _lines(path):
            run.take(number, line)
        if not run.sections.graph:
            raise nothing(path)
        return Imported((run.result(),))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, without what a logger puts before them, with their numbers.

    Of a large log almost none does, so that they are looked for rather than read one by one.
    """
    number, table = 1, False
    for block in _blocks(path):
        data, place = b"\n" + block, 0  # number: of the line that begins after this place
        while place < len(data) - 1:
            found = None if table else MARKED.search(data, place)
            if not table and found is None:
                break
            start = place if found is None else found.start()
            end = data.index(b"\n", start + 1)
            text = PREFIX.sub(b"", data[start + 1 : end], count=1)
            table = bool(text.strip()) and (table or b"node type" in text)
            number += data.count(b"\n", place, start)
            yield number, text.decode(errors="replace").rstrip("\r")
            number, place = number + 1, end
        number += data.count(b"\n", place) - 1


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines; one that is longer than a block counts as several."""
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(BLOCK):
            cut = piece.rfind(b"\n") + 1
            if cut or len(rest) >= BLOCK:
                yield rest + (piece[:cut] if cut else b"\n")
                rest = b""
            rest += piece[cut:]
    if rest:
        yield rest + b"\n"


class _Run:
    """What the lines of one run have said so far."""

    def __init__(self, path: Path) -> None:
        self.begun = self.ended = False
        self.sections = OpSections(path)
        self._path = path
        self._options: dict[str, str] = {}
        self._statistics: list[tuple[int, str]] = []
        self._asked: list[tuple[float, ...]] = []
        self._loads: list[float] = []
        self._numbers: dict[str, float] = {}
        self._delegates: dict[str, tuple[int, int | None, int]] = {}
        self._kernels: int | None = None
        self._default: str | None = None

    def take(self, number: int, line: str) -> None:
        """Read a line. Raises: ResultError naming it where it isn't as the tool prints it."""
        if line.startswith("count="):
            # Of the warm-up, then of the timed calls: what is between needn't be kept.
            self._statistics = [*self._statistics[:1], (number, line)]
        elif self.sections.take(number, line):
            return
        elif (read := READERS.get(line[:4].encode(errors="replace"))) is not None:
            with self._named(number):
                read(self, line)

    @contextmanager
    def _named(self, number: int) -> Iterator[None]:
        try:
            yield
        except ValueError as exc:
            raise malformed(self._path, f"line {number}", f"isn't as it is printed ({one_line(exc)})") from exc

    def start(self, line: str) -> None:
        """Note that the run is under way; or that a delegate is there by default."""
        if line.startswith("Created TensorFlow Lite XNNPACK delegate"):
            self._default = "XNNPACK"

    def option(self, line: str) -> None:
        """Read what was asked for."""
        if found := OPTION.match(line):
            self._options[found[1]] = found[2]
            self.begun = True

    def asked(self, line: str) -> None:
        """Read how many calls are to come."""
        self.begun = True
        if line.startswith("Running benchmark"):
            self._asked.append(_numbers(ASKED, line))

    def loaded(self, line: str) -> None:
        """Read how long loading took, in milliseconds; it may be done several times."""
        if line.startswith("Initialized session"):
            self._loads.append(_numbers(LOADED, line)[0] * 1e3)
            self.begun = True
        else:
            self.peak(line)

    def size(self, line: str) -> None:
        """Read the size of the model file."""
        if line.startswith("The input model file size"):
            self._numbers["size"] = _numbers(SIZE, line)[0]

    def summary(self, line: str) -> None:
        """Read the line at the end, which older versions print alone."""
        if line.startswith("Inference timings"):
            names = ("loaded_us", "first_us", "mean_us")
            self._numbers |= dict(zip(names, _numbers(SUMMARY, line), strict=True))
            self.begun = self.ended = True

    def memory(self, line: str) -> None:
        """Read what loading and running added."""
        if line.startswith("Memory footprint delta"):
            self._numbers |= dict(zip(("init", "overall"), _numbers(FOOTPRINT, line), strict=True))

    def peak(self, line: str) -> None:
        """Read the most memory at a time, less than 0 where it isn't known; or a line of LiteRT's newer benchmark."""
        if line.startswith("Overall peak memory"):
            self._numbers["peak"] = _numbers(PEAK, line)[0]
        elif found := FOOTPRINTS.match(line):
            self._numbers[found[1].partition(" ")[0].lower()] = _finite(found[2])

    def replaced(self, line: str) -> None:
        """Read what a delegate takes of the first graph. The runtime counts the pieces it leaves too."""
        if (found := REPLACED.match(line)) and ("for subgraph" not in line or "for subgraph 0" in line):
            nodes, total, pieces = int(found[1]), found[2], int(found[4])
            self._delegates[delegate_name(found[3])] = nodes, None if total is None else int(total), pieces

    def applied(self, line: str) -> None:
        """Read whether a delegate that was asked for takes the graph."""
        if found := APPLIED.match(line):
            self._delegates.setdefault(found[1], (0, None, 0))
            self._kernels = 1 if found[2] == "completely" else int(found[3]) if found[3] else None

    def result(self) -> Result:
        """Return what is known."""
        warm, timed = self._phases()
        broken = "its log ends before the timed calls do" if timed is None and self.begun else None
        ops, nodes = joined(self.sections.graph, self.sections.kernels, self._delegate)
        name = self._options.get("Graph", "").replace("\\", "/").rpartition("/")[2]
        size = self._numbers.get("size")
        return Result(
            run=RunInfo("", "imported", TOOL),
            model=ModelInfo(name, size_bytes=None if size is None else round(size * MEGABYTE)),
            device=unknown_device(),
            config=self._config(warm),
            latency=replace(timed or Latency(), first=self._numbers.get("first_us", warm.first)),
            load=Load(next(iter(self._loads), self._numbers.get("loaded_us")), tuple(self._loads[1:])),
            memory=Memory(self._bytes("peak"), self._bytes("init"), self._bytes("overall")),
            ops=ops,
            placement=self._placement(nodes),
            validity=Validity(completed=broken is None, reasons=() if broken is None else (broken,)),
        )

    @property
    def _delegate(self) -> str | None:
        return ", ".join(self._delegates) or self._default

    def _phases(self) -> tuple[Latency, Latency | None]:
        """Return the figures of the warm-up and of the timed calls, None where the log ends before them."""
        figures = []
        for number, line in self._statistics:
            with self._named(number):
                figures.append(_latency(dict(STATISTIC.findall(line))))
        if len(figures) > 1:
            return figures[0], figures[1]
        mean = self._numbers.get("mean_us")
        summary = None if mean is None else Latency(mean=mean)
        # One alone is of the warm-up where the log says that it began.
        if figures and self._asked:
            return figures[0], summary
        return Latency(), figures[0] if figures else summary

    def _config(self, warm: Latency) -> Config:
        options, warming = self._options, self._asked[0] if self._asked else (None, None, None)
        asked = self._asked[-1] if len(self._asked) > 1 else (None, None, None)
        threads = options.get("Num threads", "")
        return Config(
            delegate=self._delegate,
            threads=int(threads) if threads.isdecimal() and int(threads) else None,
            warmup_runs=warm.count if warming[0] is None or warm.count is not None else round(warming[0]),
            warmup_s=warming[1],
            runs=None if asked[0] is None else round(asked[0]),
            min_s=asked[1],
            max_s=asked[2],
            # The tool makes up its input unless it is given files.
            input="random" if self._asked and not options.get("Input value files") else None,
        )

    def _placement(self, nodes: int | None) -> Placement:
        """Return what runs where, as far as one delegate alone takes part. nodes: of a delegate in the profile."""
        if len(self._delegates) != 1:
            return Placement(partitions=nodes)
        ((name, (count, total, pieces)),) = self._delegates.items()
        # Pieces of a delegate and others take turns, so that of an odd number either has one more.
        halved = pieces if pieces == 1 else pieces // 2 if pieces and pieces % 2 == 0 else None
        gpu = count if name == "GPU" and total is not None else None
        cpu = total if name == "XNNPACK" else None if gpu is None or total is None else total - gpu
        partitions = nodes or self._kernels or halved
        return Placement(total=total, gpu=gpu, cpu=cpu, partitions=partitions)

    def _bytes(self, key: str) -> int | None:
        """Return an amount of memory, None where it wasn't measured."""
        value = self._numbers.get(key)
        return None if value is None or (key == "peak" and value <= 0) else round(value * MEBIBYTE)


def _latency(values: dict[str, str]) -> Latency:
    """Return statistics in microseconds. A single call, and calls that took equally long, have one figure alone."""
    if "count" not in values:
        raise ValueError("has no count")
    count = round(_finite(values["count"]))
    if not count:
        return Latency(count=0)
    if "avg" not in values:
        only = _finite(values.get("curr", ""))
        std = None if count == 1 else 0.0
        return Latency(count=count, first=only, mean=only, std=std, min=only, max=only, p5=only, p50=only, p95=only)
    names = {"first": "first", "avg": "mean", "std": "std", "min": "min", "max": "max"}
    names |= {"p5": "p5", "median": "p50", "p95": "p95"}
    figures = {ours: _finite(values[theirs]) for theirs, ours in names.items() if theirs in values}
    cv = figures["std"] / figures["mean"] if "std" in figures and figures["mean"] else None
    return Latency(count=count, cv=cv, **figures)  # type: ignore[arg-type]  # the names are those of figures


def _numbers(pattern: re.Pattern[str], line: str) -> tuple[float, ...]:
    found = pattern.match(line)
    if found is None:
        raise ValueError("has other words")
    return tuple(map(_finite, found.groups()))


def _finite(text: str) -> float:
    number = float(text)
    if not abs(number) <= MOST:
        raise ValueError(f"{text[:50]} is no number, or absurd")
    return number


# What reads a line, by its first four letters.
READERS: dict[bytes, Callable[[_Run, str], Any]] = {
    b"Crea": _Run.start,
    b"Expl": _Run.applied,
    b"Grap": _Run.option,
    b"Infe": _Run.summary,
    b"Init": _Run.loaded,
    b"Inpu": _Run.option,
    b"Memo": _Run.memory,
    b"Min ": _Run.option,
    b"Num ": _Run.option,
    b"Over": _Run.peak,
    b"Peak": _Run.peak,
    b"Repl": _Run.replaced,
    b"Runn": _Run.asked,
    b"STAR": _Run.asked,
    b"The ": _Run.size,
}
# What else a line may begin with: of statistics, or about tables.
OTHERS = (b"count=", b"====", b"node type,", *map(str.encode, SECTIONS))
# A line that says something.
MARKED = re.compile(
    rb"\n%b?(?:%b|[ \t]*\[node type\])" % (BEFORE, b"|".join(re.escape(words) for words in (*READERS, *OTHERS)))
)
