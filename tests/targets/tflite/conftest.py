"""Clients that we did not write, in environments of their own."""

import subprocess
from pathlib import Path

import pytest

from tests.environments import EnvironmentUnavailable, environment
from tests.exports import ROOT

CLIENT = ROOT / "tests" / "targets" / "tflite" / "mediapipe_client.py"


@pytest.fixture(scope="session")
def mediapipe(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with MediaPipe Tasks."""
    python = _python(request, "mediapipe", ["mediapipe==1.2.2"])
    done = subprocess.run([python, CLIENT, "check"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip((done.stderr.strip() or "MediaPipe does not start").splitlines()[-1])
    return python


@pytest.fixture(scope="session")
def old_runtime(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with the runtime that boards and older apps still have."""
    return _python(request, "tflite-runtime", ["tflite-runtime==2.14.0", "numpy<2"])


def _python(request: pytest.FixtureRequest, name: str, packages: list[str]) -> Path:
    assert request.config.cache is not None
    try:
        return environment(request.config.cache.mkdir("venvs"), name, packages)
    except EnvironmentUnavailable as reason:
        pytest.skip(str(reason))
