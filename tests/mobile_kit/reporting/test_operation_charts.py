"""Where the time goes, of operations whose modules are known, and of those whose aren't."""

from dataclasses import replace

import pytest

from mobile_kit.measurements.result import Op
from mobile_kit.reporting.charts import Group
from mobile_kit.reporting.operation_charts import MOST_HOTSPOTS, hotspots, place_of, shares, told
from mobile_kit.reporting.summary import ArtifactResult
from tests.surveys import BOARD, result, row, surveyed

ROW = row("model", "tflite", "fp16")


def measured(*ops: Op) -> ArtifactResult:
    return ArtifactResult(ROW, "profile-host.json", replace(result(ROW, 10.0), ops=ops))


def values(group: Group) -> dict[str, float]:
    return {each.label: float(each.value) for each in group.rows}


@pytest.mark.parametrize(
    ("module", "place"),
    [
        ("stages.2.blocks.1.attention.query", ("stages.2.blocks.1", "attention")),
        ("stages.2.layers.3", ("stages.2.layers.3", "other")),
        ("stages.0.1.layers.2.convolution", ("stages.0.1", "layers")),
        ("layers.3.attention.query", ("layers.3", "attention")),
        ("conv_stem.convolution", ("conv_stem", "convolution")),
        ("classifier", ("classifier", "other")),
        ("", ("(no module)", "other")),
        (None, ("(no module)", "other")),
    ],
)
def test_a_module_is_in_a_block(module: str | None, place: tuple[str, str]) -> None:
    assert place_of(module) == place


def test_operations_are_summed_by_block_and_by_type() -> None:
    ops = (
        Op("1", "CONV", mean_us=10, module="stem"),
        Op("2", "FC", mean_us=20, module="layers.3.attention.query"),
        Op("3", "FC", mean_us=10, module="layers.3.attention.key"),
        Op("4", "FC", mean_us=60, module="layers.3.mlp.expand"),
        Op("5", "FREE", mean_us=None, module="layers.3.mlp.expand"),
    )
    ((panel,), _) = hotspots([measured(*ops)])
    assert [values(group) for group in panel.groups] == [{"layers.3": 90, "stem": 10}, {"FC": 90, "CONV": 10}]
    assert panel.note == "mlp of layers.3: 60%; attention of layers.3: 30%; stem: 10%"
    assert [name for _, name in panel.legend] == ["mlp", "attention", "other"]


def test_what_there_is_no_room_for_is_one_row() -> None:
    ((panel,), _) = hotspots([measured(*(Op(str(n), f"type {n}", mean_us=1.0 + n) for n in range(30)))])
    (group,) = panel.groups
    assert (len(group.rows), group.rows[-1].label, panel.note) == (11, "(the rest)", "")
    assert sum(values(group).values()) == pytest.approx(100, abs=0.5)


def test_percentages_are_taken_where_there_are_no_times() -> None:
    ops = (Op("1", kind="estimated", percent=30), Op("2", kind="estimated", percent=10))
    assert [share for _, share in shares(ops)] == [0.75, 0.25]
    assert told(measured(*ops)) == "estimates, not measured"
    assert shares((Op("1"), Op("2", mean_us=0))) == []
    assert hotspots([measured(Op("1"))]) == ([], 0)


def test_what_is_emulated_or_not_valid_is_said_to_be() -> None:
    each = measured(Op("1", mean_us=1), Op("2", kind="estimated", mean_us=1))
    broken = replace(each, result=replace(result(ROW, 1.0, BOARD, reasons=("torn",)), ops=each.result.ops))
    assert told(broken) == "measured, partly estimates, on an emulated device, the result isn't valid"


def test_each_model_has_its_turn() -> None:
    panels, left_out = hotspots(surveyed([f"model {n}" for n in range(5)]).measured)
    assert (len(panels), left_out) == (MOST_HOTSPOTS, 5 * 2 - MOST_HOTSPOTS)
    assert [panel.title[:7] for panel in panels] == [*(f"model {n}" for n in range(5)), "model 0"]
