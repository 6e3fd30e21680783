"""Pictures are looked at by people; what is tested is that each case gives one."""

import math
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.quantization.cost_plot import plot_costs
from mobile_kit.quantization.part_costs import Fidelity, PartCost


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
