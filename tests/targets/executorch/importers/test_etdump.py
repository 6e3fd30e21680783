"""Dumps in ExecuTorch's own schema, as its runtime writes them: the length in front, a block of events a run."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mobile_kit.errors import MissingToolError, ResultError
from mobile_kit.measurements.result import Result
from targets.executorch.importers.etdump import ETDump
from tests.exports import mobile_kit

pytest.importorskip("executorch.devtools")
from executorch.devtools.etdump.schema_flatcc import ETDumpFlatCC, ProfileEvent, RunData
from executorch.devtools.etdump.schema_flatcc import Event as Entry
from executorch.devtools.etdump.serialize import serialize_to_etdump_flatcc

# Name, instruction, a delegate's own name of what it ran, and microseconds.
Called = tuple[str, int, str, float]
RUN: tuple[Called, ...] = (
    ("native_call_linear.out", 0, "", 30.0),
    ("OPERATOR_CALL", 0, "", 31.0),
    ("", 1, "Convolution (NHWC, F32) IGEMM", 50.0),
    ("", 1, "Softmax", 20.0),
    ("DELEGATE_CALL", 1, "", 75.0),
)
LOADED: tuple[Called, ...] = (("Program::load_method", -1, "", 1500.0),)


def event(name: str, instruction: int, delegate: str, time_us: float) -> Entry:
    timed = ProfileEvent(
        name=name,
        chain_index=-1 if instruction < 0 else 0,
        instruction_id=instruction,
        start_time=1000,
        end_time=1000 + round(time_us * 1e3),
        delegate_debug_id_int=-1,
        delegate_debug_id_str=delegate,
        delegate_debug_metadata=None,
    )
    return Entry(profile_event=timed, allocation_event=None, debug_event=None)


def dump(runs: Sequence[Sequence[Called]], path: Path) -> Path:
    blocks = [
        RunData(name=name, bundled_input_index=-1, allocators=[], events=[event(*called) for called in calls])
        for calls in runs
        for name in ["Default" if calls is LOADED else "Execute"]
    ]
    data = serialize_to_etdump_flatcc(ETDumpFlatCC(version=0, run_data=blocks))
    path.write_bytes(len(data).to_bytes(4, "little") + data)
    return path


def executed(time_us: float, calls: Sequence[Called] = RUN) -> tuple[Called, ...]:
    return (*calls, ("Method::execute", -1, "", time_us))


def read(path: Path, record: Path | None = None) -> Result:
    assert ETDump().knows(path, path.read_bytes()[:100])
    (found,) = ETDump().read(path, record).results
    return found


def test_a_dump_gives_calls_and_operations(tmp_path: Path) -> None:
    found = read(dump([LOADED, executed(100), executed(110), executed(120)], tmp_path / "run.etdp"))
    assert found.latency.samples == ((100, 110, 120),)
    assert (found.latency.p50, found.load.cold_us, found.load.warm_us) == (110, 1500, ())
    # What is around others isn't an operation of its own.
    assert [(op.name, op.mean_us, op.delegate) for op in found.ops] == [
        ("native_call_linear.out", 30, None),
        ("Convolution (NHWC, F32) IGEMM", 50, "delegate"),
        ("Softmax", 20, "delegate"),
    ]
    assert [op.percent for op in found.ops] == [30, 50, 20]
    assert [op.module for op in found.ops] == [None, None, None]
    assert found.placement.partitions == 1
    assert found.run.tool == "ExecuTorch Inspector"
    assert found.run.tool_version is not None


def test_a_delegate_that_says_nothing_of_its_own_is_one_operation(tmp_path: Path) -> None:
    found = read(dump([executed(100, [*RUN[:2], RUN[-1]])], tmp_path / "run.etdp"))
    assert [(op.name, op.delegate) for op in found.ops] == [
        ("native_call_linear.out", None),
        ("DELEGATE_CALL", "delegate"),
    ]


class Small(torch.nn.Module):
    """Two layers with names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """An ETRecord of a small model, and its instructions."""
    from executorch.exir import to_edge_transform_and_lower

    program: Any = torch.export.export(Small(), (torch.zeros(1, 4),))
    edge = to_edge_transform_and_lower(program, generate_etrecord=True)
    made = edge.to_executorch()
    path = tmp_path_factory.mktemp("record") / "etrecord.bin"
    made.get_etrecord().save(str(path))
    instructions = made.executorch_program.execution_plan[0].chains[0].instructions
    return path, list(range(len(instructions)))


def test_a_record_names_the_modules(record: tuple[Path, list[int]], tmp_path: Path) -> None:
    path, instructions = record
    calls = [(f"native_call_{place}", place, "", 10.0) for place in instructions]
    found = read(dump([executed(100, calls)], tmp_path / "run.etdp"), path)
    assert list(dict.fromkeys(op.module for op in found.ops)) == ["first", None, "second"]
    assert {op.type for op in found.ops if op.module is None} == {"aten.relu.default"}


def test_a_file_that_is_cut_off_is_named_with_the_byte(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = dump([executed(100)], tmp_path / "run.etdp")
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(ResultError, match=rf"^result run.etdp: byte 200: ends here, and has {len(whole)} bytes"):
        read(path)
    path.write_bytes(whole[:8] + b"ED07" + whole[12:])
    with pytest.raises(ResultError, match="byte 8: is version ED07, and ED00 is known"):
        read(path)
    path.write_bytes((196).to_bytes(4, "little") + whole[4:200])
    with pytest.raises(ResultError, match=r"^result run.etdp: byte 4: the flatbuffer that begins here is torn\."):
        read(path)
    # Its compiler's own words stay out of the way.
    assert capfd.readouterr() == ("", "")


def test_a_dump_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"has no Method::execute event"):
        read(dump([LOADED], tmp_path / "run.etdp"))


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.bin").write_text("no archive")
    with pytest.raises(ResultError, match=r"^result run.etdp with record.bin: the Inspector can't read it"):
        read(dump([executed(100)], tmp_path / "run.etdp"), tmp_path / "record.bin")


def test_the_command_says_only_what_it_read(paper_artifact: Path, tmp_path: Path) -> None:
    """In a process of its own: libraries say things where they are imported."""
    path = dump([LOADED, executed(100)], tmp_path / "run.etdp")
    done = mobile_kit("import", path, "--artifact", paper_artifact, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)
    assert (found["latency"]["p50"], found["load"]["cold_us"], len(found["ops"])) == (100, 1500, 3)


def test_without_executorch_the_command_that_brings_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dump([executed(100)], tmp_path / "run.etdp")
    monkeypatch.setitem(sys.modules, "executorch.devtools", None)
    with pytest.raises(MissingToolError, match=r"^result run.etdp: needs executorch .* pip install 'mobile-kit\[exec"):
        read(path)
