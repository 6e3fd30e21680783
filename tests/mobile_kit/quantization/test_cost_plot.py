"""Pictures are looked at by people; what is tested is that each case gives one, and that texts aren't crossed."""

import math
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.quantization.cost_plot import plot_costs
from mobile_kit.quantization.part_costs import Fidelity, PartCost
from mobile_kit.reporting.tradeoff_plot import Point, _labels, plot_tradeoff


@pytest.mark.parametrize(
    ("everything", "alone"),
    [
        (Fidelity(22.0, 1.0), Fidelity(30.0, 1.0)),
        (Fidelity(-3.0, 0.5), Fidelity(-30.0, 0.1)),
        (Fidelity(math.inf, 0.97), Fidelity(math.inf, 0.99)),
        (Fidelity(30.0, None), Fidelity(math.inf, None)),
        (Fidelity(math.inf, None), Fidelity(math.inf, None)),
    ],
    ids=["decibels", "more noise than signal", "class maps", "a part without noise", "no noise"],
)
def test_costs_are_drawn_whatever_they_are(everything: Fidelity, alone: Fidelity, tmp_path: Path) -> None:
    costs = [PartCost("norms", False, 0.0, None), PartCost("linear layers", True, 1.0, alone)]
    plot_costs(costs, everything, "model", tmp_path / "costs.png")
    with Image.open(tmp_path / "costs.png") as plot:
        assert min(plot.size) > 150


def test_points_at_one_place_share_a_text(tmp_path: Path) -> None:
    static, mixed = (Point("coreml", name, 0.8, None, 31.0, 0.0) for name in ("static", "mixed"))
    half = Point("coreml", "fp16", 1.2, None, 58.0, None)
    texts = _labels([(point.megabytes, point) for point in (static, mixed, half)], 1.2)
    assert [text for _, _, text in texts] == [
        "mixed, 0.80 MB, +0.00 points\nstatic, 0.80 MB, +0.00 points",
        "fp16, 1.20 MB",
    ]
    plot_tradeoff([static, mixed, half], "model", tmp_path / "tradeoff.png")
    with Image.open(tmp_path / "tradeoff.png") as plot:
        assert min(plot.size) > 300
