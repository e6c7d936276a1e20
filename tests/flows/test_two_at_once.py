"""Two runs at once: of one commit, which share a cache on S3, and on one branch, which has one writer."""

import pytest
from workers import begin, children

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def test_two_runs_of_one_commit_both_have_their_results(disturbed):
    first = disturbed.begin("two")
    second = begin(disturbed.server)
    branches = {disturbed.ended_well(run) for run in (first, second)}
    assert len(branches) == 2
    for branch in branches:
        assert [subject.split()[0] for subject in disturbed.project.log(branch)] == ["gate", "teacher", "prepare"]


def test_a_second_run_on_a_branch_is_refused_and_the_first_ends_well(disturbed):
    first = disturbed.begin("one branch")
    branch, _ = disturbed.training(first, 1)
    second = begin(disturbed.server, branch=branch)
    assert disturbed.ended_well(first) == branch
    state = disturbed.ended(second)
    # Its stage waits for the only GPU, and then finds everything done; or it is told who works there.
    assert state.is_completed() or (state.name == "BadInput" and "works there" in state.message), state
    assert [subject.split()[0] for subject in disturbed.project.log(branch)] == ["gate", "teacher", "prepare"]
    assert len(children(disturbed.server, second)) <= 1
