"""The view as text: from records to lines, at several widths."""

import re
from pathlib import Path

import pytest

from understudy.watch.stages import Stage, Training, after
from understudy.watch.view import duration, render, seconds_left

KID, MIOU = "kid_segmenter_noresize_val", "miou_segmenter_noresize_val"
START = {"event": "start", "steps": 600, "params": {"base": {"seed": 0}, "student": {"schedule": {"batch_size": 8}}},
         "time": 1000.0}  # fmt: skip


def training() -> Training:
    return after(Training(Path(".understudy/distill/0123456789abcdef")), [
        START,
        {"event": "step", "step": 190, "losses": {"d": 0.9}, "rate": 20.0, "time": 1080.0},
        {"event": "validation", "step": 200, "metrics": {KID: 0.0125, MIOU: 0.31}, "time": 1090.0},
        {"event": "image", "step": 200, "path": "samples/000200.png", "time": 1090.5},
        {"event": "validation", "step": 400, "metrics": {KID: 0.0142, MIOU: 0.4}, "time": 1190.0},
        {"event": "image", "step": 400, "path": "samples/000400.png", "time": 1190.5},
        {"event": "step", "step": 450, "losses": {"d": 0.51234, "recon": 11.5, "alignment": 0.0002}, "rate": 24.0,
         "time": 1200.0},
    ])  # fmt: skip


STAGES = [
    Stage("prepare", "finished"),
    Stage("judge", "running", 7),
    Stage("teacher", "failed", reason="teacher: the loss gan is not finite at step 30; lower the learning rate"),
    Stage("distill", "running", 4711, training=training()),
    Stage("gate", "not started"),
]


def test_a_running_training_at_100_columns():
    assert render(STAGES, now=1210.0, width=100, colour=False) == [
        "prepare   finished",
        "judge     running  process 7",
        "teacher   failed",
        "  teacher: the loss gan is not finite at step 30; lower the learning rate",
        "distill   running  process 4711",
        "  [##############################..........]  450 of 600 steps  75%",
        "  speed       24.0 images/s   0:40 left",
        "  losses      d 0.5123   recon 11.5   alignment 0.0002",
        "  validation  step 400   kid_segmenter_noresize_val 0.0142   miou_segmenter_noresize_val 0.4",
        "  best        kid_segmenter_noresize_val 0.0125 at 200   miou_segmenter_noresize_val 0.4 at 400",
        "  samples     .understudy/distill/0123456789abcdef/samples/000400.png",
        "gate      not started",
    ]


def test_the_same_at_60_columns():
    assert render(STAGES[2:4], now=1210.0, width=60, colour=False) == [
        "teacher   failed",
        "  teacher: the loss gan is not finite at step 30; lower the",
        "  learning rate",
        "distill   running  process 4711",
        "  [########################.........]  450 of 600 steps  75%",
        "  speed       24.0 images/s   0:40 left",
        "  losses      d 0.5123   recon 11.5   alignment 0.0002",
        "  validation  step 400   kid_segmenter_noresize_val 0.0142",
        "              miou_segmenter_noresize_val 0.4",
        "  best        kid_segmenter_noresize_val 0.0125 at 200",
        "              miou_segmenter_noresize_val 0.4 at 400",
        "  samples",
        "    .understudy/distill/0123456789abcdef/samples/000400.png",
    ]


@pytest.mark.parametrize("width", [40, 47, 60, 80, 200])
def test_no_line_is_wider_than_the_window(width):
    lines = render(STAGES, now=1210.0, width=width, colour=False)
    assert max(map(len, lines)) <= width
    assert "".join(line.strip() for line in lines).count("000400.png") == 1


def test_colour_adds_nothing_but_codes():
    plain, coloured = (render(STAGES, 1210.0, 80, colour) for colour in (False, True))
    assert plain != coloured
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in coloured] == plain
    assert not any("\x1b" in line for line in plain)


def test_a_finished_training_is_one_line_with_its_best():
    done = Stage("distill", "finished", training=after(training(), [{"event": "end", "time": 1.0}]))
    (line,) = render([done], 1300.0, 120, False)
    assert (
        line == "distill   finished  450 steps  "
        "kid_segmenter_noresize_val 0.0125 at 200  miou_segmenter_noresize_val 0.4 at 400"
    )
    (line,) = render([done], 1300.0, 60, False)  # whole facts or none
    assert line == "distill   finished  450 steps"


def test_a_stopped_training_shows_how_far_it_came_but_no_speed():
    lines = render([Stage("distill", "stopped", reason="killed", training=training())], 9999.0, 80, False)
    assert "450 of 600" in lines[2] and not any("left" in line or "speed" in line for line in lines)


def test_silence_is_told():
    lines = render(STAGES, now=1200.0 + 95, width=100, colour=False)
    assert "  speed       24.0 images/s   0:00 left   last record 1:35 ago" in lines


def test_a_training_that_has_only_begun():
    begun = Stage("distill", "running", 1, training=after(Training(Path("x")), [START]))
    assert render([begun], 1001.0, 60, False)[1:] == [
        "  [.................................]    0 of 600 steps   0%",
        "  speed       no step yet",
    ]
    assert seconds_left(begun.training, 1001.0) is None


def test_time_left_counts_down_between_records_and_never_below_zero():
    assert seconds_left(training(), 1200.0) == 50
    assert seconds_left(training(), 1230.0) == 20
    assert seconds_left(training(), 2000.0) == 0
    assert seconds_left(training(), 1100.0) == 50  # a clock that was set back


def test_durations():
    assert [duration(seconds) for seconds in (0, 59.7, 61, 3600, 36125)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:00:00",
        "10:02:05",
    ]
