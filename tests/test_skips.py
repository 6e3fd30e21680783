"""What `--fail-on-skip` makes of skipped tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest

@pytest.mark.skip(reason="nobody is here")
def test_marked(): ...

def test_asked():
    pytest.skip("there is no disk")

@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    assert False

def test_good(): ...
"""
CONFTEST = """
from tests.skips import pytest_addoption, pytest_make_collect_report, pytest_runtest_makereport
"""


def ran(folder: Path, tests: str, *options: str) -> str:
    (folder / "test_some.py").write_text(tests)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", *options, str(folder)]
    # The options of the run that this is a test of aren't meant for it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[1], env=environment
    ).stdout


def test_a_skip_is_a_failure_where_it_is_asked_for(tmp_path: Path) -> None:
    said = ran(tmp_path, TESTS, "--fail-on-skip")
    assert "skipped, as Skipped: nobody is here" in said
    assert "skipped, as Skipped: there is no disk" in said
    # A mark skips a test before it begins, which counts as an error.
    assert re.search("1 failed, 1 passed, 1 xfailed,.* 1 error", said)


def test_a_file_that_is_skipped_is_an_error(tmp_path: Path) -> None:
    said = ran(tmp_path, "import pytest\npytest.importorskip('a_package_that_nobody_has')", "--fail-on-skip")
    assert "skipped, as Skipped: could not import 'a_package_that_nobody_has'" in said
    assert "1 error" in said


def test_else_it_is_a_skip(tmp_path: Path) -> None:
    assert "1 passed, 2 skipped, 1 xfailed" in ran(tmp_path, TESTS)
