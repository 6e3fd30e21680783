import math

import pytest

from mobile_kit.reporting.svg import HEIGHT, Scale, Shape, covering, strip, tag


def test_words_are_escaped_wherever_they_stand() -> None:
    drawn = tag("text", "<script>&", tag("title", '"'), class_='"><b', stroke_width=1.50)
    assert drawn == ('<text class="&#34;&gt;&lt;b" stroke-width="1.5">&lt;script&gt;&amp;<title>&#34;</title></text>')


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([1.0, 4.0], False, [0, 1, 2, 3, 4]),
        ([3.0, 300.0], True, [5, 10, 20, 50, 100, 200]),
        ([0.02, 20000.0], True, [0.1, 1, 10, 100, 1000, 10000]),
        ([], False, [0, 0.5, 1]),
        ([0.0, math.inf, 2.0], False, [0, 0.5, 1, 1.5, 2]),
    ],
)
def test_a_scale_covers_its_values_and_has_round_ticks(values: list[float], log: bool, ticks: list[float]) -> None:
    scale = covering(values)
    assert scale.log == log
    assert scale.ticks() == pytest.approx(ticks)
    places = [scale.at(value) for value in sorted(values) if math.isfinite(value)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)


def test_what_is_outside_a_scale_lies_at_its_end() -> None:
    assert [Scale(1.0, 100.0, log=True).at(value) for value in (0.0, 1.0, 10.0, 1e9)] == [0, 0, 0.5, 1]
    assert [Scale(0.0, 10.0).at(value) for value in (-1.0, 5.0, 11.0)] == [0, 0.5, 1]


def test_a_strip_says_what_it_shows() -> None:
    drawn = strip(Scale(0.0, 1.0), [Shape("median c0", f"M500 0V{HEIGHT}"), Shape("dots", "")], "p50 <1 ms")
    assert 'aria-label="p50 &lt;1 ms"' in drawn
    # Its scale's lines, and the marks that aren't empty.
    assert drawn.count("<path") == 2
