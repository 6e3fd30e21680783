"""Run a .tflite with LiteRT."""

import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mobile_kit.errors import ArtifactError, one_line
from mobile_kit.models.spec import Array
from mobile_kit.reading import ReadError, check_archive
from mobile_kit.target_api.captured_output import captured_stderr
from targets.tflite.metadata import LABELS_FILE, read_labels
from targets.tflite.tflite_file import MOST_FILES_BYTES

__all__ = ["TFLiteRuntime", "labels_of"]


class TFLiteRuntime:
    """A loaded .tflite; its inputs and outputs carry their names in the file."""

    native = True

    def __init__(self, path: Path, threads: int = 2) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.name = f"LiteRT {version('ai-edge-litert')}"
        try:
            with captured_stderr():
                self._interpreter = Interpreter(str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as exc:
            raise ArtifactError(f"file {path.name}: LiteRT can't load it ({one_line(exc)}).") from exc
        self.labels = labels_of(path)
        self._ins = {d["name"]: d for d in self._interpreter.get_input_details()}
        self._outs = {d["name"]: d for d in self._interpreter.get_output_details()}
        self.inputs = {name: _described(detail) for name, detail in self._ins.items()}
        self.outputs = {name: _described(detail) for name, detail in self._outs.items()}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs by name."""
        for name, detail in self._ins.items():
            self._interpreter.set_tensor(detail["index"], inputs[name])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(detail["index"]) for name, detail in self._outs.items()}


def labels_of(path: Path) -> tuple[str, ...] | None:
    """Return the class names in the zip behind a model, None where there are none."""
    try:
        check_archive(path, MOST_FILES_BYTES)
        with zipfile.ZipFile(path) as files:
            return read_labels(files.read(LABELS_FILE))
    except ReadError as exc:
        raise ArtifactError(f"file {path.name}: {exc}. Export the model again.") from exc
    except (zipfile.BadZipFile, KeyError):
        return None


def _described(detail: Mapping[str, Array]) -> tuple[tuple[int, ...], str]:
    return tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name
