"""A training's log that its follower has delivered whole starts no second one."""

import os

import pytest

from flows.stage import _is_delivered


@pytest.mark.parametrize(("said", "seconds", "delivered"), [
    ("tracking: teacher: delivered\n", 1, True),
    ("tracking: teacher: delivered\n", -1, False),  # of an earlier process: the training went on after it
    ("tracking: attempt 1: ...\ntracking: teacher: not delivered\n", 1, False),
    (None, 0, False),
])  # fmt: skip
def test_its_last_word_counts_if_it_came_last(tmp_path, said, seconds, delivered):
    log = tmp_path / "log.jsonl"
    log.write_text("{}\n")
    if said is not None:
        path = tmp_path / "tracker.txt"
        path.write_text(said)
        os.utime(path, (log.stat().st_atime, log.stat().st_mtime + seconds))
    assert _is_delivered(log) is delivered
