"""An iPhone plugged into this Mac, on which coremltools' own app computes; see `devices/ios.py`."""

import asyncio
import atexit
import functools
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import coremltools as ct
import numpy as np
from coremltools.models.ml_program.experimental import remote_device
from coremltools.models.ml_program.experimental.async_wrapper import RemoteMLModelAsyncWrapper

from mobile_kit.errors import tool_reason
from targets.coreml.mlpackage import DTYPES, Package

__all__ = ["UDID", "There", "end", "why"]

UDID, TEAM, APP, FOLDER = (os.environ.get(f"MOBILE_KIT_IOS_{name}", "") for name in ("UDID", "TEAM", "APP", "FOLDER"))
# How often to ask, how long a call or a load may take, and how often to try to reach the phone.
POLL_S, ANSWER_S, REACHES = 0.5, 240.0, 5


class There:
    """A package loaded on the iPhone, each time from another path there, as the client has it."""

    compile_us = None

    def __init__(self, package: Package) -> None:
        self._package, self._loop = package, _loop()
        self._model = RemoteMLModelAsyncWrapper(package.of_arrays(), package.weights, _phone())
        self._loop.run_until_complete(self._model.load())
        took_ns = self._model.load_duration_in_nano_seconds
        if not took_ns:
            raise RuntimeError("the phone's app doesn't say how long loading took")
        self.load_us = took_ns / 1e3

    def feature(self, key: str, content: bytes) -> Any:
        """Return a value as it takes it."""
        array = self._package.array(key, content)
        if key in self._package.images:
            array = np.ascontiguousarray(array.transpose(2, 0, 1)[None], DTYPES[self._package.types[key].dataType])
        return array

    def predict(self, features: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Return the outputs, and the microseconds that it took there."""
        outputs = self._loop.run_until_complete(self._model.predict(features))
        took_ns = self._model.last_predict_duration_in_nano_seconds
        if not took_ns:
            raise RuntimeError("the phone's app doesn't say how long a prediction took")
        if self._package.labels:
            outputs[self._package.probabilities] = outputs.pop(self._package.vector)
        return outputs, took_ns / 1e3

    def plan(self) -> Any:
        """Return what Core ML plans."""
        return self._loop.run_until_complete(self._model.retrieve_compute_plan())

    def close(self) -> None:
        """Let the phone forget it."""
        with suppress(Exception):
            self._loop.run_until_complete(self._model.unload())


@functools.cache
def _loop() -> Any:
    return asyncio.new_event_loop()


class _NoShell:
    """What the client takes for subprocess: it hands command lines to a shell, names of files and all."""

    PIPE, STDOUT, CalledProcessError = subprocess.PIPE, subprocess.STDOUT, subprocess.CalledProcessError

    @staticmethod
    def run(command: str, shell: bool, **options: Any) -> Any:
        """Run a command line as the list of its words."""
        return subprocess.run(shlex.split(command), check=False, **options)

    @staticmethod
    def Popen(command: str, shell: bool, **options: Any) -> Any:  # noqa: N802  as it is called
        """Start a command line as the list of its words, with all that it says in one file that never fills up."""
        # Nobody reads its pipes: an app that says much would wait for ever.
        with open(_console(), "wb") as stream:
            return subprocess.Popen(shlex.split(command), **{**options, "stdout": stream, "stderr": stream})


def _console() -> str:
    return str(Path(FOLDER, "console.txt"))


def _mend_client() -> None:
    """Mend what stands in the way in coremltools 9.0's client."""
    remote_device._subprocess = _NoShell
    # It asks whether the app is alive as if that were a property, and hears yes for ever.
    session = remote_device._AppSession
    session.is_alive = property(lambda self: self._process.poll() is None)
    # It waits for 10 seconds, and the neural engine's first load of a model takes longer.
    remote_device._DeviceCtlRemoteService.__init__.__defaults__ = (POLL_S, int(ANSWER_S / POLL_S))


@functools.cache
def _phone() -> Any:
    """Return the iPhone with the app on it that answers: coremltools builds, signs, installs and starts it."""
    _mend_client()
    folder = Path(FOLDER, "modelrunner").resolve()
    for path in (str(folder), str(Path(tempfile.gettempdir()).resolve()), str(Path(ct.__file__).resolve())):
        if not re.fullmatch(r"[\w./+@-]+", path):  # spaces would part it, as it is quoted nowhere
            end("coremltools can't use the path " + repr(path) + ": have it, or TMPDIR, at one without spaces")
    folder.mkdir(exist_ok=True)
    signing = remote_device.AppSigningCredentials(development_team=TEAM, bundle_identifier=APP)
    try:
        ready = _loop().run_until_complete(_reached().prepare_for_model_debugging(signing, folder))
    except Exception as exc:
        end("coremltools' app can't be built, signed, installed or started: " + why(exc))
    atexit.register(ready.session.stop)
    return ready


def _reached() -> Any:
    """Return the iPhone, connected: the link goes down by itself when nothing is asked of it."""
    for _ in range(REACHES):
        found = [each for each in remote_device.Device.get_devices() if each.udid == UDID]
        if found and found[0].state == remote_device.DeviceState.CONNECTED:
            return found[0]
        if found:
            details = ["xcrun", "devicectl", "device", "info", "details", "--device", found[0].identifier]
            subprocess.run(details, check=False, capture_output=True)
        time.sleep(POLL_S)
    raise RuntimeError("the phone isn't connected any more")


def end(words: str) -> NoReturn:
    """End at once: the client, taken down, would wait for a phone that is gone, and have the last word."""
    if _phone.cache_info().currsize:
        _phone().session.stop()
    sys.stderr.write("\n" + words + "\n")
    sys.stderr.flush()
    os._exit(1)


def why(exc: Exception) -> str:
    """Return what an error says: of an app that has ended or a command that failed, its own words."""
    if _phone.cache_info().currsize and not _phone().session.is_alive:
        return "the app on the phone has ended: " + tool_reason(Path(_console()).read_text(errors="replace"))
    context = exc.__context__
    said = [getattr(context, "stderr", None), getattr(context, "stdout", None), str(exc)]
    texts = [each.decode(errors="replace") if isinstance(each, bytes) else each for each in said if each]
    return tool_reason(texts[0]) if texts else type(exc).__name__
