"""What the charts draw, by their numbers: pages are looked at elsewhere."""

import re
from dataclasses import replace

from markupsafe import escape

from mobile_kit.measurements.result import Validity
from mobile_kit.reporting.charts import COLORS, MOST_DB, MOST_ROWS, Panel, colors, figure, ratios, spreads, trades
from mobile_kit.reporting.summary import ArtifactResult, Row, why_not_comparable
from tests.surveys import BOARD, HOST, PHONE, result, row, surveyed

CHOSEN = {"coreml": "c0", "tflite": "c1", "executorch-xnnpack": "c2"}
RECIPES = ("fp32", "fp16", "static_wi8_ai8")


def rows(target: str = "tflite") -> list[Row]:
    return [row("m", target, recipe) for recipe in RECIPES]


def timed(each: Row, ms: float, **changes: object) -> ArtifactResult:
    return ArtifactResult(each, "profile-host.json", replace(result(each, ms), **changes))  # type: ignore[arg-type]


def told(panel: Panel) -> list[str]:
    return re.findall(r"<title>(.*?)</title>", str(panel.drawing))


def places(panel: Panel) -> list[tuple[float, float]]:
    """The circles' middles: percent from the left, pixels from above."""
    found = re.findall(r'<circle [^>]*cx="([\d.]+)%" cy="([\d.]+)"', str(panel.drawing))
    return [(float(x), float(y)) for x, y in found]


def test_every_target_has_the_same_colour_in_every_chart_and_there_are_enough() -> None:
    many = [row("m", f"target{number}", "fp32") for number in range(COLORS + 2)]
    assert list(colors(many).values()) == [f"c{min(number, COLORS - 1)}" for number in range(COLORS + 2)]
    assert colors(reversed(many)) == colors(many)


def test_up_is_less_noise_and_left_is_faster() -> None:
    fp32, fp16, static = rows()
    (panel,) = trades([fp32, fp16, static], [timed(fp32, 9.0), timed(fp16, 7.0), timed(static, 3.0)], CHOSEN)
    assert panel.title.startswith("m on ")
    (at32, at16, at8) = places(panel)  # the largest file first
    assert at32[0] > at16[0] > at8[0]
    assert at32[1] < at16[1] < at8[1]
    assert f">{MOST_DB:.0f} dB or more<" in str(panel.drawing)


def test_what_was_not_timed_has_its_size_in_a_panel_of_its_own() -> None:
    here, there = rows("tflite"), rows("coreml")
    host, sizes = trades([*here, *there], [timed(each, 5.0) for each in here], CHOSEN)
    assert (host.axis, sizes.axis) == ("milliseconds a call", "megabytes, as no latency was measured")
    assert sizes.title == "m"
    assert [words.split(":")[0] for words in told(sizes)] == [f"coreml {recipe}" for recipe in RECIPES]
    assert all(words.split(": ")[1].startswith("not timed, ") for words in told(sizes))
    largest, middle, smallest = (x for x, _ in places(sizes))
    assert largest > middle > smallest


def test_a_circle_tells_noise_size_and_what_accuracy_it_costs() -> None:
    lossy = replace(rows()[2], difference=-0.0123)
    (panel,) = trades([rows()[0], lossy], [], CHOSEN)
    assert told(panel)[1] == "tflite static_wi8_ai8: not timed, 28.0 dB, 2.60 MB, -1.23 points"


def test_what_failed_or_has_no_decibels_is_not_drawn() -> None:
    failed, masks = replace(rows()[0], status="failed"), replace(rows()[1], sqnr_db=None)
    assert trades([failed, masks], [timed(failed, 3.0), timed(masks, 3.0)], CHOSEN) == []


def test_what_is_emulated_has_no_place_in_trades_but_its_size() -> None:
    (panel,) = trades(rows(), [ArtifactResult(each, "f", result(each, 90.0, BOARD)) for each in rows()], CHOSEN)
    assert panel.axis.startswith("megabytes")


def test_what_is_not_valid_has_no_filling_and_says_why() -> None:
    each = rows()[0]
    found = timed(each, 3.0, validity=Validity(reasons=("3 calls of at least 50",)))
    reason = escape(why_not_comparable(found.result))
    (panel,) = trades([each], [found], CHOSEN)
    assert '<circle class="invalid"' in str(panel.drawing)
    assert told(panel) == [f"tflite fp32: 3.03 ms, 112.0 dB, 10.00 MB; {reason}"]


def test_names_that_would_touch_are_left_to_the_pointer() -> None:
    twins = [row(f"m{number}", "tflite", "fp16") for number in range(12)]
    same = [replace(each, model="m", folder=f"m/{number}") for number, each in enumerate(twins)]
    (panel,) = trades(same, [], CHOSEN)
    assert len(told(panel)) == 12
    assert 1 <= str(panel.drawing).count(">fp16<") < 12


def test_more_rows_than_are_read_are_counted() -> None:
    found = [replace(row("m", "tflite", "fp32"), folder=f"m/{number}") for number in range(MOST_ROWS + 3)]
    (panel,) = trades(found, [], CHOSEN)
    (spread,) = spreads([timed(each, 4.0) for each in found], CHOSEN)
    assert (len(told(panel)), panel.left_out, spread.left_out) == (MOST_ROWS, 3, 3)


def test_every_result_of_a_summary_is_spread_and_all_but_fp32_are_ratios() -> None:
    found = surveyed(["one"], [HOST, PHONE])
    chosen = colors(found.rows)
    for panels, count in ((spreads(found.measured, chosen), 6), (ratios(found.measured, chosen), 4)):
        assert [sum(len(group.rows) for group in panel.groups) for panel in panels] == [count, count]


def test_a_figure_has_the_digits_that_are_told_apart() -> None:
    assert [figure(0.01234), figure(1.234), figure(1234.5), figure(1.0, like=0.01)] == ["0.0123", "1.23", "1,234", "1"]
