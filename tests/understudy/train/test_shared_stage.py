"""A stage whose training two processes share: the same result, one writer, and an end together."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_stage import command, write_inputs, write_params

from understudy.files import read_json
from understudy.train.log import read

STEPS = 60
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def finished(root: Path, repo: Path, *before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    place = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        [*before, *command(root)[bool(before) :]], cwd=repo, env=place, capture_output=True, text=True, timeout=240
    )


@pytest.fixture
def root(inputs, tmp_path) -> Path:
    """One whose training two processes share."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    write_params(tmp_path, STEPS, processes=2)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory, repo) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(inputs, root, dirs_exist_ok=True)
    write_params(root, STEPS, processes=2)
    done = finished(root, repo)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("baseline: plan") == 1 and "2 processes" in done.stdout and not done.stderr
    return root


def started(root: Path, repo: Path) -> "subprocess.Popen[str]":
    """A training, once it has something to go on from."""
    running = subprocess.Popen(command(root), cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(root.glob(".understudy/*/*/checkpoint-*")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return running


def workers(starter: int) -> list[int]:
    """The processes that it started, in order."""
    return [int(pid) for pid in Path(f"/proc/{starter}/task/{starter}/children").read_text().split()]


def assert_goes_on(root: Path, repo: Path, undisturbed: Path) -> None:
    assert not list(root.glob("artifacts/baseline/*"))
    again = finished(root, repo)
    assert again.returncode == 0 and "going on from step" in again.stdout, again.stderr
    for name in ("weights.safetensors", "curves.csv", "validation.csv", "metrics.json", "samples.png"):
        assert (root / "artifacts/baseline" / name).read_bytes() == (
            undisturbed / "artifacts/baseline" / name
        ).read_bytes()
    (log,) = root.glob(".understudy/baseline/*/log.jsonl")
    assert [r["step"] for r in read(log) if r["event"] == "step"] == list(range(10, STEPS + 1, 10))


def test_the_losses_are_those_of_one_process(inputs, undisturbed, tmp_path, repo):
    """As long as rounding, which Adam blows up, has not taken them apart."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    write_params(tmp_path, STEPS)
    assert finished(tmp_path, repo).returncode == 0
    curves = [(root / "artifacts/baseline/curves.csv").read_text().splitlines()[1] for root in (tmp_path, undisturbed)]
    first, other = (torch.tensor([float(cell) for cell in line.split(",")]) for line in curves)
    torch.testing.assert_close(first, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("who", ["starter", "second"])
def test_stopped_it_saves_and_goes_on(who, root, undisturbed, repo):
    running = started(root, repo)
    os.kill(running.pid if who == "starter" else workers(running.pid)[1], signal.SIGTERM)
    assert running.wait(60) == 75, running.stderr.read() if running.stderr else ""
    status = read_json(root / ".understudy/status/baseline.json")
    assert status["code"] == 75 and "with its state saved" in status["reason"]
    assert_goes_on(root, repo, undisturbed)


def test_killing_the_starter_alone_leaves_nobody_behind(root, undisturbed, repo):
    running = started(root, repo)
    mates = workers(running.pid)
    running.kill()
    running.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/exe").exists() for pid in mates):  # of one that nobody buries, no more
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "with its state saved" in read_json(root / ".understudy/status/baseline.json")["reason"]
    assert_goes_on(root, repo, undisturbed)


@pytest.mark.parametrize("who", [0, 1], ids=["first", "second"])
def test_one_killed_ends_all_and_it_goes_on(who, root, undisturbed, repo):
    running = started(root, repo)
    mates = workers(running.pid)
    os.kill(mates[who], signal.SIGKILL)
    _, complaint = running.communicate(timeout=90)
    assert running.returncode == 1 and not any(Path(f"/proc/{pid}").exists() for pid in mates)
    assert complaint.strip().splitlines()[-1].startswith(f"baseline: process {who + 1} of 2 was killed by SIGKILL")
    assert complaint.count("baseline: ") == 1 and "Traceback" not in complaint
    assert read_json(root / ".understudy/status/baseline.json")["code"] == 1
    assert_goes_on(root, repo, undisturbed)


def test_torchrun_does_as_well(root, undisturbed, repo):
    """And with the number of processes left open in the parameters, which torchrun then gives."""
    write_params(root, STEPS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = finished(root, repo, *torchrun)
    assert done.returncode == 0, done.stderr
    path = "artifacts/baseline/weights.safetensors"
    assert (root / path).read_bytes() == (undisturbed / path).read_bytes()


@pytest.mark.parametrize(
    ("norm", "schedule", "message"),
    [
        ("batch", {"processes": 2}, "teacher.norm: batch: 2 processes would need synchronised batch norms"),
        ("instance_affine", {"processes": 3}, "schedule.batch_size: 2 images cannot be shared equally by 3"),
        ("batch", {"micro_batch": 1}, "schedule.micro_batch: 1: batch norms must see all 2 images at once"),
    ],
)
def test_what_cannot_be_divided_is_one_clear_error(norm, schedule, message, tmp_path, repo):
    write_inputs(tmp_path, norm)
    write_params(tmp_path, STEPS, **schedule)
    done = finished(tmp_path, repo)
    assert done.returncode == 2 and done.stderr.startswith(f"baseline: {message}"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert message in read_json(tmp_path / ".understudy/status/baseline.json")["reason"]


# The second process finds other inputs than the first one: as when a file is changed while both start.
DIFFERING = """
import runpy, sys
from understudy import processes
from understudy.train import checkpoint
own = checkpoint.fingerprint
checkpoint.fingerprint = lambda *given: own(*given) if processes.leads() else "f" * 16
sys.argv = ["stages.baseline", "--root", sys.argv[1]]
runpy.run_module("stages.baseline", run_name="__main__", alter_sys=True)
"""


def test_processes_that_would_train_different_things_end(root, repo):
    done = subprocess.run([sys.executable, "-c", DIFFERING, str(root)], cwd=repo, capture_output=True, text=True,
                          timeout=240)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().startswith("baseline: code, parameters or inputs were changed while"), done.stderr


def test_other_numbers_of_processes_than_the_parameters_are_refused(root, repo):
    told = {"LOCAL_WORLD_SIZE": "3", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "RANK": "0"}
    done = finished(root, repo, **told)
    assert done.returncode == 2 and "3 processes were started, and by its parameters it runs in 2" in done.stderr
