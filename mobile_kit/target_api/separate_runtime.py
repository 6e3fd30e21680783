"""Run a file in a child process: where a damaged one crashes the runtime, the parent raises a one-line error.

The child is this module: `python -m mobile_kit.target_api.separate_runtime`. Both sides send a line of JSON, and arrays
as the bytes of an npz behind a line with their length.
"""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from mobile_kit.errors import ArtifactError, MobileKitError, last_line, named_line
from mobile_kit.models.spec import Array, TensorSpec
from mobile_kit.target_api.interface import Runtime
from mobile_kit.target_api.registry import find_target

__all__ = ["SeparateRuntime"]

# Nothing takes so long but a file that never ends.
MOST_S = 600.0
LAST_BYTES = 1 << 16


class SeparateRuntime:
    """A target's file loaded by its runtime in another process, which ends with this object; see `interface.Runtime`.

    Raises: ArtifactError where the runtime can't load the file, or ends over it.
    """

    def __init__(
        self, target: str, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        self._path = path
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        pipe = subprocess.PIPE
        command = [sys.executable, "-P", "-m", "mobile_kit.target_api.separate_runtime"]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._words)
        asked = msgspec.to_builtins({"target": target, "path": str(path), "inputs": inputs, "outputs": outputs})
        told = self._ask(json.dumps(asked).encode() + b"\n")
        self.name, self.native = str(told["name"]), bool(told["native"])
        self.labels = None if told["labels"] is None else tuple(told["labels"])
        self.inputs, self.outputs = (
            {name: (tuple(shape), dtype) for name, (shape, dtype) in told[role].items()}
            for role in ("inputs", "outputs")
        )

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.communicate()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name. Raises: ArtifactError where the runtime fails, or ends."""
        told = self._ask(_packed(inputs))
        answers = self._process.stdout
        assert answers is not None
        return _unpacked(answers.read(told["bytes"]))

    def _ask(self, content: bytes) -> dict[str, Any]:
        """Send something and return the line that answers it."""
        entry, answers = self._process.stdin, self._process.stdout
        assert entry is not None
        assert answers is not None
        with _killed_after(self._process, MOST_S):
            try:
                entry.write(content)
                entry.flush()
            except BrokenPipeError:  # it has ended, and says why
                pass
            line = answers.readline()
        told: dict[str, Any] = json.loads(line) if line else {"error": self._ended()}
        if "error" in told:
            raise ArtifactError(f"file {self._path.name}: {told['error']}")
        return told

    def _ended(self) -> str:
        code = self._process.wait()
        size = os.fstat(self._words.fileno()).st_size
        words = os.pread(self._words.fileno(), LAST_BYTES, max(0, size - LAST_BYTES)).decode(errors="replace")
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        return f"its runtime ends over it ({how}: {last_line(words)[:200]}). Export the model again."


@contextmanager
def _killed_after(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _packed(arrays: Mapping[str, Array]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **dict[str, Any](arrays))
    return json.dumps({"bytes": len(content.getvalue())}).encode() + b"\n" + content.getvalue()


def _unpacked(content: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(content)) as values:
        return dict(values)


def _serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Load the file that the first line names, and run it on what follows, until nothing does."""
    asked = json.loads(questions.readline())
    inputs, outputs = (msgspec.convert(asked[role], tuple[TensorSpec, ...]) for role in ("inputs", "outputs"))
    runtime: Runtime = find_target(asked["target"]).load(Path(asked["path"]), inputs, outputs)
    told = {role: getattr(runtime, role) for role in ("name", "native", "labels", "inputs", "outputs")}
    answers.write(json.dumps(told).encode() + b"\n")
    answers.flush()
    while line := questions.readline():
        answers.write(_packed(runtime.run(_unpacked(questions.read(json.loads(line)["bytes"])))))
        answers.flush()


def main() -> int:
    """Answer on what was standard output; what the runtime itself says there goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _serve(sys.stdin.buffer, answers)
    except Exception as exc:  # a damaged file makes a runtime raise anything
        said = str(exc).partition(": ")[2] if isinstance(exc, MobileKitError) else f"fails ({named_line(exc)})."
        answers.write(json.dumps({"error": said}).encode() + b"\n")
        answers.flush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
