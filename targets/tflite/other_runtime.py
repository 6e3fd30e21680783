"""Run a .tflite with another runtime than the kit's, in an environment of its own: older apps and boards have it."""

import io
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from mobile_kit.errors import ArtifactError, UnsupportedError
from mobile_kit.models.spec import Array
from mobile_kit.target_api.environments import environment
from targets.tflite.runtime import labels_of

__all__ = ["OtherRuntime"]

CLIENT = Path(__file__).with_name("on_device") / "runtime_client.py"
# What a package needs beside it.
PACKAGES = {"ai-edge-litert": [], "tflite-runtime": ["numpy<2"]}
REQUIREMENT = re.compile(r"([a-z-]+)==(\d+(?:\.\d+)*)")


class OtherRuntime:
    """A .tflite loaded by a runtime such as tflite-runtime==2.14.0, in a process that ends with this object.

    cache: where environments are kept.
    Raises: UnsupportedError for a runtime that isn't known; MissingToolError where it can't be installed; ArtifactError
        where it can't load the file.
    """

    native = True

    def __init__(self, requirement: str, path: Path, cache: Path) -> None:
        found = REQUIREMENT.fullmatch(requirement)
        if found is None or found[1] not in PACKAGES:
            known = " or ".join(f"{name}==VERSION" for name in sorted(PACKAGES))
            raise UnsupportedError(f"runtime {requirement!r}: isn't known. Give {known}.")
        self.name = f"{found[1]} {found[2]}"
        self.labels = labels_of(path)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        python = environment(cache, found[1], [requirement, *PACKAGES[found[1]]])
        command: list[str | Path] = [python, "-I", CLIENT, path]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._words)
        described = json.loads(self._answered(self._stream("stdout").readline(), path))
        self.inputs, self.outputs = (
            {name: (tuple(shape), dtype) for name, shape, dtype in tensors} for tensors in described
        )
        self._path = path

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.communicate()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name."""
        content = io.BytesIO()
        np.savez(content, **dict[str, Any](inputs))
        entry, answers = self._stream("stdin"), self._stream("stdout")
        entry.write(b"%d\n" % len(content.getvalue()) + content.getvalue())
        entry.flush()
        length = int(self._answered(answers.readline(), self._path))
        with np.load(io.BytesIO(answers.read(length))) as values:
            return dict(values)

    def _stream(self, name: str) -> IO[bytes]:
        stream: IO[bytes] = getattr(self._process, name)
        return stream

    def _answered(self, line: bytes, path: Path) -> bytes:
        """Return an answer. Raises: ArtifactError with the runtime's words where there is none."""
        if line:
            return line
        self._process.wait()
        said = os.pread(self._words.fileno(), 1 << 16, 0).decode(errors="replace").strip().splitlines()
        raise ArtifactError(f"file {path.name}: {self.name} can't run it ({said[-1] if said else 'it ended'}).")
