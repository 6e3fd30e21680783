"""A file that a program of its platform's own times, given by the user: one run from beginning to end."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobile_kit.errors import DeviceError, ResultError, UnsupportedError
from mobile_kit.measurements.importers.base import Importer
from mobile_kit.measurements.result import ModelInfo, Result, RunInfo, unknown_device
from mobile_kit.profiling.devices.elf import machine_of
from mobile_kit.profiling.session import BenchmarkSession, pinned
from mobile_kit.target_api.benchmark import BenchmarkJob, BenchmarkProgram

__all__ = ["BinarySession", "check_binary"]


def check_binary(path: Path, abi: str | None) -> None:
    """Raise UnsupportedError where a program isn't one for a device's processor, before it is put there."""
    machine = machine_of(path)
    if machine is None:
        raise UnsupportedError(f"runner {path.name}: is no program for Linux or Android (ELF). Give one.")
    if abi is not None and abi not in machine:
        raise UnsupportedError(f"runner {path.name}: is for {machine[0]}, and the device is {abi}. Give one for that.")


class BinarySession(BenchmarkSession):
    """See `BenchmarkSession`. It takes no turns; on the golden photo its outputs are held against the oracle's."""

    _said: Result | None = None

    def start(self) -> None:
        """Put the files there, and run the program to its end."""
        binary, options = self._target.binary, self._options
        assert binary is not None
        assert options.runner is not None
        job = BenchmarkJob(
            program=self._put(options.runner, binary.name, program=True),
            model=self._put(self.manifest.model_path, self._target.model_file),
            inputs=self.manifest.inputs,
            values=tuple(path for _, path in self._put_inputs()),
            outputs=self.manifest.outputs,
            folder=f"{self._device.folder}/{self._prefix}",
            threads=options.threads,
            warmup_runs=options.warmup_runs,
            warmup_s=options.warmup_s,
            runs=options.runs,
            min_s=options.min_s,
            max_s=options.max_s,
        )
        # Some say what they found on one stream, some on the other.
        both = ["sh", "-c", 'exec "$0" "$@" 2>&1', *pinned(binary.command(job), self.cores)]
        self._running = self._device.start(both)
        words: list[str] = []
        try:
            words.extend(self._running.lines())
        finally:
            self._said = self._read("log", "\n".join(words).encode(), binary.log, self._said)
        whole = b"".join(self._get(name) for name in binary.outputs(job))
        self._outputs = dict(_split(whole, binary, job))
        if binary.operations is not None:
            name, importer = binary.operations
            self._said = self._read(name, self._get(name), importer, self._said)

    def _read(self, name: str, content: bytes, importer: Importer, known: Result | None) -> Result | None:
        """Return what a file of the program's says, with what is known already."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, name)
            path.write_bytes(content)
            try:
                (found, *_) = importer.read(path, None).results
            except ResultError as exc:
                if known is None:
                    self.error = self.error or str(exc)
                return known
        return found if known is None else replace(known, ops=found.ops)

    def finish(self) -> None:
        """Do nothing: it has ended."""

    def trace(self) -> str | None:
        """Return None: its operations were timed with the rest, if the program does that."""
        return None

    def found(self) -> tuple[Result, bool | None]:
        """Return what it said."""
        nothing = Result(RunInfo("", "binary", "unknown"), ModelInfo(self.name), unknown_device())
        said = self._said or nothing
        config = replace(said.config, threads=self._options.threads)
        return replace(said, run=replace(said.run, harness="binary"), config=config), None


def _split(whole: bytes, binary: BenchmarkProgram, job: BenchmarkJob) -> Iterator[tuple[str, bytes]]:
    """Yield the content of each output; they lie behind one another in the file's order."""
    sizes = [math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in job.outputs]
    if len(whole) != sum(sizes):
        raise DeviceError(f"{binary.name}: wrote {len(whole)} bytes of outputs of {sum(sizes)}. Run it again.")
    for spec, size in zip(job.outputs, sizes, strict=True):
        yield spec.name, whole[:size]
        whole = whole[size:]
