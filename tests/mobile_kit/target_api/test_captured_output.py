"""What native code says is caught where Python's own streams don't see it."""

import os

import pytest

from mobile_kit.target_api.captured_output import captured_stderr


def test_what_native_code_says_is_kept_from_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as said:
        os.write(2, b"from native code\n")
        assert said() == "from native code\n"
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"
