"""Pods that go in the middle of a training: evicted, killed outright, or because the run is cancelled."""

import pytest
from tiny_project import STEPS
from workers import children

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def test_an_evicted_pod_is_replaced_and_its_training_goes_on(disturbed):
    run = disturbed.begin("evicted")
    branch, stage = disturbed.training(run)
    disturbed.stack.kubernetes.evict(disturbed.stack.namespace, disturbed.pod(stage))
    assert disturbed.ended_well(run) == branch
    jobs = disturbed.stack.jobs(stage)
    assert len(jobs) == 2, "a second Job of the same flow run"
    states = disturbed.states(stage)
    assert "Crashed" not in states and states.count("Running") == 2
    assert disturbed.project.steps(branch) == list(range(1, STEPS + 1)), "no step twice"


def test_a_pod_that_is_killed_is_replaced_and_its_training_goes_on(disturbed):
    run = disturbed.begin("killed")
    branch, stage = disturbed.training(run)
    disturbed.stack.kubernetes.kill(disturbed.stack.namespace, disturbed.pod(stage))
    assert disturbed.ended_well(run) == branch
    assert disturbed.project.steps(branch)[-1] == STEPS and len(disturbed.project.steps(branch)) <= STEPS + 1
    names = [one.name.split()[0] for one in children(disturbed.server, run)]
    assert names == ["prepare", "teacher", "teacher", "gate"]


def test_a_cancelled_run_leaves_no_process(disturbed):
    from prefect.states import Cancelling

    run = disturbed.begin("cancelled")
    branch, stage = disturbed.training(run)
    with disturbed.server.client() as client:
        client.set_flow_run_state(run, Cancelling())
    assert disturbed.ended(run).is_cancelled() and disturbed.ended(stage).is_cancelled()
    disturbed.nothing_runs()
    assert len(disturbed.project.steps(branch)) < STEPS and len(children(disturbed.server, run)) == 2
