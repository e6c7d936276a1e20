"""The cost of checkpoints, on networks that take no time."""

import pytest
from torch import nn

from benchmarks import checkpoint as benchmark
from understudy.train.state import State


@pytest.fixture
def state():
    return State.start(nn.Linear(300, 300), nn.Linear(2, 1), nn.ModuleDict(), 1e-3)


def test_the_share_is_of_the_steps_between_two():
    assert benchmark.Timing(step=0.5, save=0.25, size=1).share(every=100) == 0.005


def test_steps_and_checkpoints_are_timed_and_nothing_is_left(state, tmp_path):
    taken = []
    timing = benchmark.timed(state, lambda: taken.append(1), 0.9, tmp_path)
    assert len(taken) == benchmark.RUNS + 1
    assert timing.save > timing.step > 0 and timing.size > 4 * 2 * 300 * 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_recipe_has_a_row_for_teacher_and_student(repo, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "RUNS", 1)
    rows = benchmark.of_recipe(repo / "recipes/street-scenes.yaml", tmp_path)
    assert [(name, every) for name, every, _ in rows] == [("teacher", 100), ("student", 100)]
    assert all(0 < timing.share(every) < 1 for _, every, timing in rows)
    assert rows[0][2].size > rows[1][2].size
