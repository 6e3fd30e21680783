"""The search for what stays in float, on a network whose parts make as much noise as they are told to."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.models.spec import TensorSpec
from mobile_kit.quantization.mixed_search import find_mixed
from mobile_kit.quantization.part_costs import EVERYTHING, PartMeasurements, part_costs, read_costs, write_costs
from mobile_kit.quantization.parts import FIRST, LAST, Part, Work
from mobile_kit.quantization.recipes import QualityTarget
from mobile_kit.target_api.interface import Lowered

STEM, HEAD = Part("convolutions", "", FIRST), Part("linear layers", "", LAST)
LAYER_1, LAYER_2 = Part("linear layers", "layers.1"), Part("linear layers", "layers.2")
ADDS_1, ADDS_2 = Part("residual adds", "layers.1"), Part("residual adds", "layers.2")
GELU, SOFTMAX = Part("activations", "layers.1"), Part("softmax", "layers.1")
# In decibels under the signal, where the part alone is in int8.
QUIET = {STEM: 50.0, HEAD: 45.0, LAYER_1: 40.0, LAYER_2: 40.0, ADDS_1: 40.0, ADDS_2: 40.0, GELU: 45.0, SOFTMAX: 5.0}
WORK = {
    STEM: Work(macs=300),
    HEAD: Work(macs=10),
    LAYER_1: Work(macs=5000),
    LAYER_2: Work(macs=5000),
    ADDS_1: Work(values=10),
    ADDS_2: Work(values=10),
    GELU: Work(values=40),
}
LOGITS = (TensorSpec("logits", (1, 64), layout="NK", meaning="logits"),)


class Noisy:
    """Outputs are a signal of unit power and the noise of each part in int8."""

    def __init__(self, decibels: Mapping[Part, float]) -> None:
        self.parts = frozenset(decibels)
        self.static = self.parts - {SOFTMAX}
        self.decibels = decibels
        self.runs: list[frozenset[Part]] = []

    def run(self, int8: Collection[Part], samples: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        self.runs.append(frozenset(int8))
        for number, _ in enumerate(samples):
            values = np.random.default_rng(number).normal(size=(1, 64))
            for part in sorted(int8, key=str):
                seed = [number, *str(part).encode()]
                values += 10 ** (-self.decibels[part] / 20) * np.random.default_rng(seed).normal(size=(1, 64))
            yield {"logits": values}

    def write(self, int8: Collection[Part], path: Path) -> Lowered:
        raise NotImplementedError


def measurements(model: Noisy, path: Path, identity: str = "one") -> PartMeasurements:
    return PartMeasurements(model, [{}] * 32, LOGITS, False, path, identity, lambda text: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model" / "sensitivity.json"


def left(model: Noisy, path: Path, wanted: QualityTarget) -> list[str]:
    return [part.part for part in find_mixed(measurements(model, path), WORK, wanted).float_parts]


def test_nothing_leaves_where_everything_keeps_enough(path: Path) -> None:
    model = Noisy(QUIET)
    found = find_mixed(measurements(model, path), WORK, QualityTarget(25.0))
    assert found.float_parts == ()
    assert found.int8_macs == 1
    assert found.kept.sqnr_db > 30
    assert model.runs == [frozenset(), model.static]


def test_what_makes_the_noise_leaves_and_nothing_else(path: Path) -> None:
    model = Noisy({**QUIET, ADDS_1: 20.0, GELU: 30.0})
    found = find_mixed(measurements(model, path), WORK, QualityTarget(25.0))
    (part,) = found.float_parts
    assert part.part == "residual adds"
    # 100 times the noise of what is left at 30 dB with a little more: what its return would cost.
    assert part.cost_db == pytest.approx(10, abs=1)
    assert found.kept.sqnr_db >= 25


def test_a_layer_leaves_where_the_cheap_parts_are_not_to_blame(path: Path) -> None:
    assert left(Noisy({**QUIET, HEAD: 20.0}), path, QualityTarget(30.0)) == [LAST]


def test_what_need_not_have_left_comes_back(path: Path) -> None:
    """The adds go first, being cheap for their noise, but only the layer brings it over the bound."""
    model = Noisy({**QUIET, HEAD: 22.0, ADDS_1: 33.0})
    assert left(model, path, QualityTarget(28.0)) == [LAST]


def test_the_first_layer_stays_so_that_bytes_go_in(path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        left(Noisy({**QUIET, STEM: 10.0}), path, QualityTarget(25.0))
    assert "SQNR >= 25.0 dB can't be kept with 90% of the layers' work in int8" in str(caught.value)
    assert "--min-sqnr" in str(caught.value)


def test_a_block_that_holds_the_first_layer_leaves_without_it(path: Path) -> None:
    """As CvT's first stage."""
    stem, second = Part("convolutions", "stages.0", FIRST), Part("convolutions", "stages.0")
    model = Noisy({stem: 50.0, second: 20.0, LAYER_1: 40.0, ADDS_1: 40.0})
    found = find_mixed(
        measurements(model, path),
        {stem: Work(macs=300), second: Work(macs=100), LAYER_1: Work(macs=5000)},
        QualityTarget(30.0),
    )
    assert [part.part for part in found.float_parts] == ["convolutions of stages.0"]
    assert stem in model.runs[-1]
    assert second not in model.runs[-1]


def test_what_may_stand_before_the_first_layer_stays(path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"The best found keeps (19|20)\.\d dB"):
        left(Noisy({**QUIET, Part("other", ""): 20.0}), path, QualityTarget(30.0))


def test_class_maps_are_judged_by_their_pixels(path: Path) -> None:
    class Masks(Noisy):
        def run(self, int8: Collection[Part], samples: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
            for results in super().run(int8, samples):
                yield {"mask": (results["logits"] > 0).astype(np.int32)}

    outputs = (TensorSpec("mask", (1, 64), "int32", meaning="mask"),)
    measured = PartMeasurements(
        Masks({**QUIET, ADDS_1: 5.0}), [{}] * 32, outputs, False, path, "one", lambda text: None
    )
    assert measured.without(()).sqnr_db == np.inf
    assert 0.5 < (measured.without(()).agreement or 0) < 0.95
    found = find_mixed(measured, WORK, QualityTarget(None, 0.98))
    assert [part.part for part in found.float_parts] == ["residual adds"]


def test_outputs_that_are_no_numbers_keep_nothing(path: Path) -> None:
    class Torn(Noisy):
        def run(self, int8: Collection[Part], samples: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
            for results in super().run(int8, samples):
                yield {"logits": results["logits"] * (np.nan if int8 else 1)}

    with pytest.raises(UnsupportedError, match="The best found keeps -300"):
        left(Torn(QUIET), path, QualityTarget(25.0))
    assert json.loads(path.read_text())["kept"][EVERYTHING]["sqnr_db"] == -300


def test_most_of_the_layers_stay_and_the_best_found_is_named(path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"The best found keeps (19|20)\.\d dB .*with .*last layer.* in float"):
        left(Noisy({**QUIET, LAYER_1: 20.0, HEAD: 18.0}), path, QualityTarget(30.0))


def test_agreement_alone_can_be_asked_for(path: Path) -> None:
    model = Noisy({**QUIET, ADDS_2: 3.0})
    measured = measurements(model, path)
    assert measured.without(()).agreement is not None
    assert (measured.without(()).agreement or 0) < 0.9
    found = find_mixed(measured, WORK, QualityTarget(None, 0.9))
    assert [part.part for part in found.float_parts] == ["residual adds"]
    assert (found.kept.agreement or 0) >= 0.9


def test_a_stopped_search_goes_on_with_what_was_measured(path: Path) -> None:
    first = Noisy({**QUIET, ADDS_1: 20.0})
    find_mixed(measurements(first, path), WORK, QualityTarget(25.0))
    assert len(first.runs) > 3
    second = Noisy({**QUIET, ADDS_1: 20.0})
    find_mixed(measurements(second, path), WORK, QualityTarget(25.0))
    assert second.runs == []
    other = Noisy(QUIET)
    find_mixed(measurements(other, path, identity="another model"), WORK, QualityTarget(25.0))
    assert other.runs == [frozenset(), other.static]


@pytest.mark.parametrize("content", ["", "[]", '{"identity": "one"}', '{"identity": "one", "kept": {"a": 1}}'])
def test_a_torn_file_of_measurements_is_made_anew(content: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(content)
    model = Noisy(QUIET)
    find_mixed(measurements(model, path), WORK, QualityTarget(25.0))
    assert len(model.runs) == 2
    assert EVERYTHING in json.loads(path.read_text())["kept"]


def test_every_kind_end_and_block_has_its_cost(path: Path) -> None:
    measured = measurements(Noisy(QUIET), path)
    costs = part_costs(measured, {**WORK, Part("norms", "layers.1"): Work(values=3)})
    by_name = {cost.part: cost for cost in costs}
    assert list(by_name) == [
        "convolutions",
        "linear layers",
        "activations",
        "residual adds",
        "softmax",
        "norms",
        FIRST,
        LAST,
        "layers.1",
        "layers.2",
    ]
    assert by_name["norms"].kept is None
    softmax = by_name["softmax"]
    assert not softmax.static
    assert softmax.kept is not None
    assert softmax.kept.sqnr_db == pytest.approx(5, abs=0.5)
    # What no static recipe computes in int8 isn't counted to its block.
    block = by_name["layers.1"].kept
    assert block is not None
    assert block.sqnr_db == pytest.approx(36.4, abs=0.5)
    assert by_name[FIRST].macs == pytest.approx(300 / 10310)
    table = path.with_name("table.json")
    write_costs(costs, measured.without(()), table)
    assert read_costs(table) == (costs, measured.without(()))
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, table.name]
