"""`python -m flows.compress` on a tiny project: everything in one process, beside a real Prefect server."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from mlflow_server import stop_group
from own_repository import done
from prefect_server import PrefectServer
from processes_in import processes_in
from tiny_project import STEPS, Project, start, undisturbed, wait

pytestmark = pytest.mark.timeout(3600)


class Runs:
    """The command in a project, with a server."""

    def __init__(self, repo: Path, server: PrefectServer, folder: Path) -> None:
        self.repo, self.server, self.folder = repo, server, folder
        self.project = Project(repo, folder)
        self.started: list[subprocess.Popen] = []

    def environment(self, **more: str) -> dict[str, str]:
        prefect = {name: value for name, value in self.server.environment.items() if "PREFECT" in name}
        return self.project.environment(**prefect, DO_NOT_TRACK="1", **more)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "flows.compress", *arguments]
        process = start(command, self.repo, self.environment(**more), self.folder / "said.txt")
        self.started.append(process)
        return process

    def stop(self) -> None:
        """Leave nothing behind, however a test ended."""
        for process in self.started:
            stop_group(process)

    def run(self, *arguments: str, **more: str) -> tuple[int, str]:
        """The exit code, and the last line that it said."""
        process = self.start(*arguments, **more)
        code = process.wait(600)
        return code, self.said().splitlines()[-1]

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def flow_run(self, branch: str) -> UUID:
        """The flow run that a branch is named after."""
        with self.server.client() as client:
            runs = [run for run in client.read_flow_runs() if run.name == branch]
        return runs[0].id

    def training(self, seconds: float = 1, after: int = 1) -> tuple[subprocess.Popen, str]:
        """A run whose training has begun and taken more than so many steps of so many seconds, and its branch."""
        process = self.start(STEP_SECONDS=str(seconds))
        wait(self.project.branches, "a branch")
        (branch,) = self.project.branches()
        begun = self.project.workspace(branch) / ".understudy/teacher/process"
        wait(lambda: begun.exists() and len(self.project.steps(branch)) > after, "training")
        return process, branch


@pytest.fixture
def runs(repo, prefect_server, tmp_path) -> Iterator[Runs]:
    made = Runs(repo, prefect_server, tmp_path)
    yield made
    made.stop()


@pytest.mark.slow
def test_a_run_puts_its_results_on_a_branch_and_one_that_starts_there_runs_only_what_is_stale(runs):
    code, last = runs.run()
    assert code == 0, runs.said()
    (branch,) = runs.project.branches()
    assert branch.startswith("runs/street-scenes-") and "the student met its bar" in last
    assert [subject.split()[0] for subject in runs.project.log(branch)] == ["gate", "teacher", "prepare"]
    assert json.loads(runs.project.file(branch, "artifacts/gate/verdict.json"))["passed"]
    assert runs.project.steps(branch) == list(range(1, STEPS + 1))
    assert not list((runs.project.root / ".dvc/cache").glob("files/md5/*"))  # nothing of it is the developer's own
    with runs.server.client() as client:
        kinds = {artifact.key: artifact.data for artifact in client.read_artifacts() if branch in (artifact.data or "")}
    assert branch in kinds["links-street-scenes"]
    with runs.server.client() as client:
        (verdict,) = [one.data for one in client.read_artifacts()
                      if one.key == "verdict-street-scenes" and branch in one.description]  # fmt: skip
    assert "Verdict: PASSED" in verdict

    # The results are a revision like any other. A gate that fails ends the flow so, and its results are there as well.
    done(runs.project.root, "git", "pull", "-q", "origin", branch)
    runs.project.share(gate="below the bar")
    before = len(runs.said())
    code, last = runs.run()
    assert code == 3 and "GateFailed: miou: 0.4 failed" in last
    assert re.findall(r"Running stage '(\w+)'", runs.said()[before:]) == ["gate"]
    (second,) = set(runs.project.branches()) - {branch}
    state = runs.server.state(runs.flow_run(second))
    assert (state.type.value, state.name) == ("FAILED", "GateFailed")
    assert json.loads(runs.project.file(second, "artifacts/gate/verdict.json"))["passed"] is False


@pytest.mark.long
def test_a_second_run_of_the_same_finds_everything_fresh_and_its_data_can_be_had(runs):
    code, _ = runs.run()
    assert code == 0, runs.said()
    (branch,) = runs.project.branches()
    before = len(runs.said())
    code, last = runs.run("--revision", branch)
    assert code == 0 and "the student met its bar" in last
    assert "Running stage" not in runs.said()[before:]
    (second,) = set(runs.project.branches()) - {branch}
    assert not runs.project.workspace(second).exists() and runs.project.file(second, "dvc.lock")

    done(runs.project.root, "git", "fetch", "-q")
    done(runs.project.root, "git", "checkout", "-q", second)
    done(runs.project.root, "dvc", "pull")  # no commit names data that nobody has
    assert json.loads((runs.project.root / "artifacts/teacher/weights.json").read_text())["step"] == STEPS


@pytest.mark.slow
def test_bad_data_is_not_tried_again(runs):
    runs.project.share(prepare="bad data")
    code, last = runs.run()
    assert code == 4 and "DataRefused: prepare: stage prepare failed with code 4: rows 3 and 4 are wrong" in last
    assert runs.said().count("Running stage 'prepare'") == 1 and runs.project.log(runs.project.branches()[0]) == []


@pytest.mark.long
def test_out_of_memory_is_not_tried_again_and_says_what_fits(runs):
    runs.project.share(prepare="runs out of memory")
    _, last = runs.run()
    assert "OutOfMemory: prepare:" in last and "schedule.batch_size 8 fits" in last
    assert runs.said().count("Running stage 'prepare'") == 1


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_stopped_in_its_training_it_leaves_no_process_and_goes_on_when_asked_to(runs, number):
    process, branch = runs.training()
    os.kill(process.pid, number)
    code = process.wait(300)
    wait(lambda: not processes_in(runs.project.workspaces), "the end of every process")
    taken = runs.project.steps(branch)
    assert taken != list(range(1, STEPS + 1))
    if number == signal.SIGTERM:
        state = runs.server.state(runs.flow_run(branch))
        assert code == 75 and (state.type.value, state.name) == ("CRASHED", "Preempted")

    code, _ = runs.run("--branch", branch)
    assert code == 0 and runs.project.branches() == [branch]
    assert runs.project.trained_once(branch)
    weights = json.loads((runs.project.workspace(branch) / "artifacts/teacher/weights.json").read_text())
    assert weights == undisturbed()


@pytest.mark.long
def test_a_stage_that_was_killed_is_started_again(runs):
    process, branch = runs.training()
    os.kill(int((runs.project.workspace(branch) / ".understudy/teacher/process").read_text()), signal.SIGKILL)
    assert process.wait(300) == 0, runs.said()
    assert "was killed outright" in runs.said() and runs.project.trained_once(branch)


@pytest.mark.slow
def test_cancelled_it_ends_its_stage(runs):
    from prefect.states import Cancelling

    process, branch = runs.training(seconds=100, after=-1)
    run = runs.flow_run(branch)
    with runs.server.client() as client:
        client.set_flow_run_state(run, Cancelling())
    assert process.wait(300) == 130
    assert not processes_in(runs.project.workspaces) and runs.server.state(run).is_cancelled()


@pytest.mark.long
def test_a_second_run_on_one_branch_is_told_who_works_there(runs):
    process, branch = runs.training(seconds=100, after=-1)
    code, last = runs.run("--branch", branch)
    assert code == 2 and f"the run teacher of {branch} (process {process.pid} on " in last, last
    assert process.poll() is None


@pytest.mark.slow
def test_what_cannot_work_is_refused_before_a_branch_is_made(runs):
    code, last = runs.run("--recipe", "nothing")
    assert code == 2 and last.startswith("compress: BadInput: ") and "no recipe 'nothing'" in last
    assert runs.project.branches() == []


@pytest.mark.slow
def test_without_a_server_it_says_so_and_starts_none(runs, tmp_path):
    environment = runs.environment() | {"PREFECT_API_URL": "", "PREFECT_HOME": str(tmp_path / "home")}
    said = subprocess.run([sys.executable, "-m", "flows.compress"], cwd=runs.repo, env=environment, text=True,
                          capture_output=True, timeout=120)  # fmt: skip
    assert said.returncode == 2 and "prefect server start" in said.stderr and not runs.project.branches()
