import math

import pytest

from understudy.report.bars import bars, interval_strip
from understudy.report.curves import HEIGHT, MOST, WIDTH, chart, running_mean, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 50, 100]),
        (0, 1, [0, 0.5, 1]),
        (0.42, 0.58, [0.4, 0.45, 0.5, 0.55, 0.6]),
        (-3, 3, [-4, -2, 0, 2, 4]),
        (7, 7, [2, 4, 6, 8, 10, 12]),
        (0, 0, [-0.5, 0, 0.5]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, expected):
    found = ticks(low, high, 4)
    assert found[0] <= low and found[-1] >= high
    assert found == pytest.approx(expected)


def points(svg):
    return [tuple(map(float, pair.split(","))) for pair in svg.split('points="')[1].split('"')[0].split()]


def test_a_line_runs_from_left_to_right_and_higher_is_higher():
    drawn = chart("Loss", {"student": [(10, 3.0), (20, 2.0), (30, 1.0)]})
    (x0, y0), _, (x2, y2) = points(drawn.svg)
    assert 0 < x0 < x2 <= WIDTH and 0 <= y0 < y2 <= HEIGHT
    assert drawn.last == "student 1" and 'class="line student"' in drawn.svg and "Loss by step" in drawn.svg


def test_what_is_not_finite_is_left_out():
    drawn = chart("Loss", {"teacher": [(1, math.nan), (2, 1.0), (3, math.inf)], "student": [(1, math.nan)]})
    assert len(points(drawn.svg)) == 1 and "nan" not in drawn.svg and "inf" not in drawn.svg
    assert chart("Loss", {"teacher": [(1, math.nan)]}).last == "no finite value"


def test_a_running_mean_follows_a_steep_start_and_is_calm_to_the_end():
    straight = [(step, 2.0 * step) for step in range(20)]
    assert running_mean(straight, 5)[:15] == straight[:15]
    assert running_mean([(0, 9.0), (1, 3.0), (2, 0.0), (3, 3.0)], 1) == [(0, 9.0), (1, 4.0), (2, 2.0), (3, 1.5)]


def test_a_long_training_is_thinned_and_keeps_its_end():
    drawn = chart("Loss", {"teacher": [(step, step) for step in range(100_001)]})
    assert len(points(drawn.svg)) <= MOST + 1 and drawn.last == "teacher 1e+05"


def test_text_is_escaped():
    assert "<b>" not in chart("<b>", {"teacher": [(1, 1)]}).svg
    assert "<b>" not in bars([("<b>", [(2, 1)])], ["<b>"], '"><b>')


def test_bars_name_what_was_kept_and_what_was_removed():
    drawn = bars([("block 0", [(8, 3), (8, 0), (0, 0)])], ["a", "b", "c"], "widths")
    assert "3 of 8" in drawn and "removed (8)" in drawn and drawn.count('class="before"') == 2
    assert drawn.count('class="after"') == 1


def test_a_strip_places_values_between_zero_and_one():
    drawn = interval_strip(
        {"teacher": {"value": 0.0, "low": 0.0, "high": 0.5}, "student": None, "real": {"value": 1.0}}
    )
    assert drawn.count("<circle") == 2 and 'cx="4"' in drawn and 'cx="128"' in drawn
