"""Packages that are damaged, and what a sound one says of itself."""

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch
from torch import nn

from targets.coreml.mil import Interpreter, MilError, Port, read_program, run
from targets.coreml.mil.proto import load_proto

WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
MODEL = Path("Data/com.apple.CoreML/model.mlmodel")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = ct.convert(
        torch.jit.trace(nn.Conv2d(3, 16, 3).eval(), torch.zeros(1, 3, 8, 8)),
        inputs=[ct.TensorType("x", shape=(1, 3, 8, 8))],
        outputs=[ct.TensorType("y")],
        minimum_deployment_target=ct.target.iOS16,
    )
    model.author = "someone"
    package = tmp_path_factory.mktemp("read") / "model.mlpackage"
    model.save(str(package))
    return package


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "model.mlpackage"))


def test_a_program_says_what_it_is(package: Path) -> None:
    program = read_program(package)
    assert [(f.name, f.kind, f.dtype, f.shape) for f in program.inputs] == [("x", "array", "float16", (1, 3, 8, 8))]
    assert [(f.name, f.kind, f.shape) for f in program.outputs] == [("y", "array", (1, 16, 6, 6))]
    assert program.op_counts["conv"] == 1
    assert (program.opset, program.spec_version) == ("CoreML6", 7)
    assert program.metadata["author"] == "someone"


def rewrite(package: Path, change: Callable[[bytearray], object]) -> None:
    data = bytearray((package / WEIGHTS).read_bytes())
    change(data)
    (package / WEIGHTS).write_bytes(data)


def truncate(data: bytearray) -> None:
    del data[-200:]


def first_record(data: bytearray) -> int:
    return data.index(struct.pack("<I", 0xDEADBEEF))


def spoil_sentinel(data: bytearray) -> None:
    data[first_record(data)] ^= 1


def spoil_dtype(data: bytearray) -> None:
    data[first_record(data) + 4] = 2


def spoil_size(data: bytearray) -> None:
    data[first_record(data) + 8] ^= 4


def spoil_version(data: bytearray) -> None:
    data[4] = 9


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (truncate, "runs past the end|no record fits"),
        (spoil_sentinel, "its sentinel is"),
        (spoil_dtype, "its dtype code is 2, but the program declares float16"),
        (spoil_size, "bytes, but float16"),
        (spoil_version, "version 9 of the format isn't known"),
        (bytearray.clear, "too few for a header"),
    ],
)
def test_damaged_weights_are_refused(package: Path, change: Callable[[bytearray], object], reason: str) -> None:
    rewrite(package, change)
    with pytest.raises(MilError, match=reason):
        read_program(package)


def test_missing_parts_are_named(package: Path) -> None:
    (package / WEIGHTS).unlink()
    with pytest.raises(MilError, match=r"weight\.bin: there is no such file"):
        read_program(package)
    (package / MODEL).write_bytes(b"\xff not a protobuf")
    with pytest.raises(MilError, match="isn't a Core ML model"):
        read_program(package)
    (package / MODEL).unlink()
    with pytest.raises(MilError, match="isn't there"):
        read_program(package)
    (package / "Manifest.json").write_text(json.dumps({}))
    with pytest.raises(MilError, match=r"Manifest\.json doesn't lead to a model"):
        read_program(package)


def test_another_kind_of_model_is_refused(package: Path) -> None:
    model = load_proto().Model_pb2.Model()
    model.neuralNetwork.layers.add()
    (package / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(MilError, match="it holds a neuralNetwork, not an mlProgram"):
        read_program(package)


def test_a_declared_shape_that_isnt_computed_is_an_error(package: Path) -> None:
    model = load_proto().Model_pb2.Model()
    model.ParseFromString((package / MODEL).read_bytes())
    function = model.mlProgram.functions["main"]
    conv = next(op for op in function.block_specializations[function.opset].operations if op.type == "conv")
    conv.outputs[0].type.tensorType.dimensions[3].constant.size = 7
    (package / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(
        MilError, match=r"op conv '.+': computed float16\[1, 16, 6, 6\], but the file declares float16\[1, 16, 6, 7\]"
    ):
        run(read_program(package), {"x": np.zeros((1, 3, 8, 8))})


def test_a_declared_dtype_that_isnt_computed_is_an_error(package: Path) -> None:
    program = read_program(package)
    wrong = tuple(
        replace(op, outputs=(Port(op.outputs[0].name, "float32", op.outputs[0].shape),)) if op.type == "conv" else op
        for op in program.ops
    )
    with pytest.raises(MilError, match=r"op conv '.+': computed float16.*declares float32"):
        Interpreter(replace(program, ops=wrong)).run({"x": np.zeros((1, 3, 8, 8))})


def test_a_parameter_that_isnt_known_is_refused(package: Path) -> None:
    program = read_program(package)
    odd = tuple(
        replace(op, inputs={**op.inputs, "twist": (np.array(1),)}) if op.type == "conv" else op for op in program.ops
    )
    with pytest.raises(MilError, match=r"op conv .+: parameter twist isn't known\. Known: x, weight"):
        Interpreter(replace(program, ops=odd))
