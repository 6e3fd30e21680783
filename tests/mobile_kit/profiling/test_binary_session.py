"""A platform's own program, given by the user: here a script in the form of LiteRT's benchmark_model."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.profiling.binary_session import check_binary
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.progress import Progress
from targets.executorch.executor_runner import EXECUTOR_RUNNER
from targets.tflite.benchmark_command import BENCHMARK_MODEL
from tests.conftest import Answer

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets")
LOG = """INFO: STARTING!
INFO: Min num runs: [RUNS]
INFO: Num threads: [THREADS]
INFO: Initialized session in 119.515ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first=87112 curr=51629 min=51629 max=87112 avg=58147.4 std=11478 p5=51629 median=51962 p95=87112
INFO: Running benchmark for at least RUNS iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=60 first=52162 curr=49785 min=49088 max=68610 avg=50743.2 std=607 p5=49620 median=51891 p95=68628
INFO: Inference timings in us: Init: 119515, First inference: 87112, Warmup (avg): 58147.4, Inference (avg): 50743.2
"""
BENCHMARK = '''#!/usr/bin/env python3
import pathlib, sys
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
assert flags["input_layer"] == "image" and flags["use_xnnpack"] == "true", flags
name, _, path = flags["input_layer_value_files"].partition(":")
golden = pathlib.Path({golden!r})
assert pathlib.Path(path).read_bytes() == (golden / "inputs/image.bin").read_bytes()
assert pathlib.Path(flags["graph"]).is_file()
outputs = b"".join((golden / f"outputs/{{name}}.bin").read_bytes() for name in ("probabilities", "logits"))
pathlib.Path(flags["output_filepath"]).write_bytes(outputs{spoil})
pathlib.Path(flags["op_profiling_output_file"]).write_text("""{csv}""")
print("""{log}""".replace("THREADS", flags["num_threads"]).replace("RUNS", flags["num_runs"]))
sys.stderr.write("INFO: Overall peak memory footprint (MB) via periodic monitoring: 70.5\\n")
{end}
'''
TITLE = "=" * 30
CSV = f"""Operator-wise Profiling Info for Regular Benchmark Runs:
{TITLE} Run Order {TITLE}
node type, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0.029, 0.030, 75%, 75%, 0, 1, [x]:0
SOFTMAX, 0.010, 0.010, 25%, 100%, 0, 1, [y]:1

Number of nodes executed: 2
{TITLE} Summary by node type {TITLE}
node type, count, avg_ms, avg %, cdf %, mem KB, times called
CONV_2D, 1, 0.030, 75%, 75%, 0, 1
SOFTMAX, 1, 0.010, 25%, 100%, 0, 1

Timings (microseconds): count=50 first=41 curr=40 min=39 max=45 avg=40 std=1
Memory (bytes): count=0
2 nodes observed
"""
EXECUTOR = """#!/usr/bin/env python3
import pathlib, sys
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
golden = pathlib.Path({golden!r})
assert pathlib.Path(flags["inputs"]).read_bytes() == (golden / "inputs/image.bin").read_bytes()
for number, name in enumerate(("probabilities", "logits")):
    output = pathlib.Path(f"{{flags['output_file']}}-{{number}}.bin")
    output.write_bytes((golden / f"outputs/{{name}}.bin").read_bytes())
say = lambda line: sys.stderr.write(f"I 00:00:00.001 executorch:executor_runner.cpp:360] {{line}}\\n")
say(f"Resetting threadpool with num threads = {{flags['cpu_threads']}}")
say("Model loaded in 12.500000 ms.")
count = int(flags["num_executions"])
for number in range(1, count + 1):
    say(f"Iteration {{number}} of {{count}}: {{90 if number == 1 else 30 + number % 3}}.000000 ms")
say(f"Model executed successfully {{count}} time(s) in 1700.000000 ms.")
"""


@pytest.fixture
def given(paper_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a program; a script is one here."""
    monkeypatch.setattr("mobile_kit.profiling.profile.check_binary", lambda path, abi: None)

    def write(text: str, **fields: str) -> Path:
        path = tmp_path / "program"
        values = {"golden": str(paper_artifact / "golden"), "csv": CSV, "log": LOG, "spoil": "", "end": ""}
        path.write_text(text.format(**{**values, **fields}))
        return path

    return write


@pytest.fixture
def litert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.paper_target.PaperTarget.binary", BENCHMARK_MODEL)


def test_benchmark_model_gets_the_golden_image_and_its_outputs_are_judged(
    paper_artifact: Path, given: Callable[..., Path], litert: None
) -> None:
    options = ProfileOptions(runner=given(BENCHMARK), threads=3)
    (found,) = profile([paper_artifact], options, Progress(quiet=True))
    assert found.validity.valid, found.validity.reasons
    assert found.validity.parity_held is True
    assert (found.run.harness, found.run.tool) == ("binary", "LiteRT benchmark_model")
    assert (found.latency.count, found.latency.p50, found.latency.mean) == (60, 51891, 50743.2)
    assert (found.latency.first, found.load.cold_us) == (87112, 119515)
    assert (found.config.threads, found.config.input) == (3, "golden")
    assert [(op.type, op.mean_us) for op in found.ops] == [("CONV_2D", 30), ("SOFTMAX", 10)]
    assert found.model.sha256 is not None


def test_executor_runner_s_calls_are_kept_but_for_the_first(
    paper_artifact: Path, given: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.paper_target.PaperTarget.binary", EXECUTOR_RUNNER)
    (found,) = profile([paper_artifact], ProfileOptions(runner=given(EXECUTOR)), Progress(quiet=True))
    assert found.validity.valid, found.validity.reasons
    assert (found.latency.count, found.latency.first, found.latency.p50) == (50, 90_000, 31_000)
    assert len(found.latency.samples[0]) == 50
    assert (found.load.cold_us, found.config.threads) == (12_500, 2)
    assert all(out.passed for out in found.parity)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"spoil": "[::-1]"}, "what it computed there isn't what the checkpoint computes"),
        ({"spoil": "[:8]"}, "benchmark_model: wrote 8 bytes of outputs of 160. Run it again."),
        ({"end": "sys.exit('no space left')"}, "device host: the program failed (it said nothing). Run it again."),
    ],
)
def test_a_run_that_went_wrong_is_kept_as_no_valid_result(
    fields: dict[str, str], reason: str, paper_artifact: Path, given: Callable[..., Path], litert: None
) -> None:
    options = ProfileOptions(runner=given(BENCHMARK, **fields))
    (found,) = profile([paper_artifact], options, Progress(quiet=True))
    assert reason in found.validity.reasons
    assert not found.validity.valid
    # What it had said until then.
    assert found.latency.p50 == 51891


def test_a_program_that_says_nothing_known_is_said(
    paper_artifact: Path, given: Callable[..., Path], litert: None
) -> None:
    (found,) = profile([paper_artifact], ProfileOptions(runner=given("#!/bin/sh\necho hello\n")), Progress(quiet=True))
    assert found.latency.count is None
    assert found.validity.reasons[0].startswith("result log: ")


def test_a_target_that_knows_no_program_refuses_one(paper_artifact: Path, tmp_path: Path, command: Command) -> None:
    answer = command("profile", paper_artifact, "--runner", tmp_path / "benchmark_model")
    assert answer.code == 1
    assert answer.err == "mobile-kit: runner benchmark_model: none is known for target 'paper'. Leave it out.\n"


@pytest.mark.parametrize(
    ("head", "abi", "reason"),
    [
        (b"#!/bin/sh\nexit", "aarch64", "is no program for Linux or Android (ELF). Give one."),
        (b"\x7fELF", "aarch64", "is no program for Linux or Android (ELF). Give one."),
        ((62, 1), "arm64-v8a", "is for x86_64, and the device is arm64-v8a. Give one for that."),
        ((40, 1), "aarch64", "is for armeabi-v7a, and the device is aarch64. Give one for that."),
        ((8, 2), "aarch64", "is for processor 8, and the device is aarch64. Give one for that."),
    ],
)
def test_a_program_for_another_processor_is_not_put_there(
    head: bytes | tuple[int, int], abi: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "program"
    path.write_bytes(head if isinstance(head, bytes) else elf(*head))
    with pytest.raises(UnsupportedError) as raised:
        check_binary(path, abi)
    assert str(raised.value) == f"runner program: {reason}"


def test_a_program_for_the_device_s_processor_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(elf(183, 1))
    for abi in ("arm64-v8a", "aarch64", None):
        check_binary(path, abi)
    with pytest.raises(UnsupportedError, match=r"is no program"):
        check_binary(tmp_path / "absent", "aarch64")


def elf(machine: int, order: int) -> bytes:
    """The begin of a program's file. order: 1 is little-endian."""
    head = b"\x7fELF" + bytes([2, order, 1]) + bytes(9)
    return head + struct.pack("<HH" if order == 1 else ">HH", 2, machine)


def test_cores_are_asked_for_with_a_mask(paper_artifact: Path, given: Callable[..., Path], litert: None) -> None:
    options = replace(ProfileOptions(runner=given(BENCHMARK)), cores=(0,))
    (found,) = profile([paper_artifact], options, Progress(quiet=True))
    assert found.validity.completed is True
    assert found.config.cores == (0,)
