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


def test_a_pod_that_is_killed_for_memory_is_not_replaced_and_the_run_says_what_fits(disturbed):
    """Kubernetes kills the container whole; what the training had left a note of is still on the volume."""
    run = disturbed.begin("short of memory")
    branch, stage = disturbed.training(run)
    note = disturbed.project.workspace(branch) / ".understudy/teacher/memory.json"
    note.write_text('{"advice": "teacher.schedule.micro_batch: 4 should fit"}')
    disturbed.stack.kubernetes.kill(disturbed.stack.namespace, disturbed.pod(stage), "OOMKilled")
    state = disturbed.ended(run)
    assert (state.type.value, state.name) == ("FAILED", "OutOfMemory"), state
    assert "teacher.schedule.micro_batch: 4 should fit" in state.message
    assert [one.name.split()[0] for one in children(disturbed.server, run)] == ["prepare", "teacher"]


def test_a_cancelled_run_leaves_no_process_and_no_pod(disturbed):
    from prefect.states import Cancelling

    run = disturbed.begin("cancelled")
    branch, stage = disturbed.training(run)
    with disturbed.server.client() as client:
        client.set_flow_run_state(run, Cancelling())
    assert disturbed.ended(run).is_cancelled() and disturbed.ended(stage).is_cancelled()
    disturbed.nothing_runs()
    disturbed.no_pod_of(run, stage)
    assert len(disturbed.project.steps(branch)) < STEPS and len(children(disturbed.server, run)) == 2
