"""Clients that we did not write, in environments of their own."""

import subprocess
from pathlib import Path

import pytest

from mobile_kit.errors import MissingToolError
from mobile_kit.target_api.environments import environment
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


def _python(request: pytest.FixtureRequest, name: str, packages: list[str]) -> Path:
    assert request.config.cache is not None
    try:
        return environment(request.config.cache.mkdir("venvs"), name, packages)
    except MissingToolError as reason:
        pytest.skip(str(reason))
