import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mobile_kit import __version__
from tests.conftest import Answer
from tests.exports import ROOT, Export, mobile_kit

Command = Callable[..., Answer]

COMMANDS = (
    "export",
    "verify",
    "predict",
    "evaluate",
    "sensitivity",
    "profile",
    "import",
    "report",
    "list",
    "doctor",
    "demo",
)
# Those whose result is no JSON: a page.
PAGES = ("serve",)
HEAVY = ("coremltools", "executorch", "litert_torch", "numpy", "PIL", "torch", "transformers")
# The bound is 0.5 s; measured 0.08 s, twice that where both cores are busy. The least of five counts.
HELP_S = 0.5


def imported_by(*arguments: str) -> set[str]:
    """Return the top-level modules that a command imports."""
    code = "import sys; from mobile_kit.cli.main import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    code += "print(' '.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["export", "--help"], ["export"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    found = imported_by(*arguments)
    assert "mobile_kit" in found
    assert not found & set(HEAVY)


def test_help_is_quick() -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert mobile_kit("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) <= HELP_S


@pytest.mark.parametrize("name", ["mobile_kit", "mobile_kit.cli.main", "mobile_kit.checkpoints.load"])
def test_looking_at_it_imports_no_transformers(name: str) -> None:
    code = f"import sys, {name}; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n"


def test_help_names_every_command(command: Command) -> None:
    answer = command("--help")
    assert answer.code == 0
    for name in (*COMMANDS, *PAGES):
        assert name in answer.out
        assert command(name, "--help").code == 0


def test_the_version_is_printed(command: Command) -> None:
    assert command("--version") == Answer(0, f"{__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_prints_results_has_json(name: str, command: Command) -> None:
    assert "--json" in command(name, "--help").out


def test_the_console_script_is_the_module() -> None:
    script = Path(sys.executable).with_name("mobile-kit")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


@pytest.mark.parametrize("text", ["0", "-1", "12x", "x12", "1x2x3", "8193", "12.5", ""])
def test_what_is_no_size_is_refused(text: str, command: Command) -> None:
    answer = command("export", "model", "--out", "x", f"--image-size={text}")
    assert answer.code == 2
    assert "is no size from 1 to 8192" in answer.err


@pytest.mark.parametrize("option", ["--top", "--views"])
@pytest.mark.parametrize("text", ["0", "-3", "many"])
def test_counts_start_at_1(option: str, text: str, command: Command) -> None:
    arguments = ("predict", "a", "b") if option == "--top" else ("demo",)
    answer = command(*arguments, f"{option}={text}")
    assert answer.code == 2
    assert f"'{text}' is no number from 1" in answer.err


def test_a_closed_pipe_is_no_accident() -> None:
    """`mobile-kit verify ... | head -1` ends quietly."""
    arguments = [sys.executable, "-m", "mobile_kit", "list", "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    finally:
        os.close(writing)
    assert "Traceback" not in done.stderr
    assert done.returncode != 0


def test_verifying_a_pte_in_a_process_of_its_own_says_only_what_it_found(digits: Export) -> None:
    """ExecuTorch's import brings torchao, which warns."""
    done = mobile_kit("verify", digits["executorch-xnnpack-fp32"], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["status"] == "passed"
