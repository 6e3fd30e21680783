"""Where the time of a .tflite goes: each kernel's operation and module."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from targets.tflite.importers.kernel_trace import module_of, read_trace
from targets.tflite.on_device import tracer
from tests.exports import Export

MODEL = "kit.preprocess.ImageModel/kit.families.x.Net_model/kit.families.x.Layer_2"


@pytest.mark.parametrize(
    ("tensor", "module"),
    [
        (
            f"{MODEL}/torch.nn.modules.container.Sequential_blocks/kit.x.Block_0/torch.nn.Linear_key_value;3",
            "2.blocks.0.key_value",
        ),
        (f"{MODEL};1", "2"),
        ("ImageModel/Net_model/Layer_2/_Norm_norm;;ImageModel/Net_model/Layer_2;", "2.norm"),
        (f"{MODEL}/kit.x.Norm_norm;;{MODEL}/kit.x.Norm_other;1_quantized", "2.norm"),
        ("kit.preprocess.ImageModel/kit.preprocess.ImageFront_front;", None),
        ("logits", None),
    ],
)
def test_a_tensor_s_name_has_the_module_that_makes_it(tensor: str, module: str | None) -> None:
    assert module_of(tensor) == module


def test_kernels_are_aligned_with_operations_where_some_are_fused_and_some_are_added() -> None:
    operations = [
        ("CAST", "kit.Model/kit.Front_front;"),
        ("PAD", "kit.Model/kit.Net_model/kit.Conv_stem;"),
        ("CONV_2D", "kit.Model/kit.Net_model/kit.Conv_stem;1"),
        ("MUL", "kit.Model/kit.Net_model/kit.Norm_norm;"),
        ("MEAN", "kit.Model/kit.Net_model/kit.Norm_norm;1"),
        ("SOFTMAX", "kit.Model/kit.Net_model/kit.Attention_attention;"),
        ("FULLY_CONNECTED", "kit.Model/kit.Net_model/kit.Linear_classifier;"),
    ]
    kernels = [
        ("CAST", 1.0),
        ("Convolution (NHWC, F32) IGEMM", 4.0),
        ("Mean Squared (ND) Reduce2", 1.0),
        ("Static Reshape (NC)", 0.0),
        ("Softmax (NC, F32)", 2.0),
        ("A kernel of tomorrow", 0.0),
        ("Fully Connected (NC, F32) GEMM", 2.0),
    ]
    found = read_trace({"kernels": kernels, "operations": operations})
    assert [(op.type, op.module, op.percent, op.delegate) for op in found] == [
        ("CAST", None, 10, None),
        ("CONV_2D", "stem", 40, "XNNPACK"),
        ("MEAN", "norm", 10, "XNNPACK"),
        ("Static Reshape (NC)", "attention", 0, "XNNPACK"),
        ("SOFTMAX", "attention", 20, "XNNPACK"),
        ("A kernel of tomorrow", "classifier", 0, "XNNPACK"),
        ("FULLY_CONNECTED", "classifier", 20, "XNNPACK"),
    ]
    assert {op.kind for op in found} == {"measured"}


def test_every_layer_of_a_real_file_is_found_in_its_kernels(digits: Export) -> None:
    path = digits["tflite-fp32"] / "model.tflite"
    done = subprocess.run([sys.executable, tracer.__file__, path, "2", "4"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert "why_not" not in said, said
    found = read_trace(said)
    # Whatever has weights, takes most of the time, or is all that there is of it: none is fused away.
    layers = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX", "RSQRT"}
    wanted = Counter((kind, module_of(tensor)) for kind, tensor in said["operations"] if kind in layers)
    assert Counter((op.type, op.module) for op in found if op.type in layers) == wanted
    # The image's bytes, and the two outputs, whose tensors are called as they are.
    assert sum(op.module is None for op in found) <= 4
    assert sum(op.percent or 0 for op in found) == pytest.approx(100)


def test_another_library_is_not_tried(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tracer, "version", lambda package: "3.0.0")
    tracer.main(str(Path("model.tflite")), "2", "4")
    assert json.loads(capsys.readouterr().out) == {
        "why_not": "ai-edge-litert 3.0.0: its profiler is known for 2.3.x only"
    }
