"""The cost of checkpoints, on networks that take no time."""

import re

import pytest
import torch
from torch import nn

from benchmarks import checkpoint as benchmark
from understudy.train import checkpoint
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


def test_what_is_saved_is_what_a_training_goes_on_from(state, tmp_path):
    state.generator(torch.ones(1, 300)).sum().backward()
    state.optimizer_g.step()
    state.step = 1
    checkpoint.save(tmp_path, benchmark.content(state, nn.Linear(300, 300)))
    saved = checkpoint.load(tmp_path)
    names = {re.split(r"\.", name, maxsplit=2)[1] for name in saved.tensors if name.startswith("state.")}
    assert saved.step == 1 and {"generator", "discriminator", "average", "optimizer_g"} <= names
    State.start(nn.Linear(300, 300), nn.Linear(2, 1), nn.ModuleDict(), 1e-3).restore(
        {name.removeprefix("state."): value for name, value in saved.tensors.items() if name.startswith("state.")}, 1
    )


@pytest.mark.slow
def test_a_recipe_has_a_row_for_teacher_and_student(repo, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "RUNS", 1)
    rows = benchmark.of_recipe(repo / "recipes/street-scenes.yaml", tmp_path)
    assert [(name, every) for name, every, _ in rows] == [("teacher", 100), ("student", 100)]
    assert all(0 < timing.share(every) < 1 for _, every, timing in rows)
    assert rows[0][2].size > rows[1][2].size
