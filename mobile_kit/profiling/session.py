"""One file on one device: what all ways to time it share."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mobile_kit.artifacts.golden import Sample, read_answers, read_golden
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.errors import DeviceError
from mobile_kit.measurements.result import DeviceInfo, OutputDistance, Result, Thermal
from mobile_kit.models.spec import Array
from mobile_kit.profiling.devices.device import Device, Running
from mobile_kit.profiling.options import DeviceOptions
from mobile_kit.profiling.validity import distances, model_info, with_validity
from mobile_kit.target_api.registry import find_target

__all__ = ["BenchmarkSession", "raw"]


class BenchmarkSession(ABC):
    """One file on a device, from putting it there to what was found.

    name: of the artifact. error: what ended it early, None where nothing has. cores: numbers of those to stay on.
    """

    def __init__(self, number: int, manifest: Manifest, device: Device, options: DeviceOptions) -> None:
        self.name = manifest.folder.resolve().name
        self.error: str | None = None
        self.manifest, self._device, self._options = manifest, device, options
        self._target = find_target(manifest.record.target)
        self._prefix = f"{number}-"
        self._answers = read_answers(manifest)
        self._samples: list[Sample] = [read_golden(manifest)]
        self._outputs: dict[str, bytes] = {}
        self._running: Running | None = None

    @cached_property
    def cores(self) -> tuple[int, ...] | None:
        """The numbers of the cores to stay on, None for any; the device is asked once. Raises: DeviceError."""
        cores = self._options.cores
        return self._device.big_cores() if cores == "big" else cores

    @property
    def pid(self) -> int | None:
        """The number of its process on this machine, None where it has none."""
        return None if self._running is None else self._running.pid

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step; where the device fails at it, keep why, and end."""
        try:
            step()
        except DeviceError as exc:
            self.error = self.error or str(exc)
            self.stop()

    @abstractmethod
    def start(self) -> None:
        """Put the files there and start the program, up to where it waits for its turn, if it takes any.

        Raises: DeviceError.
        """

    @abstractmethod
    def finish(self) -> None:
        """End it in order, and fetch what it computed. Raises: DeviceError."""

    @abstractmethod
    def trace(self) -> str | None:
        """Time its single operations, where that is possible; return why it isn't, where it should be."""

    @abstractmethod
    def found(self) -> tuple[Result, bool | None]:
        """Return what it said so far, and whether the machine was left alone meanwhile, None where it can't be told."""

    def stop(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.stop()

    def result(self, identity: str, device: DeviceInfo, thermal: Thermal) -> Result:
        """Return what is known. identity: of the run, the same for all files that were timed in turns."""
        said, undisturbed = self.found()
        options = self._options
        asked = replace(
            said.config,
            cores=self.cores if self.error is None else None,
            warmup_s=options.warmup_s,
            runs=options.runs,
            min_s=options.min_s,
            max_s=options.max_s,
            cooldown_s=options.cooldown_s or None,
            input="golden",
        )
        whole = replace(
            said,
            run=replace(said.run, id=identity),
            model=model_info(self.manifest),
            device=device,
            config=asked,
            thermal=thermal,
            placement=replace(said.placement, total=sum(self.manifest.record.graph.ops.values())),
            parity=self._distances(),
            env=dict(self.manifest.record.tools),
        )
        return with_validity(whole, self.error, undisturbed, self.manifest.record.graph.partitions)

    def _distances(self) -> tuple[OutputDistance, ...]:
        found: list[OutputDistance] = []

        def measure() -> None:
            found.extend(distances(self.manifest, self._answers, self._samples, self._outputs))

        if self._outputs:
            self.attempt(measure)
        return tuple(found)

    def _put(self, path: Path, name: str, program: bool = False) -> str:
        return self._device.put(path, self._prefix + name, program)

    def _get(self, name: str) -> bytes:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "content")
            self._device.get(self._prefix + name, path)
            return path.read_bytes()

    def _put_inputs(self) -> Iterator[tuple[str, str]]:
        """Put the inputs of all samples there; yield the name of each with its path."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "values")
            for number, spec in enumerate(self.manifest.inputs):
                path.write_bytes(b"".join(raw(sample.inputs[spec.name]) for sample in self._samples))
                yield spec.name, self._put(path, f"input-{number}.bin")


def raw(values: Array) -> bytes:
    """Return a tensor as it lies in a file: little-endian, in its own order."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def pinned(command: Sequence[str], cores: tuple[int, ...] | None) -> list[str]:
    """Return a command that stays on some cores: both toybox's taskset and util-linux's take a mask of hexadecimals."""
    return [*command] if cores is None else ["taskset", f"{sum(1 << core for core in cores):x}", *command]
