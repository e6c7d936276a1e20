"""The command line, the exit code and the status file of a stage, as real processes of a stage written here."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.files import read_json
from understudy.locks import held
from understudy.stage import Job

STAGE = '''
"""A stage that does what its parameter says."""
import time
from dataclasses import dataclass
from understudy.errors import UserError
from understudy.files import write_text
from understudy.stage import main

@dataclass(frozen=True)
class Small:
    ending: str
    sizes: tuple[int, ...]

def plan(job):
    if job.params(Small).ending == "no plan":
        job.input("other/file.txt")
    return {"expected time": "a moment"}

def run(job):
    ending = job.params(Small).ending
    if ending == "data":
        raise UserError("rows 3 and 4 are wrong", 4)
    if ending == "long":
        print("working", flush=True)
        time.sleep(60)
    if ending == "bug":
        write_text(job.output("small/half.txt"), ending)
        raise KeyError("who")
    write_text(job.output("small/out.txt"), ending)
    write_text(job.scratch / "note.txt", ending)

main("small", (Small,), plan, run)
'''


@pytest.fixture
def stage(tmp_path, repo):
    (tmp_path / "small.py").write_text(STAGE)

    def running(ending: str, *more: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "params.yaml").write_text(f"small: {{ending: {ending}, sizes: [1, 2]}}\nother: {{}}\n")
        return subprocess.run(
            [sys.executable, "small.py", *more], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repo)},
            capture_output=True, text=True, check=False)  # fmt: skip

    return running


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} - {"small.py", "params.yaml"}


STATUS, LOCK = ".understudy/status/small.json", ".understudy/small/lock"


def test_a_stage_that_succeeds_shows_its_plan_and_says_so(stage, tmp_path):
    done = stage("well")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [
        "small: plan", "  small.ending: well", "  small.sizes: [1, 2]", "  expected time: a moment"]  # fmt: skip
    assert files(tmp_path) == {STATUS, LOCK, "artifacts/small/out.txt", ".understudy/small/note.txt"}
    assert read_json(tmp_path / STATUS) == {"stage": "small", "code": 0, "reason": "done"}


def test_root_and_params_may_be_elsewhere(stage, tmp_path):
    stage("well", "--dry-run")  # writes params.yaml
    (tmp_path / "far/away").mkdir(parents=True)
    shutil.copy(tmp_path / "params.yaml", tmp_path / "far/away")
    assert stage("well", "--root", "far/away").returncode == 0
    assert files(tmp_path / "far/away") == {STATUS, LOCK, "artifacts/small/out.txt", ".understudy/small/note.txt"}
    (tmp_path / "params.yaml").rename(tmp_path / "mine.yaml")
    done = stage("well", "--params", "none.yaml", "--root", "far")
    assert done.returncode == 2 and "none.yaml: no such parameter file" in done.stderr


@pytest.mark.parametrize(
    ("ending", "code", "reason"),
    [
        ("data", 4, "rows 3 and 4 are wrong"),
        ("bug", 1, "KeyError: 'who'"),
        ("no plan", 2, "artifacts/other/file.txt: missing; `dvc repro other` (or `python -m stages.other`) makes it"),
        ("3", 2, "params.yaml: small.ending: expected str, found 3"),
    ],
)
def test_a_failure_leaves_its_code_and_its_reason(ending, code, reason, stage, tmp_path):
    done = stage(ending)
    assert done.returncode == code
    assert ("Traceback" in done.stderr) == (code == 1)
    if code != 1:
        assert done.stderr == f"small: {reason}\n"
    assert read_json(tmp_path / STATUS) == {"stage": "small", "code": code, "reason": reason}
    assert files(tmp_path) - {LOCK} == {STATUS}


def test_ctrl_c_is_one_line_and_leaves_a_reason(stage, tmp_path, repo):
    stage("long", "--dry-run")
    process = subprocess.Popen([sys.executable, "small.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repo)},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    while "working" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors == "small: interrupted; run it again\n"
    assert read_json(tmp_path / STATUS) == {"stage": "small", "code": 130, "reason": "interrupted; run it again"}


@pytest.mark.parametrize(("ending", "code"), [("well", 0), ("data", 0), ("no plan", 2)])
def test_a_dry_run_writes_nothing(ending, code, stage, tmp_path):
    done = stage(ending, "--dry-run")
    assert done.returncode == code and done.stdout.startswith("small: plan") == (code == 0)
    assert files(tmp_path) == set()


def test_help_is_the_stage_s_own_docstring(stage):
    done = stage("well", "--help")
    assert done.returncode == 0 and "A stage that does what its parameter says." in done.stdout


def test_an_input_that_nobody_made_is_named_with_its_maker(tmp_path):
    job = Job("distill", tmp_path, {})
    with pytest.raises(UserError, match=r"artifacts/prune/arch\.json: missing; `dvc repro prune`"):
        job.input("prune/arch.json")
    assert job.output("distill/a") == tmp_path / "artifacts/distill/a"
    assert job.scratch == tmp_path / ".understudy/distill"


def start(tmp_path, repo, **options) -> subprocess.Popen[str]:
    """The stage, working for a minute."""
    (tmp_path / "params.yaml").write_text("small: {ending: long, sizes: []}\n")
    process = subprocess.Popen(
        [sys.executable, "small.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(repo)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # fmt: skip
    assert process.stdout is not None
    while "working" not in process.stdout.readline():
        assert process.poll() is None
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_leaves_a_reason_and_nothing_half_written(number, stage, tmp_path, repo):
    stage("long", "--dry-run")
    process = start(tmp_path, repo)
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)  # of the group and of the parent's death: two come at once
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 75 and errors == f"small: stopped by {number.name}; run it again\n"
    assert read_json(tmp_path / STATUS)["code"] == 75 and files(tmp_path) == {STATUS, LOCK}


def test_a_failure_leaves_the_outputs_of_an_earlier_run_alone(stage, tmp_path):
    assert stage("well").returncode == 0
    assert stage("bug").returncode == 1
    assert (tmp_path / "artifacts/small/out.txt").exists() and not (tmp_path / "artifacts/small/half.txt").exists()


def test_a_terminal_that_closes_does_not_end_what_runs_under_nohup(stage, tmp_path, repo):
    stage("long", "--dry-run")
    process = start(tmp_path, repo, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.kill()
    process.communicate()


def test_a_second_run_of_a_stage_waits_and_then_says_who_is_in_the_way(stage, tmp_path, repo):
    stage("long", "--dry-run")
    process = start(tmp_path, repo)
    (tmp_path / "small.py").write_text("import understudy.stage\nunderstudy.stage.PATIENCE = 0.3\n" + STAGE)
    refused = stage("well")
    assert refused.returncode == 75
    assert f"process {process.pid} still works here; waiting" in refused.stdout
    assert f"held by process {process.pid}, another run of small in this folder" in refused.stderr
    assert not (tmp_path / STATUS).exists()  # the one that works has not said yet how it ends
    assert stage("well", "--dry-run").returncode == 0  # a plan touches nothing
    (tmp_path / "small.py").write_text(STAGE)
    process.kill()
    process.communicate()
    leftover = tmp_path / "artifacts/small/.weights.123.safetensors"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    assert stage("well").returncode == 0
    assert not leftover.exists() and (tmp_path / "artifacts/small/out.txt").exists()


def test_under_dvc_a_stage_ends_with_its_parent(stage, tmp_path, repo):
    stage("long", "--dry-run")
    parent = "import subprocess, sys; subprocess.run([sys.executable, 'small.py'])"
    (tmp_path / "params.yaml").write_text("small: {ending: long, sizes: []}\n")
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(repo), "DVC_STAGE": "small"})  # fmt: skip
    assert process.stdout is not None
    while "working" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.wait()
    with held(tmp_path / LOCK, wait=20) as free:
        assert free
    assert read_json(tmp_path / STATUS)["reason"] == "stopped by SIGTERM; run it again"
