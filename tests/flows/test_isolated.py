"""Each stage as a flow run of its own, by Prefect's real workers: preempted, cancelled, left behind by its parent."""

import json
import os
import signal
from pathlib import Path

import pytest
from processes_in import processes_in
from tiny_project import STEPS, Project, undisturbed, wait
from workers import begin, children, ended, working

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture
def project(repo, prefect_server, tmp_path):
    """A project, and workers that know it."""
    project = Project(repo, tmp_path)
    prefect = {name: value for name, value in prefect_server.environment.items() if "PREFECT" in name}
    environment = project.environment(**prefect, DO_NOT_TRACK="1", STEP_SECONDS="10")
    with working(prefect_server, repo, environment, tmp_path):
        yield project


def training(project: Project) -> str:
    """The branch of the run, once its training has taken a step."""
    wait(project.branches, "a branch", 900)
    (branch,) = project.branches()
    wait(lambda: project.steps(branch), "training", 900)
    return branch


def process_of(run) -> int:
    """The process in which a worker runs a flow run."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"prefect.engine" in (process / "cmdline").read_bytes().split(b"\0") and (  # not what supervises it
                f"PREFECT__FLOW_RUN_ID={run}".encode() in (process / "environ").read_bytes()
            ):
                return int(process.name)
        except OSError:  # it has ended
            continue
    raise AssertionError(f"nothing runs {run}")


def test_preempted_it_is_started_again_and_ends_as_an_undisturbed_one(project, prefect_server):
    run = begin(prefect_server)
    branch = training(project)
    os.kill(process_of(children(prefect_server, run)[-1].id), signal.SIGTERM)
    assert ended(prefect_server, run).is_completed()
    stages = [(child.name.split()[0], child.state.name) for child in children(prefect_server, run)]
    assert stages == [
        ("prepare", "Completed"),
        ("teacher", "Preempted"),
        ("teacher", "Completed"),
        ("gate", "Completed"),
    ]
    assert project.trained_once(branch)
    weights = json.loads((project.workspace(branch) / "artifacts/teacher/weights.json").read_text())
    assert weights == undisturbed()


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_parent_that_is_cancelled_or_killed_leaves_no_process(project, prefect_server, how):
    from prefect.states import Cancelling

    run = begin(prefect_server)
    branch = training(project)
    stage = children(prefect_server, run)[-1]
    if how == "cancelled":
        with prefect_server.client() as client:
            client.set_flow_run_state(run, Cancelling())
    else:
        os.kill(process_of(run), signal.SIGKILL)
    state = ended(prefect_server, run)
    assert state.is_cancelled() if how == "cancelled" else state.is_crashed()
    wait(lambda: not processes_in(project.workspaces), "the end of every process", 600)
    assert ended(prefect_server, stage.id).is_cancelled()
    assert len(children(prefect_server, run)) == 2 and len(project.steps(branch)) < STEPS
