"""Two runs at once: of one commit, which share a cache on S3, and on one branch, which has one writer."""

import pytest
from tiny_project import STEPS
from workers import begin, children

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def test_two_runs_of_one_commit_both_have_their_results(disturbed):
    first = disturbed.begin("two")
    second = begin(disturbed.server)
    branches = {disturbed.ended_well(run) for run in (first, second)}
    assert len(branches) == 2
    for branch in branches:
        assert [subject.split()[0] for subject in disturbed.project.log(branch)] == ["gate", "teacher", "prepare"]


def test_who_comes_second_on_a_branch_is_refused_and_after_the_first_finds_everything_done(disturbed):
    first = disturbed.begin("one branch")
    branch, _ = disturbed.training(first, 1)
    hold = disturbed.project.workspace(branch) / ".understudy/teacher/hold"
    hold.touch()
    with disturbed.server.client() as client:  # by the pool that has room: the only GPU is taken
        deployment = client.read_deployment_by_name("stage/cpu")
        asked = {"stage": "teacher", "branch": branch}
        second = client.create_flow_run_from_deployment(deployment.id, parameters=asked).id
    refused = disturbed.ended(second)
    hold.unlink()
    assert refused.name == "BadInput" and "works there" in refused.message, refused
    assert f"the run teacher of {branch} (process " in refused.message
    assert disturbed.ended_well(first) == branch

    third = begin(disturbed.server, branch=branch)
    assert disturbed.ended_well(third) == branch and children(disturbed.server, third) == []
    assert [subject.split()[0] for subject in disturbed.project.log(branch)] == ["gate", "teacher", "prepare"]
    assert disturbed.project.steps(branch) == list(range(1, STEPS + 1))
