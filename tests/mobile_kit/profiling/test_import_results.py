"""Files of other tools, read for an artifact that needs no toolchain."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.errors import ArtifactError, ResultError
from mobile_kit.measurements.latency import latency
from mobile_kit.measurements.result import (
    Config,
    DeviceInfo,
    ModelInfo,
    OutputDistance,
    Result,
    RunInfo,
    Validity,
    read_results,
    write_results,
)
from mobile_kit.profiling.import_results import import_results, importers
from mobile_kit.profiling.validity import model_info
from tests.conftest import Answer
from tests.exports import ROOT

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets")

# How many times as long as a pass over its lines, and how much memory. Measured: 3.2, and 240 MB, of which torch's
# import 235.
LOG_BYTES, MOST_TIMES, MOST_BYTES = 100_000_000, 6.0, 300e6


def log(megabytes: float, runs: int = 60) -> str:
    return (
        "STARTING!\nMin num runs: [60]\nNum threads: [4]\nGraph: [/data/local/tmp/net.paper]\n"
        f"The input model file size (MB): {megabytes:g}\nInitialized session in 9.5ms.\n"
        "Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.\n"
        "count=1 curr=87112\n"
        "Running benchmark for at least 60 iterations and at least 1 seconds but terminate if exceeding 150 seconds.\n"
        f"count={runs} first=52162 curr=49785 min=49088 max=68610 avg=51000 std=900 p5=49620 median=50500 p95=68628\n"
        "Inference timings in us: Init: 9500, First inference: 87112, Warmup (avg): 87112, Inference (avg): 51000\n"
    )


def megabytes(artifact: Path) -> float:
    return read_manifest(artifact).model_bytes / 1e6


@pytest.fixture
def file(paper_artifact: Path, tmp_path: Path) -> Path:
    path = tmp_path / "phone 1.log"
    path.write_text(log(megabytes(paper_artifact)))
    return path


def own(artifact: Path) -> Result:
    """A result such as an app leaves."""
    return Result(
        run=RunInfo("run", "app", "mobile-kit's app", "0.1.0", "2026-01-02T03:04:05Z"),
        model=model_info(read_manifest(artifact)),
        device=DeviceInfo("Pixel 9", "app", emulated=False, os="Android"),
        config=Config("XNNPACK", 4, runs=50, min_s=0.1),
        latency=latency([[20_000.0] * 60]),
    )


def test_a_result_is_of_the_artifact_and_is_written_into_it(file: Path, paper_artifact: Path) -> None:
    (found,) = import_results(file, paper_artifact)
    assert found.model == model_info(read_manifest(paper_artifact))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (found.run.source_file_sha256, found.run.id) == (digest, digest)
    assert (found.run.harness, found.run.tool) == ("imported", "LiteRT benchmark_model")
    assert (found.latency.p50, found.latency.first) == (50500, 87112)
    assert found.validity == Validity(enough_runs=True, long_enough=True, completed=True)
    (path,) = paper_artifact.glob("profile-import-phone-1-????????.json")
    assert read_results(path) == [found]
    # The same file says the same.
    assert import_results(file, paper_artifact) == [found]


def test_the_command_shows_why_a_result_is_not_valid_and_ends_well(
    file: Path, paper_artifact: Path, command: Command
) -> None:
    file.write_text(log(megabytes(paper_artifact), runs=3))
    answer = command("import", file, "--artifact", paper_artifact)
    assert (answer.code, answer.err) == (0, "")
    header, row = answer.out.splitlines()
    assert header.startswith("artifact")
    assert all(words in row for words in ("LiteRT benchmark_model", "51.00", "50.50", "87.11", "9.50"))
    assert row.endswith("3 calls of at least 60; 0.15 s of at least 1")
    answer = command("import", file, "--artifact", paper_artifact, "--json")
    assert [result["validity"]["valid"] for result in json.loads(answer.out)] == [False]


def test_how_long_calls_took_is_not_judged_where_it_is_not_said(paper_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "net.mlperf").mkdir()
    report = {"prediction": {"unit": "ms", "median": 12.68, "count": 120}}
    (tmp_path / "net.mlperf" / "report.json").write_text(json.dumps(report))
    (found,) = import_results(tmp_path / "net.mlperf", paper_artifact)
    assert (found.latency.count, found.latency.p50, found.latency.mean) == (120, 12680, None)
    assert found.validity == Validity(enough_runs=True, long_enough=None, completed=True)
    assert found.run.source_file_sha256 == hashlib.sha256(json.dumps(report).encode()).hexdigest()


def test_a_result_of_our_own_comes_back_as_it_was(paper_artifact: Path, tmp_path: Path) -> None:
    result = own(paper_artifact)
    write_results([result], tmp_path / "bench.json")
    (found,) = import_results(tmp_path / "bench.json", paper_artifact)
    digest = found.run.source_file_sha256
    judged = Validity(enough_runs=True, long_enough=True, completed=True)
    assert found == replace(result, run=replace(result.run, source_file_sha256=digest), validity=judged)


def test_what_ended_a_run_of_our_own_early_stays(paper_artifact: Path, tmp_path: Path) -> None:
    ended = Validity(completed=False, undisturbed=False, enough_runs=False, reasons=("the app was closed", "3 calls"))
    write_results([replace(own(paper_artifact), validity=ended)], tmp_path / "bench.json")
    (found,) = import_results(tmp_path / "bench.json", paper_artifact)
    assert found.validity.reasons[0] == "the app was closed"
    assert (found.validity.undisturbed, len(found.validity.reasons)) == (False, 2)


@pytest.mark.parametrize(
    ("verdicts", "held"), [((True, None), True), ((None, None), None), ((False, None), False), ((), None)]
)
def test_an_output_that_is_not_judged_says_nothing(
    verdicts: tuple[bool | None, ...], held: bool | None, paper_artifact: Path, tmp_path: Path
) -> None:
    parity = tuple(OutputDistance(f"{place}", passed=verdict) for place, verdict in enumerate(verdicts))
    write_results([replace(own(paper_artifact), parity=parity)], tmp_path / "bench.json")
    (found,) = import_results(tmp_path / "bench.json", paper_artifact)
    assert found.validity.parity_held is held


@pytest.mark.parametrize(
    ("reasons", "told"),
    [(("red and blue go unnoticed",), "red and blue go unnoticed"), ((), "its self-test failed there")],
)
def test_what_an_app_says_against_its_own_result_stays(
    reasons: tuple[str, ...], told: str, paper_artifact: Path, tmp_path: Path
) -> None:
    failed = replace(
        own(paper_artifact),
        parity=(OutputDistance("logits", passed=True),),
        validity=Validity(parity_held=False, completed=True, reasons=reasons),
    )
    write_results([failed], tmp_path / "bench.json")
    (found,) = import_results(tmp_path / "bench.json", paper_artifact)
    assert found.validity.parity_held is False
    assert found.validity.reasons == (told,)


def test_of_several_results_the_artifact_s_own_are_taken(paper_artifact: Path, tmp_path: Path) -> None:
    result = own(paper_artifact)
    other = replace(result, model=replace(result.model, name="other", sha256="00"))
    write_results([other, result], tmp_path / "bench.json")
    assert len(import_results(tmp_path / "bench.json", paper_artifact)) == 1
    write_results([other], tmp_path / "bench.json")
    with pytest.raises(ResultError, match=r"isn't of artifact paper-fp32: it was measured on other, whose model file"):
        import_results(tmp_path / "bench.json", paper_artifact)


def test_of_several_models_one_must_be_called_as_the_artifact_s(paper_artifact: Path, tmp_path: Path) -> None:
    results = [replace(own(paper_artifact), model=ModelInfo(name)) for name in ("a", "paper-fp32")]
    write_results(results, tmp_path / "bench.json")
    assert len(import_results(tmp_path / "bench.json", paper_artifact)) == 1
    write_results(
        [replace(result, model=ModelInfo(str(n))) for n, result in enumerate(results)], tmp_path / "bench.json"
    )
    with pytest.raises(ResultError, match=r"is of several models \(0, 1\), of which none is called .*paper-fp32"):
        import_results(tmp_path / "bench.json", paper_artifact)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("size (MB): ", "size (MB): 1", r"it was measured on a file of [\d.]+ MB, and model\.paper has [\d.]+ MB"),
        ("net.paper", "net.tflite", r"it was measured on net\.tflite, and this is model\.paper"),
    ],
)
def test_a_file_of_another_model_is_refused(old: str, new: str, why: str, file: Path, paper_artifact: Path) -> None:
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ResultError, match=rf"^result phone 1\.log: isn't of artifact paper-fp32: {why}\. Give the one"):
        import_results(file, paper_artifact)
    assert not list(paper_artifact.glob("profile-*"))


@pytest.mark.parametrize("digits", [2, 4, 6])
def test_sizes_are_rounded(digits: int, file: Path, paper_artifact: Path) -> None:
    file.write_text(log(round(megabytes(paper_artifact), digits)))
    assert len(import_results(file, paper_artifact)) == 1


def test_an_unknown_format_lists_those_that_are_known(paper_artifact: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "notes.txt").write_text("42 ms\n")
    answer = command("import", tmp_path / "notes.txt", "--artifact", paper_artifact)
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "result notes.txt: is of no known format. Known: mobile_kit's own results; " in answer.err
    names = [importer.name for importer in importers()]
    assert len(names) == len(set(names)) == 12
    assert all(name in answer.err for name in names)


def test_what_is_empty_or_not_there_is_refused(paper_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    with pytest.raises(ResultError, match=r"^result empty\.log: is empty\."):
        import_results(tmp_path / "empty.log", paper_artifact)
    with pytest.raises(ResultError, match=r"^result none\.log: can't be read \(No such file or directory\)\."):
        import_results(tmp_path / "none.log", paper_artifact)
    with pytest.raises(ResultError, match=r"^result .*: is of no known format\."):
        import_results(tmp_path, paper_artifact)
    with pytest.raises(ArtifactError):
        import_results(tmp_path / "empty.log", tmp_path)


def test_a_torn_result_of_our_own_is_named_with_its_place(paper_artifact: Path, tmp_path: Path) -> None:
    write_results([own(paper_artifact)], tmp_path / "bench.json")
    text = (tmp_path / "bench.json").read_text().replace('"p50": 20000.0', '"p50": "fast"')
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(ResultError, match=r"0/latency/p50: Expected .* Give the file as it was written\.$"):
        import_results(tmp_path / "bench.json", paper_artifact)


def test_an_etrecord_is_of_an_etdump(file: Path, paper_artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"is LiteRT benchmark_model's log, and .* Leave --etrecord out\."):
        import_results(file, paper_artifact, file)
    dump = tmp_path / "run.etdp"
    dump.write_bytes(bytes(8) + b"ED00")
    with pytest.raises(ResultError, match=r"^ETRecord none: isn't there\."):
        import_results(dump, paper_artifact, tmp_path / "none")


def test_what_is_not_known_is_said_so(paper_artifact: Path, tmp_path: Path, command: Command) -> None:
    profile = {"execution_summary": {"all_inference_times": [5, 6]}, "new_key": 1}
    (tmp_path / "hub.json").write_text(json.dumps(profile))
    answer = command("import", tmp_path / "hub.json", "--artifact", paper_artifact)
    assert answer.code == 0
    assert answer.err == "mobile-kit: result hub.json: not known and left out: new_key.\n"


def test_an_artifact_that_can_not_be_written_is_said_so(file: Path, paper_artifact: Path) -> None:
    import_results(file, paper_artifact)
    (path,) = paper_artifact.glob("profile-import-*")
    path.unlink()
    path.mkdir()
    with pytest.raises(ArtifactError, match=rf"{path.name} can't be written"):
        import_results(file, paper_artifact)


def test_a_large_log_is_read_in_little_more_time_than_its_lines_and_in_little_memory(
    file: Path, paper_artifact: Path
) -> None:
    """In a process of its own: the peak of memory is that of a process."""
    noise = "VERBOSE: node 17 of subgraph 0: CONV_2D, inputs 3, 4, 5: shape (1, 28, 28, 96), took some microseconds\n"
    row = "\t      CONV_2D\t    0.110\t    0.093\t 44.899%\t 44.899%\t     0.000\t        1\t[conv2d]:0\n"
    begin, end = file.read_text().split("Initialized", 1)
    with file.open("w") as stream:
        stream.write(begin)
        for _ in range(LOG_BYTES // (1000 * (len(noise) + len(row)))):
            stream.write(noise * 1000 + row * 1000)
        stream.write(f"Initialized{end}")
    assert file.stat().st_size > 0.99 * LOG_BYTES
    code = (
        "import json, sys, time\nfrom pathlib import Path\n"
        "from mobile_kit.profiling.import_results import import_results\n"
        "def lines():\n    return sum(b'p50' in line for line in open(sys.argv[1], 'rb'))\n"
        "def cpu_s(work):\n    start = time.process_time()\n    return work(), time.process_time() - start\n"
        "found, took = cpu_s(lambda: import_results(Path(sys.argv[1]), Path(sys.argv[2])))\n"
        "took /= cpu_s(lines)[1]\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]\n"
        "print(json.dumps([took, 1024 * int(peak), found[0].latency.p50]))\n"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process's memory is read from /proc")
    command = [sys.executable, "-c", code, str(file), str(paper_artifact)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ)
    took, peak, p50 = json.loads(done.stdout)
    assert p50 == 50500
    assert took < MOST_TIMES
    assert peak < MOST_BYTES
