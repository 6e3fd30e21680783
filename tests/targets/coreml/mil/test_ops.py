"""Single ops against coremltools' own constant folding, its documented examples, and torch."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder as mb  # noqa: N813 (its name everywhere)
from coremltools.converters.mil.mil import Function
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry
from torch import Tensor

from targets.coreml.mil import OPS
from targets.coreml.mil.blob import unpack_bits

# Both compute in float32, with other kernels. Measured: 1.5e-7 at most.
TOLERANCE = 1e-6

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.5)
INDICES = np.array([[2, 0], [1, 1]], np.int32)

# Op, tensors, constants: what coremltools folds at conversion.
FOLDED: list[tuple[str, dict[str, object], dict[str, object]]] = [
    ("abs", {"x": X}, {}),
    ("atan", {"x": X}, {}),
    ("cast", {"x": X * 10}, {"dtype": "int32"}),
    ("ceil", {"x": X}, {}),
    ("clamped_relu", {"x": X}, {"alpha": np.float32(-0.3), "beta": np.float32(0.7)}),
    ("clip", {"x": X}, {"alpha": np.float32(-0.5), "beta": np.float32(0.5)}),
    ("concat", {"values": (X, X + 1)}, {"axis": 1, "interleave": False}),
    ("cos", {"x": X}, {}),
    ("elu", {"x": X}, {"alpha": np.float32(0.7)}),
    ("erf", {"x": X[0, 0]}, {}),
    ("exp2", {"x": X}, {}),
    ("expand_dims", {"x": X}, {"axes": [1, -1]}),
    ("floor_div", {"x": X, "y": POSITIVE}, {}),
    ("gather", {"x": X, "indices": INDICES}, {"axis": 1}),
    ("gather_along_axis", {"x": X[0, 0], "indices": INDICES.repeat(2, 0)}, {"axis": 1}),
    ("gelu", {"x": X}, {"mode": "EXACT"}),
    ("gelu", {"x": X}, {"mode": "SIGMOID_APPROXIMATION"}),
    ("gelu", {"x": X}, {"mode": "TANH_APPROXIMATION"}),
    ("inverse", {"x": POSITIVE}, {"epsilon": np.float32(0.1)}),
    ("layer_norm", {"x": X, "gamma": X[0, 0], "beta": X[1, 1]}, {"axes": [2, 3]}),
    ("layer_norm", {"x": X, "gamma": X[0, :, 0, 0], "beta": X[1, :, 0, 0]}, {"axes": [1], "epsilon": np.float32(0.1)}),
    ("leaky_relu", {"x": X}, {"alpha": np.float32(0.2)}),
    ("linear", {"x": X, "weight": X[0, 0], "bias": X[0, 0, :, 0]}, {}),
    ("linear_activation", {"x": X}, {"alpha": np.float32(0.2), "beta": np.float32(3)}),
    ("log", {"x": POSITIVE}, {"epsilon": np.float32(0.1)}),
    ("logical_xor", {"x": X > 0, "y": X > 1}, {}),
    ("matmul", {"x": X, "y": X}, {"transpose_x": False, "transpose_y": True}),
    ("matmul", {"x": X, "y": X}, {"transpose_x": True, "transpose_y": False}),
    ("mod", {"x": X, "y": POSITIVE}, {}),
    ("pad", {"x": X}, {"pad": [1, 0, 2, 1], "mode": "constant", "constant_val": np.float32(0.5)}),
    ("pad", {"x": X}, {"pad": [3, 2, 1, 4], "mode": "reflect"}),
    ("pad", {"x": X}, {"pad": [1, 1, 0, 3, 2, 0], "mode": "replicate"}),
    ("prelu", {"x": X, "alpha": X[0, :, 0, 0]}, {}),
    ("range_1d", {"start": np.int32(2), "end": np.int32(11), "step": np.int32(4)}, {}),
    ("real_div", {"x": X, "y": POSITIVE}, {}),
    ("reduce_argmax", {"x": X}, {"axis": 2, "keep_dims": False}),
    ("reduce_argmin", {"x": X}, {"axis": -1, "keep_dims": True}),
    ("reduce_l1_norm", {"x": X}, {"axes": [1, -1], "keep_dims": True}),
    ("reduce_l2_norm", {"x": X}, {"axes": [1, -1], "keep_dims": False}),
    ("reduce_log_sum", {"x": POSITIVE}, {"axes": [0], "keep_dims": False}),
    ("reduce_log_sum_exp", {"x": X}, {"axes": [0, 2], "keep_dims": False}),
    ("reduce_max", {"x": X}, {"axes": [0, -1], "keep_dims": False}),
    ("reduce_mean", {"x": X}, {}),
    ("reduce_min", {"x": X}, {"axes": [-2], "keep_dims": True}),
    ("reduce_prod", {"x": X}, {"axes": [1, 3], "keep_dims": False}),
    ("reduce_sum", {"x": INDICES}, {"axes": [0], "keep_dims": False}),
    ("reduce_sum_square", {"x": X}, {"axes": [1, 3], "keep_dims": False}),
    ("reshape", {"x": X}, {"shape": [0, 0, -1, 10]}),
    ("reverse", {"x": X}, {"axes": [1, -1]}),
    ("rsqrt", {"x": POSITIVE}, {"epsilon": np.float32(0.1)}),
    ("scaled_tanh", {"x": X}, {"alpha": np.float32(1.7), "beta": np.float32(0.6)}),
    ("select", {"cond": X > 0, "a": X, "b": X * 2}, {}),
    ("sigmoid_hard", {"x": X}, {"alpha": np.float32(0.3), "beta": np.float32(0.4)}),
    ("slice_by_index", {"x": X}, {"begin": [0, -1, 3, 1], "end": [2, 0, 0, 5], "stride": [1, -1, -2, 2]}),
    (
        "slice_by_index",
        {"x": X},
        {
            "begin": [1, 9, 1, -3],
            "end": [0, 9, -1, 9],
            "begin_mask": [False, True, False, False],
            "end_mask": [False, True, False, True],
            "squeeze_mask": [True, False, False, False],
        },
    ),
    ("slice_by_size", {"x": X}, {"begin": [0, 1, 2, 0], "size": [1, -1, 2, 3]}),
    ("softmax", {"x": X}, {"axis": 1}),
    ("softplus", {"x": X * 30}, {}),
    ("softplus_parametric", {"x": X, "alpha": X[0, :, 0, 0], "beta": X[1, :, 0, 0]}, {}),
    ("softsign", {"x": X}, {}),
    ("squeeze", {"x": X[:1, :, :1]}, {"axes": [0, -2]}),
    ("stack", {"values": (X, X + 1)}, {"axis": -1}),
    ("threshold", {"x": X}, {"alpha": np.float32(0.3)}),
    ("thresholded_relu", {"x": X}, {"alpha": np.float32(0.3)}),
    ("tile", {"x": X}, {"reps": [1, 2, 1, 3]}),
    ("topk", {"x": X}, {"k": 2, "axis": 1, "ascending": True}),
    ("transpose", {"x": X}, {"perm": [0, -1, 1, 2]}),
]


def as_tensor(value: object) -> object:
    return torch.from_numpy(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def compute(op: str, tensors: dict[str, object], constants: dict[str, object]) -> tuple[Tensor, ...]:
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in constants.items()}
    several = [as_tensor(value) for value in tensors.get("values", ())]
    single = {name: as_tensor(value) for name, value in tensors.items() if name != "values"}
    result = OPS[op](*several, **single, **plain)
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize(("op", "tensors", "constants"), FOLDED, ids=[f"{i}-{c[0]}" for i, c in enumerate(FOLDED)])
def test_an_op_gives_what_coremltools_folds(op: str, tensors: dict[str, object], constants: dict[str, object]) -> None:
    with Function({}):
        folded = getattr(mb, op)(**tensors, **constants)
    expected = folded if isinstance(folded, list | tuple) else (folded,)
    computed = compute(op, tensors, constants)
    assert len(computed) == len(expected)
    for found, reference in zip(computed, expected, strict=True):
        value = np.asarray(reference.val)
        assert tuple(found.shape) == value.shape
        limit = TOLERANCE * max(1.0, float(np.abs(value.astype(np.float64)).max()))
        assert np.abs(found.numpy().astype(np.float64) - value).max() <= limit


@pytest.mark.parametrize(
    ("mode", "five", "six"),
    # The grid points of two pixels 0 and 1 are their own values: coremltools, docstring of resize_bilinear.
    [
        ("UNALIGN_CORNERS", [0, 0.1, 0.5, 0.9, 1], [0, 0, 1 / 3, 2 / 3, 1, 1]),
        ("STRICT_ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ("ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ("DEFAULT", [0, 0.4, 0.8, 1, 1], [0, 1 / 3, 2 / 3, 1, 1, 1]),
        ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9], [1 / 12, 0.25, 5 / 12, 7 / 12, 0.75, 11 / 12]),
    ],
)
def test_sampling_modes_give_the_documented_grids(mode: str, five: list[float], six: list[float]) -> None:
    x = torch.tensor([[[0.0, 1.0]]])
    for expected in (five, six):
        size = {"target_size_height": 1, "target_size_width": len(expected)}
        assert torch.allclose(OPS["resize_bilinear"](x, **size, sampling_mode=mode)[0, 0], torch.tensor(expected))


@pytest.mark.parametrize(("align", "half"), [(True, None), (True, False), (False, None), (False, True)])
def test_upsample_bilinear_is_torch_interpolate(align: bool, half: bool | None) -> None:
    x = torch.from_numpy(X)
    factors = {"scale_factor_height": 3.0, "scale_factor_width": 2}
    found = OPS["upsample_bilinear"](x, **factors, align_corners=align, half_pixel_centers=half)
    assert torch.allclose(found, F.interpolate(x, size=(12, 10), mode="bilinear", align_corners=align), atol=TOLERANCE)


def test_upsample_bilinear_without_either_is_the_default_grid() -> None:
    found = OPS["upsample_bilinear"](
        torch.tensor([[[0.0, 1.0]]]), scale_factor_width=3.0, align_corners=False, half_pixel_centers=False
    )
    assert torch.allclose(found[0, 0], torch.tensor([0, 1 / 3, 2 / 3, 1, 1, 1]))


@pytest.mark.parametrize(("mode", "torch_mode"), [("DEFAULT", "nearest"), ("UNALIGN_CORNERS", "nearest-exact")])
@pytest.mark.parametrize("target", [(7, 3), (4, 13), (9, 10)])
def test_nearest_neighbours_are_those_of_torch(mode: str, torch_mode: str, target: tuple[int, int]) -> None:
    x = torch.from_numpy(X)
    found = OPS["resize"](
        x, shape=[0, *target], resized_dims=2, interpolation_mode="NEAREST_NEIGHBOR", sampling_mode=mode
    )
    assert torch.equal(found, F.interpolate(x, size=target, mode=torch_mode))


def test_conv_transpose_pads_crops_and_grows_to_its_output_shape() -> None:
    x, weight, bias = torch.randn(1, 4, 5, 6), torch.randn(4, 3, 3, 3), torch.randn(3)
    options = {"strides": [2, 2], "dilations": [1, 1]}
    same = OPS["conv_transpose"](x, weight, bias, pad_type="same", **options)
    assert torch.allclose(same, F.conv_transpose2d(x, weight, bias, 2)[..., :-1, :-1], atol=1e-5)
    grown = OPS["conv_transpose"](
        x, weight, bias, pad=[1] * 4, pad_type="custom", output_shape=[1, 3, 10, 12], **options
    )
    assert torch.allclose(grown, F.conv_transpose2d(x, weight, bias, 2, 1, 1), atol=1e-5)


def test_interleaved_concat_alternates() -> None:
    first, second = torch.tensor([[1, 2], [3, 4], [5, 6]]), torch.tensor([[7, 8], [9, 10], [11, 12]])
    expected = torch.tensor([[1, 2], [7, 8], [3, 4], [9, 10], [5, 6], [11, 12]])
    assert torch.equal(OPS["concat"](first, second, axis=0, interleave=True), expected)


def test_a_negative_index_is_refused_from_ios_17_on() -> None:
    x, indices = torch.arange(4.0), torch.tensor([-1, 2])
    assert OPS["gather"](x, indices).tolist() == [3, 2]
    with pytest.raises(ValueError, match="negative index isn't defined"):
        OPS["gather"](x, indices, validate_indices=False)


def test_batched_gathers_go_in_step() -> None:
    x, indices = torch.from_numpy(X), torch.tensor([[2, 0], [1, 1]])
    expected = torch.stack([x[0][[2, 0]], x[1][[1, 1]]])
    assert torch.equal(OPS["gather"](x, indices, axis=1, batch_dims=1), expected)
    assert torch.equal(OPS["gather_nd"](x, indices.unsqueeze(-1), batch_dims=1), expected)


def test_palettes_of_ios_18() -> None:
    # coremltools, docstring of constexpr_lut_to_dense: two groups of four values, then vectors of three.
    indices = torch.tensor([[2, 3], [3, 0], [1, 0], [3, 0], [2, 1], [0, 3]], dtype=torch.uint8)
    lut = torch.tensor([1.0, 5, 9, 13, 2, 10, 18, 26]).view(2, 1, 4, 1)
    expected = [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]
    assert OPS["constexpr_lut_to_dense"](indices, lut).tolist() == expected
    vectors = torch.arange(6.0).view(1, 1, 1, 2, 3)
    bits = torch.tensor([[[0, 0], [1, 0]], [[1, 1], [0, 0]]], dtype=torch.uint8)
    along_1 = OPS["constexpr_lut_to_dense"](bits, vectors, vector_axis=1)
    assert along_1[0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 0], [4, 1], [5, 2]]
    along_2 = OPS["constexpr_lut_to_dense"](bits, vectors, vector_axis=-1)
    assert along_2[0].tolist() == [[0, 1, 2, 0, 1, 2], [3, 4, 5, 0, 1, 2]]


def test_blocks_and_sparse_weights_of_ios_18() -> None:
    # coremltools, docstring of constexpr_sparse_blockwise_shift_scale.
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]], dtype=torch.uint8)
    data = torch.tensor([10, 11, 3, 4, 5, 6, 7, 8, 9], dtype=torch.int8)
    scale, offset = torch.tensor([[0.1, 0.2, 0.3, 0.4]]), torch.tensor([[1, 2, 3, 4]], dtype=torch.int8)
    _, values = OPS["constexpr_sparse_blockwise_shift_scale"](mask, data, scale, offset)
    assert torch.allclose(values, torch.tensor([0.9, 1.8, 0.2, 0.4, 0.6, 0.9, 1.2, 0.7, 1.4]))
    blocks = OPS["constexpr_blockwise_shift_scale"](
        torch.full((2, 6), 3, dtype=torch.int8), torch.tensor([[1.0, 2.0], [3, 4]])
    )
    assert blocks.tolist() == [[3, 3, 3, 6, 6, 6], [9, 9, 9, 12, 12, 12]]
    # And of constexpr_lut_to_sparse, whose values are picked from a palette of two.
    picked = torch.tensor([0, 1, 1, 0, 1, 1, 0, 0, 1], dtype=torch.uint8)
    _, values = OPS["constexpr_lut_to_sparse"](mask, picked, torch.tensor([2.0, 3.0]).view(1, 1, 2, 1))
    assert values.tolist() == [2, 3, 3, 2, 3, 3, 2, 2, 3]


def test_sparse_weights_of_ios_16_are_packed_low_bits_first() -> None:
    # coremltools, docstring of constexpr_sparse_to_dense.
    dense = OPS["constexpr_sparse_to_dense"](
        torch.tensor([7.0, 8.0]), torch.tensor([0b00001100], dtype=torch.uint8), shape=[5]
    )
    assert dense.tolist() == [0, 0, 7, 8, 0]


@pytest.mark.parametrize(("bits", "signed"), [(1, False), (2, False), (3, False), (4, False), (4, True), (6, False)])
def test_packed_integers_come_back(bits: int, signed: bool) -> None:
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.random.default_rng(bits).integers(low, low + 2**bits, (5, 7))
    rows = (values.reshape(-1, 1) >> np.arange(bits)) & 1
    packed = np.packbits(rows.astype(np.uint8), bitorder="little")
    assert np.array_equal(unpack_bits(packed, bits, (5, 7), signed=signed), values)


def test_quantize_saturates_and_goes_by_channel() -> None:
    x, scale = torch.tensor([[-9.0, 0.26, 9.0], [-9.0, 0.26, 9.0]]).half(), torch.tensor([0.1, 0.01]).half()
    codes = OPS["quantize"](x, scale, torch.tensor([0, 5], dtype=torch.int8), output_dtype="int8", axis=0)
    assert codes.dtype == torch.int8
    assert codes.tolist() == [[-90, 3, 90], [-128, 31, 127]]
    back = OPS["dequantize"](codes, scale, torch.tensor([0, 5], dtype=torch.int8), axis=0)
    assert back.dtype == torch.float16
    assert torch.allclose(back[1].float(), torch.tensor([-1.33, 0.26, 1.22]), atol=1e-3)


def test_fp16_overflows_and_its_small_epsilon_is_zero() -> None:
    big = torch.full((1, 64), 300.0).half()
    assert OPS["matmul"](big, big, transpose_y=True).isinf().all()
    assert OPS["rsqrt"](torch.zeros(1).half()).isinf().all()
    assert OPS["rsqrt"](torch.zeros(1)).item() == pytest.approx(1e6)


def test_the_registry_is_sorted_and_its_parameters_are_coremltools() -> None:
    assert list(OPS) == sorted(OPS)
    for name, function in OPS.items():
        versions = {**SSAOpRegistry.core_ops[name]}
        known = {parameter for op in versions.values() for parameter in op.input_spec.input_types}
        assert set(inspect.signature(function).parameters) <= known | {"val"}, name
