"""The log in the form of tflite/tools/benchmark, the tables in that of three versions of the profiler."""

from pathlib import Path

import pytest

from mobile_kit.errors import ResultError
from mobile_kit.measurements.result import Result
from targets.tflite.importers.benchmark_log import BenchmarkLog, OpProfileCsv

LOG = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Min num runs: [60]
INFO: Num threads: [4]
INFO: Min warmup runs: [5]
INFO: Graph: [/data/local/tmp/model.tflite]
INFO: Signature to run: []
INFO: Use xnnpack: [1]
INFO: Loaded model /data/local/tmp/model.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 29 out of 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 4 partitions for subgraph 0
VERBOSE: Replacing 3 out of 3 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions for subgraph 1.
INFO: The input model file size (MB): 24.6229
INFO: Initialized session in 119.515ms.
INFO: Running benchmark for at least 5 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first=87112 curr=51629 min=51629 max=87112 avg=58147.4 std=11478 p5=51629 median=51962 p95=87112

INFO: Running benchmark for at least 60 iterations and at least 1.5 seconds but terminate if exceeding 150 seconds.
INFO: count=60 first=52162 curr=49785 min=49088 max=686105 avg=6.37432e+04 std=60716 p5=49620 median=51891 p95=68628

INFO: Inference timings in us: Init: 119515, First inference: 87112, Warmup (avg): 58147.4, Inference (avg): 63743.2
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE
INFO: Memory footprint delta from the start of the tool (MB): init=55.5 overall=56.25
INFO: Overall peak memory footprint (MB) via periodic monitoring: 70.5
INFO: Memory status at the end of exeution:
INFO: - VmRSS              : 70 MB
"""
COMPLETELY = "delegate, and the model graph will be completely executed by the delegate."
PARTIALLY = "delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels."
NOT_APPLIED = "delegate is explicitly applied, the model graph will not be executed by the delegate."
TITLE = "=" * 30
RUN_ORDER = f"{TITLE} Run Order {TITLE}\n"
OPERATIONS = "Operator-wise Profiling Info for Regular Benchmark Runs:\n"
HEADER = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
# Without `start`, a tab for each comma of a name, and the delegate's kernels apart.
CSV = f"""\
Profiling Info for Benchmark Initialization:
{TITLE} Run Order {TITLE}
{HEADER}
AllocateTensors, 0.029, 0.029, 100%, 100%, 0, 1, AllocateTensors/0

Number of nodes executed: 1
{TITLE} Summary by node type {TITLE}
node type, count, avg_ms, avg %, cdf %, mem KB, times called
AllocateTensors, 1, 0.029, 100%, 100%, 0, 1

Timings (microseconds): count=1 curr=29
Memory (bytes): count=0
1 nodes observed



{OPERATIONS}{TITLE} Run Order {TITLE}
{HEADER}
CAST, 0.11, 0.1, 25%, 25%, 16.5, 1, [image\tbytes]:0
TfLiteXNNPackDelegate, 0.4, 0.3, 75%, 100%, 0, 1, [logits]:1

{TITLE} Top by Computation Time {TITLE}
{HEADER}
TfLiteXNNPackDelegate, 0.4, 0.3, 75%, 100%, 0, 1, [logits]:1

Number of nodes executed: 2
{TITLE} Summary by node type {TITLE}
node type, count, avg_ms, avg %, cdf %, mem KB, times called
TfLiteXNNPackDelegate, 1, 0.3, 75%, 75%, 0, 1
CAST, 1, 0.1, 25%, 100%, 0, 1

Timings (microseconds): count=50 first=510 curr=400 min=390 max=510 avg=400 std=12
Memory (bytes): count=0
2 nodes observed


"""
KERNELS = f"""\
Delegate internal:\x20
{TITLE} Run Order {TITLE}
{HEADER}
Convolution (NHWC F32) IGEMM, 0.2, 0.2, 66.6667%, 66.6667%, 0, 1, Delegate/Convolution (NHWC\t F32) IGEMM:0
Softmax (NC F32), 0.1, 0.1, 33.3333%, 100%, 0, 1, Delegate/Softmax:1

"""
# As text, with `start`: what the profiler writes into the log by default.
TEXT = f"""\
{OPERATIONS.strip()}
{TITLE} Run Order {TITLE}
\t  [node type]\t  [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t      CONV_2D\t    0.000\t    0.110\t    0.093\t 44.899%\t 44.899%\t     0.000\t        1\t[conv2d, relu]:0
\t          ELU\t    0.093\t    0.034\t    0.030\t   -nan%\t 59.420%\t     0.000\t        1\t[elu]:1

Number of nodes executed: 2
"""
# LiteRT 2's: aligned by spaces, the delegate's kernels among the others.
LITERT = f"""\
{TITLE} Run Order {TITLE}
                         [node type]  [start]  [first] [avg ms]      [%]   [cdf%] [mem KB] [times called] [Name]
                                CAST    0.000    0.008    0.007   0.201%   0.201%    0.000          1   [Builtin]:0
Delegate/Convolution (NHWC, F32) IGEMM    0.000    0.027    0.027   0.741%   0.943%    0.000          1   [Delegate]:0

"""


def read(text: str, folder: Path) -> list[Result]:
    path = folder / "benchmark.txt"
    path.write_text(text)
    assert BenchmarkLog().knows(path, path.read_bytes())
    return list(BenchmarkLog().read(path, None).results)


def read_csv(text: str, folder: Path) -> Result:
    path = folder / "profile.csv"
    path.write_text(text)
    assert OpProfileCsv().knows(path, path.read_bytes())
    assert not BenchmarkLog().knows(path, path.read_bytes())
    return OpProfileCsv().read(path, None).results[0]


def without(text: str, *words: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not any(word in line for word in words))


def test_a_log_gives_every_figure(tmp_path: Path) -> None:
    (found,) = read(LOG, tmp_path)
    times = found.latency
    # The timed calls, not the warm-up, whose first call is the very first.
    assert (times.count, times.first, times.mean, times.std) == (60, 87112, 63743.2, 60716)
    assert (times.min, times.max, times.p5, times.p50, times.p95) == (49088, 686105, 49620, 51891, 68628)
    assert times.samples == ()
    assert times.p90 is times.p99 is times.trimmed_mean_80 is None
    assert times.cv == pytest.approx(60716 / 63743.2)
    assert found.load.cold_us == pytest.approx(119515)
    asked = found.config
    assert (asked.delegate, asked.threads, asked.input) == ("XNNPACK", 4, "random")
    assert (asked.warmup_runs, asked.warmup_s) == (9, 0.5)
    assert (asked.runs, asked.min_s, asked.max_s) == (60, 1.5, 150)
    mebibyte = 1 << 20
    memory = found.memory
    assert (memory.init_bytes, memory.overall_bytes) == (55.5 * mebibyte, 56.25 * mebibyte)
    assert memory.peak_bytes == 70.5 * mebibyte
    # The runtime counts the delegate's pieces and those between them.
    assert (found.placement.total, found.placement.cpu, found.placement.partitions) == (31, 31, 2)
    assert (found.model.name, found.model.size_bytes) == ("model.tflite", 24622900)
    assert (found.run.harness, found.run.tool, found.device.emulated) == ("imported", "LiteRT benchmark_model", None)
    assert found.validity.completed


def test_older_logs_and_logcat_s_say_the_same(tmp_path: Path) -> None:
    (new,) = read(LOG, tmp_path)
    bare = LOG.replace("INFO: ", "").replace("VERBOSE: ", "")
    logcat = "".join(f"07-14 13:14:52.097 22838 22838 I tflite  : {line}\n" for line in bare.splitlines())
    assert read(bare, tmp_path) == read(logcat, tmp_path) == read(LOG.replace("\n", "\r\n"), tmp_path) == [new]


@pytest.mark.parametrize(
    ("statistics", "count", "std"),
    [
        ("count=1 curr=123", 1, None),
        ("count=50 curr=123(all same)", 50, 0.0),
        ("count=50 curr=123(all same) p5=123 median=123 p95=123", 50, 0.0),
    ],
)
def test_calls_that_took_equally_long_have_one_figure(
    statistics: str, count: int, std: float | None, tmp_path: Path
) -> None:
    last = next(line for line in LOG.splitlines() if "count=60" in line)
    (found,) = read(LOG.replace(last, f"INFO: {statistics}"), tmp_path)
    times = found.latency
    assert (times.count, times.mean, times.min, times.p50, times.std) == (count, 123, 123, 123, std)


def test_without_percentiles_they_are_null(tmp_path: Path) -> None:
    (found,) = read(LOG.replace(" p5=49620 median=51891 p95=68628", ""), tmp_path)
    assert (found.latency.count, found.latency.p50, found.latency.p95) == (60, None, None)


def test_the_line_at_the_end_alone_gives_the_mean(tmp_path: Path) -> None:
    (found,) = read(
        "Inference timings in us: Init: 5e+03, First inference: 85262, Warmup (avg): 6, Inference (avg): 1.5e5\n",
        tmp_path,
    )
    assert (found.latency.count, found.latency.first, found.latency.mean) == (None, 85262, 150000)
    assert found.load.cold_us == 5000
    assert (found.config.input, found.config.threads, found.memory.init_bytes) == (None, None, None)


def test_a_log_that_ends_early_says_so(tmp_path: Path) -> None:
    (found,) = read(LOG[: LOG.index("INFO: count=60")], tmp_path)
    assert (found.latency.count, found.latency.mean, found.latency.first) == (None, None, 87112)
    assert found.validity.reasons == ("its log ends before the timed calls do",)


def test_models_may_be_loaded_several_times_and_run_several_times(tmp_path: Path) -> None:
    again = "INFO: Initialized session in 119.515ms.\nINFO: Initialized session in 7ms.\n"
    twice = LOG.replace("INFO: Initialized session in 119.515ms.\n", again)
    first, second = read(twice + LOG.replace("Num threads: [4]", "Num threads: [-1]"), tmp_path)
    assert (first.load.cold_us, first.load.warm_us) == (119515, (7000,))
    assert (first.config.threads, second.config.threads, second.load.warm_us) == (4, None, ())
    without_start = LOG.replace("INFO: STARTING!\n", "")
    assert len(read(without_start + without_start, tmp_path)) == 2
    with pytest.raises(ResultError, match=r"^result benchmark\.txt: has more than 1000 runs\."):
        read("STARTING!\n" * 1001, tmp_path)


@pytest.mark.parametrize(
    ("lines", "delegate", "partitions", "gpu"),
    [
        ("", None, None, None),
        ("Created TensorFlow Lite XNNPACK delegate for CPU.", "XNNPACK", None, None),
        ("Replacing 9 out of 9 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions.", "GPU", 1, 9),
        ("Replacing 9 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions.", "GPU", 1, None),
        # One or two pieces of the delegate, and as many of others.
        ("Replacing 7 out of 9 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 part", "GPU", None, 7),
        (f"Explicitly applied GPU {COMPLETELY}", "GPU", 1, None),
        (f"Explicitly applied GPU {PARTIALLY}", "GPU", 3, None),
        (f"Though GPU {NOT_APPLIED}", None, None, None),
    ],
)
def test_delegation_lines_say_what_runs_where(
    lines: str, delegate: str | None, partitions: int | None, gpu: int | None, tmp_path: Path
) -> None:
    text = without(LOG, "Created TensorFlow", "Replacing").replace("Initialized TensorFlow Lite runtime.", lines)
    (found,) = read(text, tmp_path)
    assert (found.config.delegate, found.placement.partitions, found.placement.gpu) == (delegate, partitions, gpu)


def test_litert_s_newer_benchmark_has_its_own_lines_on_memory(tmp_path: Path) -> None:
    lines = "".join(
        f"INFO: [benchmark_litert_model.h:85] {line}\n"
        for line in ("Init footprint:       1.50 MB", "Overall footprint:    2.00 MB", "Peak memory:          4.00 MB")
    )
    (found,) = read(without(LOG, "Memory footprint", "Overall peak") + lines, tmp_path)
    assert (found.memory.init_bytes, found.memory.overall_bytes, found.memory.peak_bytes) == (3 << 19, 2 << 20, 4 << 20)


def test_csv_gives_the_operations_of_the_runs(tmp_path: Path) -> None:
    found = read_csv(CSV, tmp_path)
    cast, delegate = found.ops
    assert (cast.name, cast.type, cast.mean_us, cast.percent, cast.calls) == ("[image,bytes]:0", "CAST", 100, 25, 1)
    # 0 is what it writes where it doesn't track memory.
    assert (cast.memory_bytes, delegate.memory_bytes) == (16500, None)
    assert (cast.delegate, delegate.delegate, found.placement.partitions) == (None, "XNNPACK", 1)
    assert (found.latency.count, found.latency.mean, found.validity.completed) == (None, None, True)


def test_a_delegate_s_kernels_stand_for_its_node(tmp_path: Path) -> None:
    found = read_csv(CSV + KERNELS, tmp_path)
    assert [(op.type, op.delegate) for op in found.ops] == [
        ("CAST", None),
        ("Convolution (NHWC F32) IGEMM", "XNNPACK"),
        ("Softmax (NC F32)", "XNNPACK"),
    ]
    assert [op.percent for op in found.ops] == pytest.approx([25, 50, 25])
    assert found.placement.partitions == 1


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    header, row = (
        "node type, start, first, avg_ms, %, cdf%, mem KB, times called, name",
        "CAST, 0, 9, 0.1, 25%, 1%, 0, 1, [a, b]:0",
    )
    found = read_csv(f"{OPERATIONS}{TITLE} Run Order {TITLE}\n{header}\n{row}\n", tmp_path)
    assert [(op.name, op.mean_us) for op in found.ops] == [("[a, b]:0", 100)]
    found = read_csv(f"{TITLE} Run Order {TITLE}\nnode type, avg_ms, name\nCAST, 0.2, x\n", tmp_path)
    assert [(op.name, op.mean_us, op.percent, op.calls) for op in found.ops] == [("x", 200, None, None)]


def test_a_log_may_have_the_operations_as_text(tmp_path: Path) -> None:
    (found,) = read(LOG + "INFO: " + TEXT, tmp_path)
    conv, elu = found.ops
    assert (conv.name, conv.type, conv.percent) == ("[conv2d, relu]:0", "CONV_2D", 44.899)
    assert conv.mean_us == pytest.approx(93)
    assert (elu.name, elu.percent) == ("[elu]:1", None)
    (found,) = read(LOG + "INFO: [benchmark_litert_model.h:130] \n" + LITERT, tmp_path)
    assert [(op.type, op.delegate) for op in found.ops] == [
        ("CAST", None),
        ("Convolution (NHWC, F32) IGEMM", "XNNPACK"),
    ]
    assert found.placement.partitions == 2


def test_a_log_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(LOG + TEXT, tmp_path)
    # The longest line has 122 bytes.
    for size in (123, 200, 1000):
        monkeypatch.setattr("targets.tflite.importers.benchmark_log.BLOCK", size)
        assert read(LOG + TEXT, tmp_path) == read((LOG + TEXT).rstrip(), tmp_path) == whole
        with pytest.raises(ResultError, match="line 20: "):
            read(LOG.replace("count=60", "count=many"), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("count=60", "count=many", "line 20"),
        ("avg=6.37432e+04", "avg=nan", "line 20"),
        ("119.515ms", "soon", "line 15"),
        ("Init: 119515", "Start: 119515", "line 22"),
        ("(MB): 24.6229", "(MB): large", "line 14"),
        ("init=55.5", "", "line 24"),
        ("at least 60 iterations", "some iterations", "line 19"),
    ],
)
def test_a_torn_line_is_named(old: str, new: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=rf"^result benchmark.txt: {place}: .* Give the file as the tool wrote it\.$"):
        read(LOG.replace(old, new, 1), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("CAST, 0.11, 0.1, 25%, 25%, 16.5, 1, ", "CAST, 0.11, ", "line 20: has 3 columns, the header 8"),
        ("CAST, 0.11, 0.1,", "CAST, 0.11, fast,", "line 20: no row of the table"),
        (
            f"{RUN_ORDER}{HEADER}\nCAST",
            f"{RUN_ORDER}node type, first, name\n",
            "line 19: the header has no column 'avg ms'",
        ),
        (OPERATIONS, "", r"^result profile.csv: has no operation of a run"),
    ],
)
def test_a_torn_table_is_named(old: str, new: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=place):
        read_csv(CSV.replace(old, new, 1), tmp_path)


def test_a_file_with_the_tool_s_words_elsewhere_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no line here or below begins as the tool's do"):
        read("we saw `Initialized session in 3ms`\n", tmp_path)
