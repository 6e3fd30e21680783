"""Small torch modules through coremltools and this interpreter, against torch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder as mb  # noqa: N813 (its name everywhere)
from torch import Tensor, nn

from targets.coreml.mil import MilError, read_program, run

pytestmark = pytest.mark.filterwarnings("ignore")  # the tracer and the converter rename and warn by the dozen

# The greatest difference allowed, as a share of the reference's greatest value.
TOLERANCES = {
    # float32 against float32: the order of sums differs. Measured: 4.1e-7 at most.
    "fp32": 5e-6,
    # fp16 against float32: a rounding of 4.9e-4 an op, and up to six ops in a row here. Measured: 7.6e-4 at most.
    "fp16": 2e-3,
    # 8-bit weights: half a step of 1/127 of the greatest weight, in sums of 27 and 64 terms. Measured: 5.4e-3 at most.
    "8 bit": 2e-2,
    # A palette of 16 values, evenly spread. Measured: 0.11 at most; a wrong palette or order gives 1 and more.
    "4 bit": 0.2,
}
PRECISIONS = {"fp16": ct.precision.FLOAT16, "fp32": ct.precision.FLOAT32}
TARGETS = {"iOS16": ct.target.iOS16, "iOS17": ct.target.iOS17, "iOS18": ct.target.iOS18}
COMBINATIONS = [("iOS16", "fp32"), ("iOS17", "fp16"), ("iOS18", "fp32"), ("iOS18", "fp16")]


class Elementwise(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        p = x.abs() + 0.5
        return (
            F.gelu(x) + F.gelu(x, approximate="tanh"),
            F.silu(x) * torch.sigmoid(x) - torch.tanh(x),
            F.relu(x) + F.relu6(x * 4) + F.leaky_relu(x, 0.2) + F.elu(x),
            F.hardswish(x) + F.hardsigmoid(x) + F.softplus(x) + F.hardtanh(x),
            torch.exp(x) / p + torch.log(p) + torch.sqrt(p) + torch.rsqrt(p),
            torch.maximum(x, p - 1) + torch.minimum(x, p) + x.clamp(-0.5, 0.5) + p**1.5 + x.square(),
            torch.where(torch.logical_or(torch.logical_and(x > 0.1, p <= 1.2), x < -1), x, p)
            + torch.floor(x * 3)
            + torch.round(x * 3 + 0.2),
            torch.softmax(x, 1) + torch.log_softmax(x, -1),
            torch.logical_not(x >= 0).float() + (x != p).float() + (x == p).float(),
        )


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 8, 3, padding="same", dilation=2)
        self.strided = nn.Conv2d(8, 12, 4, stride=3, padding=(1, 2), groups=4)
        self.up = nn.ConvTranspose2d(12, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.batch = nn.BatchNorm2d(12)
        self.group, self.instance = nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True)
        self.layer, self.linear = nn.LayerNorm(8), nn.Linear(8, 5)
        self.batch.running_mean, self.batch.running_var = torch.rand(12), torch.rand(12) + 0.5

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.same(x)
        narrow = self.batch(self.strided(features))
        wide = self.up(narrow)
        tokens = self.layer(features.flatten(2).transpose(1, 2))
        q, k, v = tokens.unflatten(-1, (2, 4)).transpose(1, 2).repeat(1, 1, 1, 3).chunk(3, dim=-1)
        return (
            narrow,
            self.instance(wide) + self.group(wide),
            F.avg_pool2d(x, 3, 2, 1) + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.max_pool2d(x, 3, 2, 1),
            F.max_pool2d(x, 2, 2, ceil_mode=True),
            self.linear(tokens),
            F.scaled_dot_product_attention(q, k, v),
            torch.einsum("nchw,nwhu->nchu", x, x.permute(0, 3, 2, 1)),
            x.mean((2, 3)) + x.sum(1).amax(-1)[:, :3] - x.amin((2, 3), keepdim=True).flatten(1),
            x.argmax(1).float(),
        )


class Arrangement(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("index", torch.tensor([4, 0, 2, 2]))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        left, right = x.split([2, 1], dim=1)
        return (
            torch.cat([x, x[:, :1] * 2], 1).permute(0, 2, 3, 1).reshape(1, -1, 4),
            torch.stack([left[:, 0], right[:, 0]], -1).unsqueeze(2).squeeze(0),
            x[:, 1:, ::2, -5:-1] + x[:, 0, 3, 2],
            x.index_select(3, self.index) + x[..., self.index],
            torch.gather(x, 2, (x[:, :, :4] > 0).long()),
            left.repeat(1, 2, 1, 1).expand(1, 4, 9, 10) + torch.ones_like(x[:, :1]) * 0.3,
            F.pad(x, (1, 2, 3, 0), value=0.7),
            F.pad(x, (2, 3, 1, 4), mode="reflect"),
            F.pad(x, (2, 1, 0, 3), mode="replicate"),
            F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
            F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False),
            F.interpolate(x, size=(13, 7), mode="bilinear", align_corners=True),
            F.interpolate(x, scale_factor=3.0, mode="nearest"),
            torch.flip(x, (2,)).cumsum(3) * 0.1,
            x.flatten(1).topk(5)[0],
        )


# Each module in both precisions, each combination with one at least.
FAST = {
    Arrangement: [("iOS16", "fp32"), ("iOS18", "fp16")],
    Elementwise: [("iOS16", "fp32"), ("iOS17", "fp16")],
    Layers: [("iOS18", "fp32"), ("iOS17", "fp16")],
}
CASES = [
    pytest.param(
        module,
        *combination,
        marks=() if combination in FAST[module] else pytest.mark.slow,
        id="-".join([module.__name__, *combination]),
    )
    for module in FAST
    for combination in COMBINATIONS
]


def convert(module: nn.Module, example: Tensor, target: str, precision: str, **options: object) -> ct.models.MLModel:
    torch.manual_seed(1)
    return ct.convert(
        torch.jit.trace(module.eval(), example),
        inputs=options.pop("inputs", [ct.TensorType("x", shape=example.shape)]),
        minimum_deployment_target=TARGETS[target],
        compute_precision=PRECISIONS[precision],
        **options,
    )


def save(model: ct.models.MLModel, folder: Path) -> Path:
    package = folder / "model.mlpackage"
    model.save(str(package))
    return package


def build(folder: Path, function: Callable[..., object], shape: tuple[int, ...], target: str = "iOS17") -> Path:
    # A fp32 program straight from MIL ops, for what no torch op becomes.
    program = mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=TARGETS[target])(function)
    options = {"minimum_deployment_target": TARGETS[target], "compute_precision": ct.precision.FLOAT32}
    return save(ct.convert(program, convert_to="mlprogram", **options), folder)


def assert_close(outputs: dict[str, np.ndarray], expected: tuple[Tensor, ...], tolerance: float) -> None:
    assert len(outputs) == len(expected)
    for (name, value), reference in zip(outputs.items(), expected, strict=True):
        assert value.shape == tuple(reference.shape), name
        limit = tolerance * max(1e-6, reference.abs().max().item())
        assert np.abs(value.astype(np.float32) - reference.numpy()).max() <= limit, name


@pytest.fixture
def example() -> Tensor:
    return torch.randn(1, 3, 9, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("family", "target", "precision"), CASES)
def test_a_module_gives_what_torch_gives(
    family: type[nn.Module], target: str, precision: str, example: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    module = family().eval()
    # Rounded first, so no comparison in the module depends on the precision.
    example = example.half().float()
    program = read_program(save(convert(module, example, target, precision), tmp_path))
    result = run(program, {"x": example.numpy()}, watch=program.tensor_names)
    with torch.no_grad():
        assert_close(result.outputs, module(example), TOLERANCES[precision])
    # The precision is the file's: what's computed in between is fp16 where it says so.
    dtypes = {result.observed[op.outputs[0].name].dtype for op in program.ops if op.type in ("conv", "gelu", "pad")}
    assert dtypes == {"float16" if precision == "fp16" else "float32"}
    assert not any(observation.nonfinite for observation in result.observed.values())


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_compressed_weights(target: str, tmp_path: Path) -> None:
    from coremltools.optimize import coreml as cto

    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, 16, 1)).eval()
    example = torch.randn(1, 3, 8, 8)
    model = convert(module, example, target, "fp16")
    modes = {
        "8 bit": cto.linear_quantize_weights(
            model, cto.OptimizationConfig(cto.OpLinearQuantizerConfig("linear_symmetric", weight_threshold=64))
        ),
        "4 bit": cto.palettize_weights(
            model, cto.OptimizationConfig(cto.OpPalettizerConfig("uniform", nbits=4, weight_threshold=64))
        ),
    }
    expected = (module(example).detach(),)
    for mode, compressed in modes.items():
        folder = tmp_path / mode
        program = read_program(save(compressed, folder))
        assert any(name.startswith("constexpr_") for name in program.op_counts)
        assert_close(run(program, {"x": example.numpy()}).outputs, expected, TOLERANCES[mode])


@pytest.mark.parametrize("color", ["BGR", "RGB"])
def test_a_classifier_with_an_image_input(color: str, tmp_path: Path) -> None:
    torch.manual_seed(4)
    module = nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten(), nn.Softmax(-1)).eval()
    pixels = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    model = convert(
        module,
        pixels.float(),
        "iOS16",
        "fp32",
        inputs=[ct.ImageType("image", (1, 3, 8, 8), scale=1 / 255, color_layout=getattr(ct.colorlayout, color))],
        classifier_config=ct.ClassifierConfig(["cat", "dog", "owl", "fox"]),
    )
    program = read_program(save(model, tmp_path))
    assert program.inputs[0].kind == "image"
    assert program.inputs[0].color == color
    outputs = run(program, {"image": pixels.numpy()}).outputs
    order = [2, 1, 0] if color == "BGR" else [0, 1, 2]
    with torch.no_grad():
        expected = module(pixels[:, order].float() / 255)[0]
    table = next(value for value in outputs.values() if isinstance(value, dict))
    assert list(table) == ["cat", "dog", "owl", "fox"]
    assert np.allclose(list(table.values()), expected.numpy(), atol=TOLERANCES["fp32"])
    assert outputs["classLabel"] == list(table)[int(expected.argmax())]
    with pytest.raises(MilError, match="An image is 0 to 255"):
        run(program, {"image": pixels.numpy() * 2.0})


def test_ops_that_no_torch_op_becomes(example: Tensor, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 4, 4)).astype(np.float32)
    scale, zero = np.float32(0.03), np.uint8(120)

    def ops(x: object) -> tuple[object, ...]:
        codes = mb.quantize(input=x, scale=scale, zero_point=zero, output_dtype="uint8")
        return (
            mb.conv(x=x, weight=weight, strides=[2, 3], pad_type="same"),
            mb.conv(x=x, weight=weight, strides=[2, 3], pad_type="same_lower"),
            mb.avg_pool(x=x, kernel_sizes=[2, 3], strides=[1, 1], pad_type="same", exclude_padding_from_average=True),
            mb.max_pool(x=x, kernel_sizes=[2, 3], strides=[1, 1], pad_type="same_lower"),
            mb.dequantize(input=codes, scale=scale, zero_point=zero),
            mb.resize(x=x, shape=np.array([0, 5]), resized_dims=np.uint32(2), sampling_mode="UNALIGN_CORNERS"),
            mb.fill_like(ref_tensor=x, value=np.float32(2.5)),
        )

    w = torch.from_numpy(weight)
    ones = torch.ones_like(example)
    # In TensorFlow's words: 9 rows at stride 2 with a kernel of 4 need 3 of padding, 10 columns at stride 3 also 3.
    rows, columns = 4 * 2 + 4 - 9, 3 * 3 + 4 - 10
    upper = F.pad(example, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    lower = F.pad(example, (columns - columns // 2, columns // 2, rows - rows // 2, rows // 2))
    summed = F.avg_pool2d(F.pad(example, (1, 1, 0, 1)), (2, 3), 1)
    expected = (
        F.conv2d(upper, w, stride=(2, 3)),
        F.conv2d(lower, w, stride=(2, 3)),
        summed / F.avg_pool2d(F.pad(ones, (1, 1, 0, 1)), (2, 3), 1),
        F.max_pool2d(F.pad(example, (1, 1, 1, 0), value=-torch.inf), (2, 3), 1),
        ((example / 0.03).round() + 120).clamp(0, 255).sub(120) * 0.03,
        F.interpolate(example, size=(9, 5), mode="bilinear"),
        ones * 2.5,
    )
    program = read_program(build(tmp_path, ops, (1, 3, 9, 10)))
    assert_close(run(program, {program.inputs[0].name: example.numpy()}).outputs, expected, TOLERANCES["fp32"])


def test_an_unknown_op_is_refused_by_name_before_anything_runs(example: Tensor, tmp_path: Path) -> None:
    def ops(x: object) -> object:
        return mb.local_response_norm(x=mb.relu(x=x), size=3)

    program = read_program(build(tmp_path, ops, (1, 3, 9, 10)))
    with pytest.raises(MilError, match=r"ops local_response_norm \(1\).*Known: abs, "):
        run(program, {})


def test_a_name_that_stands_for_two_values_is_refused(tmp_path: Path) -> None:
    program = read_program(save(convert(nn.ReLU(), torch.zeros(1, 4), "iOS17", "fp32"), tmp_path))
    twice = replace(program, ops=(*program.ops, program.ops[-1]))
    with pytest.raises(MilError, match=rf"values {program.outputs[0].name}: the program defines them twice"):
        run(twice, {"x": np.zeros((1, 4))})


def test_observation_counts_what_isnt_finite(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Identity()).eval()
    module[1].forward = lambda x: torch.exp(x) + 1
    program = read_program(save(convert(module, torch.zeros(1, 4), "iOS17", "fp16"), tmp_path))
    name = next(op.outputs[0].name for op in program.ops if op.type == "exp")
    values = np.array([[0.0, 1.0, 12.0, 11.0]], np.float32)
    seen = run(program, {"x": values}, watch=[name]).observed
    assert set(seen) == {name}
    # fp16 ends at 65504: e**12 is 162755 and overflows, e**11 is 59874 and doesn't.
    assert (seen[name].nonfinite, seen[name].min, seen[name].dtype, seen[name].shape) == (1, 1.0, "float16", (1, 4))
    assert seen[name].max == float(np.float16(np.exp(11.0)))
    with pytest.raises(MilError, match="watch nothing: no op"):
        run(program, {"x": values}, watch=["nothing"])


def test_inputs_are_checked(tmp_path: Path) -> None:
    program = read_program(save(convert(nn.ReLU(), torch.zeros(1, 4), "iOS17", "fp32"), tmp_path))
    with pytest.raises(MilError, match=r"inputs y: they aren't the program's\. Known: x"):
        run(program, {"y": np.zeros((1, 4))})
    with pytest.raises(MilError, match=r"input 'x' float64\[1, 5\]: the program takes float32\[1, 4\]"):
        run(program, {"x": np.zeros((1, 5))})
