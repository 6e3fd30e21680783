from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from mobile_kit.artifacts.golden_inputs import further_inputs
from mobile_kit.checkpoints.load import load
from mobile_kit.errors import CheckpointError, UnsupportedError
from mobile_kit.measurements.metrics import distance
from mobile_kit.models.family import known_checkpoints
from mobile_kit.models.hiera.family import FAMILY, build
from mobile_kit.models.hiera.network import HieraBackbone
from mobile_kit.models.spec import CommonModel
from mobile_kit.preprocessing.in_graph import ImageModel, attach
from mobile_kit.preprocessing.synthetic_images import scene
from tests.eager import BOUND, assert_is_hugging_face, reference, scenes
from tests.graphs import assert_plain
from tests.small_checkpoints import change_json
from tests.small_families import HIERA, HUGGING_FACE

CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "Hugging Face's tests": HUGGING_FACE["hiera"],
    "odd width": {"embed_dim": 37, "num_heads": [1, 2, 1, 4]},
    "not square": {"image_size": [64, 96]},
    "one unit": {"image_size": [32, 32]},
    "three units": {"image_size": [96, 32]},
    "one channel": {"num_channels": 1},
    "no units": {"masked_unit_attention": [False] * 4},
    "units everywhere": {"masked_unit_attention": [True] * 4},
    "units in the last stage": {"masked_unit_attention": [False, False, False, True]},
    "two poolings": {"num_query_pool": 2},
    "one pooling, units everywhere": {"num_query_pool": 1, "masked_unit_attention": [True] * 4},
    "no pooling": {"num_query_pool": 0, "masked_unit_attention": [True] * 4},
    "pooled by one": {"query_stride": [1, 1], "masked_unit_size": [4, 4]},
    "pooled along rows": {"query_stride": [1, 2]},
    "wider units": {"masked_unit_size": [16, 16], "image_size": [128, 64], "masked_unit_attention": [True] * 4},
    "units of three": {"masked_unit_size": [24, 8], "image_size": [96, 64], "num_query_pool": 2},
    "units across the map": {"masked_unit_size": [16, 16], "image_size": [32, 128]},
    "three stages": {"depths": [1, 2, 1], "num_heads": [1, 2, 4], "num_query_pool": 2, "masked_unit_size": [4, 4]},
    "one stage": {"depths": [2], "num_heads": [2], "num_query_pool": 0, "masked_unit_attention": [True]},
    "five stages": {
        "depths": [1, 1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2, 2],
        "masked_unit_size": [16, 16],
        "masked_unit_attention": [True] * 5,
        "num_query_pool": 3,
    },
    "multiplier 1.5": {"embed_dim_multiplier": 1.5, "num_heads": [1, 2, 4, 2]},
    "patches side by side": {"patch_size": [4, 4], "patch_padding": [0, 0]},
    "patches of 2": {"patch_size": [2, 3], "patch_stride": [2, 2], "patch_padding": [0, 1], "image_size": [32, 48]},
    "layer_norm_eps": {"layer_norm_eps": 1e-2},
    "relu": {"hidden_act": "relu"},
}  # fmt: skip

NO_PRETRAINING = {
    "one unit": "mask_ratio 0.6 in the config: keeps 0 of 1",
    "pooled by one": "masked_unit_size",
    "pooled along rows": "predict 4x32 pixels",
    "wider units": "masked_unit_size",
    "units of three": "masked_unit_size",
    "units across the map": "masked_unit_size",
    "one stage": "masked_unit_size",
    "five stages": "keeps 0 of 1",
}

each_head = pytest.mark.parametrize("head", sorted(FAMILY.heads))


def small_model(head: str, **changes: Any) -> Any:
    """Return Hugging Face's model for a head, with random weights."""
    if head == "backbone" and "out_features" not in changes:
        stages = len(changes.get("depths", HIERA.config["depths"]))
        changes["out_features"] = ["stem", *(f"stage{i}" for i in range(1, stages + 1))]
    return HIERA.model(head, tuple(changes.get("image_size", (64, 64))), changes)


def pixel_values(image_size: tuple[int, int], channels: int = 3) -> list[Tensor]:
    return scenes(HIERA.preprocess(image_size, channels))


def further(ours: CommonModel) -> dict[str, Tensor]:
    """The inputs beside the image."""
    return {name: torch.from_numpy(values) for name, values in further_inputs(ours.spec.inputs[1:]).items()}


def check_parity(model: Any, ours: CommonModel) -> None:
    assert_is_hugging_face(model, ours, pixel_values(ours.spec.image_size, ours.spec.num_channels), further(ours))


def answers(model: Any, ours: CommonModel, image: NDArray[np.uint8]) -> dict[str, Any]:
    """Hugging Face's outputs for a photo of 64 px."""
    values = torch.from_numpy(HIERA.preprocess((64, 64)).arithmetic(image))
    return reference(model, values, ours.spec.outputs, further(ours))


def check(head: str, **changes: Any) -> None:
    model = small_model(head, **changes)
    check_parity(model, build(model, head, tuple(model.config.image_size), FAMILY.heads[head].optional))


@each_head
@pytest.mark.parametrize("case", CASES)
def test_is_hugging_face_for_every_config(head: str, case: str) -> None:
    if head == "pretraining" and case in NO_PRETRAINING:
        check_refused(case)
    else:
        check(head, **CASES[case])


def test_outputs_have_types_that_phones_have() -> None:
    spec = build(small_model("pretraining"), "pretraining", (64, 64), ()).spec
    outputs = {out.name: out.dtype for out in spec.outputs}
    assert outputs == {"logits": "float32", "bool_masked_pos": "float32", "ids_restore": "int32"}


def check_refused(case: str) -> None:
    """Hugging Face can't pretrain so either."""
    model = small_model("pretraining", **CASES[case])
    image_size = tuple(model.config.image_size)
    with pytest.raises(UnsupportedError, match=rf"{NO_PRETRAINING[case]}.* Mend config\.json"):
        build(model, "pretraining", image_size, ())
    photos = pixel_values(image_size)
    with torch.no_grad():
        if "keeps 0" in NO_PRETRAINING[case]:  # then it sees nothing of the image
            assert torch.equal(*(model(photo).logits for photo in photos))
        else:
            with pytest.raises((RuntimeError, IndexError)):
                model(photos[0])


@pytest.mark.parametrize("features", [["stage1"], ["stem", "stage3"], ["stage2", "stage4"], None])
def test_a_backbone_gives_the_maps_of_its_config(features: list[str] | None) -> None:
    model = small_model("backbone", out_features=features)
    ours = build(model, "backbone", (64, 64), ())
    assert [out.name for out in ours.spec.outputs] == [f"feature_maps_{i}" for i in range(len(features or "1"))]
    assert isinstance(ours, HieraBackbone)
    assert len(ours.stages) == int((features or ["stage4"])[-1].removeprefix("stage"))
    check_parity(model, ours)


def test_features_that_do_not_exist_are_refused_with_those_that_do(tmp_path: Path) -> None:
    folder = HIERA.save(small_model("backbone"), tmp_path)
    change_json(folder / "config.json", out_features=["stage2", "stage7"], out_indices=None)
    with pytest.raises(CheckpointError, match=r"\['stem', 'stage1', 'stage2', 'stage3', 'stage4'\].*'stage7'.*Mend"):
        load(str(folder))


def test_stages_that_a_backbone_s_config_does_not_know_are_refused(tmp_path: Path) -> None:
    folder = HIERA.save(small_model("backbone", depths=[1, 2, 2, 2]), tmp_path)
    change_json(folder / "config.json", depths=[1, 2, 2, 1])
    with pytest.raises(CheckpointError, match=r"hold encoder\.stages\.3\.layers\.1\..* its config has no place"):
        load(str(folder))


# Configs that Hugging Face builds, and then fails with.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "heads": ({"num_heads": [1, 2, 4, 5]}, r"num_heads \[1, 2, 4, 5\] .* \[16, 32, 64, 128\]"),
    "a stage without layers": ({"depths": [1, 0, 1, 1]}, r"depths \[1, 0, 1, 1\]"),
    "equal widths": ({"embed_dim_multiplier": 1.05}, r"embed_dim_multiplier 1.05 .* \[16, 16, 17, 18\]"),
    "the decoder's heads": ({"decoder_num_heads": 5}, r"decoder_num_heads 5 .* decoder_hidden_size 24"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_hugging_face_cannot_compute_is_refused(case: str) -> None:
    changes, expected = REFUSED[case]
    config = transformers.HieraConfig(**{**HIERA.config, **changes})
    model = transformers.HieraForPreTraining(config).eval()
    with pytest.raises(UnsupportedError, match=rf"{expected}.* Mend config\.json"):
        build(model, "pretraining", (64, 64), ())
    with torch.no_grad(), pytest.raises((RuntimeError, UnboundLocalError)):
        model(pixel_values((64, 64))[0])


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.9])
def test_pretraining_masks_as_much_as_the_config_says(ratio: float) -> None:
    model = small_model("pretraining", image_size=[128, 96], mask_ratio=ratio)
    ours = build(model, "pretraining", (128, 96), ("reshaped_hidden_states",))
    assert ours.spec.outputs[-1].shape[1] == int(12 * (1 - ratio))
    check_parity(model, ours)


def test_a_decoder_without_layers_is_refused() -> None:
    model = small_model("pretraining", decoder_depth=0)
    with pytest.raises(UnsupportedError, match=r"decoder_depth 0 in the config"):
        build(model, "pretraining", (64, 64), ())
    with torch.no_grad(), pytest.raises(UnboundLocalError):
        model(pixel_values((64, 64))[0])


def test_the_loss_of_pixels_as_they_are() -> None:
    check("pretraining", normalize_pixel_loss=False)


def test_a_loss_over_nothing_is_refused() -> None:
    model = small_model("pretraining", mask_ratio=0.0)
    with pytest.raises(UnsupportedError, match=r"'loss': is not a number where 4 of 4 mask units are kept.*Leave it"):
        build(model, "pretraining", (64, 64), ("loss",))


def test_pretraining_at_another_size_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"64x64 only\. Ask for that size"):
        FAMILY.at_size(small_model("pretraining"), "pretraining", (96, 96))


# Config's image size, and the one asked for.
SIZES = {
    "larger": ([64, 64], (96, 96)),
    "smaller": ([96, 96], (32, 32)),
    "not square": ([64, 64], (64, 96)),
    "as many tokens": ([64, 64], (32, 128)),
}


@pytest.mark.parametrize("case", SIZES)
def test_another_size_is_hugging_faces_interpolation(case: str) -> None:
    own, image_size = SIZES[case]
    model = small_model("classification", image_size=own)
    values = pixel_values(image_size)[0]
    with torch.no_grad():
        want = model(values, interpolate_pos_encoding=True).logits.double().numpy()
        assert distance(model(values).logits.numpy(), want) > BOUND if case == "as many tokens" else True
    resized = FAMILY.at_size(model, "classification", image_size)
    with torch.no_grad():
        assert np.array_equal(resized(values).logits.double().numpy(), want)
    check_parity(resized, build(resized, "classification", image_size, ()))


@pytest.mark.parametrize("head", ["backbone", "base", "classification"])
def test_another_size_gives_every_output(head: str) -> None:
    """Hugging Face's own hidden states fail at a size that the config doesn't have."""
    model = small_model(head)
    with torch.no_grad(), pytest.raises(RuntimeError):
        model(pixel_values((96, 64))[0], output_hidden_states=True, interpolate_pos_encoding=True)
    resized = FAMILY.at_size(model, head, (96, 64))
    check_parity(resized, build(resized, head, (96, 64), FAMILY.heads[head].optional))


def test_its_own_size_leaves_the_model_as_it_is() -> None:
    model = small_model("base")
    assert FAMILY.at_size(model, "base", (64, 64)) is model


@pytest.mark.parametrize(
    ("image_size", "near"), [((60, 64), "64x64"), ((64, 81), "64x96"), ((66, 64), "64x64"), ((8, 8), "32x32")]
)
def test_a_size_that_mask_units_do_not_fill_is_refused(image_size: tuple[int, int], near: str) -> None:
    model = small_model("classification")
    for refuse in (FAMILY.at_size, lambda *three: build(three[0], three[1], three[2], ())):
        with pytest.raises(UnsupportedError, match=f"mask units of 32x32 pixels .* nearest that they fill is {near}"):
            refuse(model, "classification", image_size)
    with torch.no_grad(), pytest.raises(RuntimeError):  # Hugging Face can't either
        model(torch.zeros(1, 3, *image_size), interpolate_pos_encoding=True)


def test_the_nearest_size_is_the_nearest_that_is_taken() -> None:
    model = small_model("classification", masked_unit_size=[16, 16])
    with pytest.raises(UnsupportedError, match="The nearest that they fill is 32x128"):
        FAMILY.at_size(model, "classification", (32, 100))
    assert FAMILY.at_size(model, "classification", (32, 128)) is not model


def test_a_table_that_makes_a_square_is_resampled_as_one() -> None:
    model = small_model("base", image_size=[32, 128])
    resized = FAMILY.at_size(model, "base", (64, 64))
    values = pixel_values((64, 64))[0]
    with torch.no_grad():
        want = model(values, interpolate_pos_encoding=True).last_hidden_state
        got = build(resized, "base", (64, 64), ())(values)[0]
    assert distance(got.numpy(), want.numpy()) <= BOUND


def test_positions_that_make_no_square_are_not_resampled() -> None:
    with pytest.raises(UnsupportedError, match=r"table of 16x24.*Ask for the network's own size"):
        FAMILY.at_size(small_model("base", image_size=[64, 96]), "base", (96, 96))


@each_head
@pytest.mark.parametrize("half", [False, True])
def test_the_mean_merges_into_the_positions_and_costs_nothing(head: str, half: bool) -> None:
    model, preprocess, image = small_model(head), HIERA.preprocess((64, 64)), scene(3, 64, 64)
    ours = attach(build(model, head, (64, 64), ()), preprocess, "uint8_nhwc", half)
    assert isinstance(ours, ImageModel)
    if head != "pretraining":  # where masked pixels are 0, which is the mean
        offsets = [offset.flatten().tolist() for offset in ours.front.offsets]
        assert offsets == ([[124, 116, 104]] if half else [])
    want = answers(model, ours, image)
    with torch.no_grad():
        got = ours(torch.from_numpy(image[None].copy()), *further(ours).values())
    for spec, value in zip(ours.spec.outputs, got, strict=True):
        assert distance(value.numpy(), want[spec.name].reshape(spec.shape)) <= BOUND, spec.name


def test_the_loss_reads_the_pixels_behind_the_arithmetic() -> None:
    model, preprocess, image = small_model("pretraining"), HIERA.preprocess((64, 64)), scene(3, 64, 64)
    ours = attach(build(model, "pretraining", (64, 64), ("loss",)), preprocess, "uint8_nhwc")
    with torch.no_grad():
        loss = ours(torch.from_numpy(image[None].copy()), *further(ours).values())[-1]
    assert distance(loss.numpy(), answers(model, ours, image)["loss"]) < BOUND


@each_head
def test_the_graph_is_plain(head: str) -> None:
    ours = build(small_model(head), head, (64, 64), FAMILY.heads[head].optional)
    assert_plain(ours, (pixel_values((64, 64))[0], *further(ours).values()), rank=5)


# Millions of parameters, as the paper has them (https://arxiv.org/abs/2306.00989).
PUBLISHED = {"tiny": 28, "small": 35, "base": 52, "base-plus": 70, "large": 214, "huge": 673}


@pytest.mark.parametrize("ending", ["-hf", "-in1k-hf", "-mae-hf"])
@pytest.mark.parametrize("size", PUBLISHED)
def test_known_checkpoints_have_the_published_number_of_parameters(size: str, ending: str) -> None:
    known = known_checkpoints()[f"facebook/hiera-{size}-224{ending}"]
    settings = {key: value for key, value in known.config.items() if key != "model_type"}
    with torch.device("meta"):
        model = transformers.HieraForImageClassification(transformers.HieraConfig(**settings))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == PUBLISHED[size]
    assert model.config.num_labels == 1000


def test_known_checkpoints_are_the_eighteen_of_the_authors() -> None:
    known = {name: record for name, record in known_checkpoints().items() if record.family == "hiera"}
    endings = {"-hf": "base", "-in1k-hf": "classification", "-mae-hf": "pretraining"}
    assert {name: record.head for name, record in known.items()} == {
        f"facebook/hiera-{size}-224{ending}": head for size in PUBLISHED for ending, head in endings.items()
    }
    assert {record.license for record in known.values()} == {"cc-by-nc-4.0"}
