"""A training that several hosts share, on loopback: the same result as on one, and an end together on each way out."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import tiny_players
from several_hosts import Hosts, children
from test_divided import assert_same
from tiny_players import TRAININGS, trained
from tiny_stage import command, write_params

from understudy.files import read_json

STEPS = 40
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PLAYERS = Path(tiny_players.__file__)


def torchrun(here: Hosts, index: int, each: int) -> list[str]:
    port = str(here.shared["MASTER_PORT"])
    return [sys.executable, "-m", "torch.distributed.run", "--nnodes", here.shared["NNODES"], "--node-rank", str(index),
            "--nproc-per-node", str(each), "--master-addr", "127.0.0.1", "--master-port", port]  # fmt: skip


@pytest.mark.parametrize("each", [1, pytest.param(2, marks=pytest.mark.long)])
def test_torchrun_on_two_hosts_trains_like_one_process(each, tmp_path):
    """Every objective, with every form of alignment and with the relation on."""
    two, path = Hosts(2, OMP_NUM_THREADS="1"), tmp_path / "results.safetensors"
    running = [
        subprocess.Popen([*torchrun(two, index, each), str(PLAYERS), str(path)], env=two.environment(index),
                         stderr=subprocess.PIPE, text=True) for index in range(2)
    ]  # fmt: skip
    complaints = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], complaints
    shared = safetensors.torch.load_file(path)
    for name in TRAININGS:
        found = {key.removeprefix(f"{name}: "): value for key, value in shared.items() if key.startswith(f"{name}: ")}
        assert_same(found, trained(name))


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory, repo) -> Path:
    """Two processes, of one host."""
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(inputs, root, dirs_exist_ok=True)
    write_params(root, STEPS, processes=2)
    place = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(root), cwd=repo, env=place, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def root(inputs, tmp_path) -> Path:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    write_params(tmp_path, STEPS, processes=2)
    return tmp_path


@contextmanager
def following(two: Hosts, repo: Path) -> "Iterator[subprocess.Popen[str]]":
    running = two.follower(1, repo)
    try:
        yield running
    finally:
        running.terminate()
        running.communicate(timeout=240)


def started(root: Path, two: Hosts, repo: Path, ready: str = ".understudy/*/*/checkpoint-*") -> "subprocess.Popen[str]":
    """The first host's stage, once it has something to go on from."""
    running = subprocess.Popen(command(root), cwd=repo, env=two.environment(0), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    deadline = time.monotonic() + 240
    while not list(root.glob(ready)):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return running


def assert_same_results(root: Path, undisturbed: Path) -> None:
    for name in ("weights.safetensors", "curves.csv", "validation.csv", "metrics.json", "samples.png"):
        path = f"artifacts/baseline/{name}"
        assert (root / path).read_bytes() == (undisturbed / path).read_bytes()


def finished(root: Path, two: Hosts, repo: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(root), cwd=repo, env=two.environment(0), capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize(
    "end",
    [
        "follower stopped",
        *(pytest.param(end, marks=pytest.mark.long) for end in ("leader stopped", "leader killed", "follower killed")),
    ],
)
def test_one_end_is_the_end_of_all_and_it_goes_on(end, root, undisturbed, repo):
    two = Hosts(2, OMP_NUM_THREADS="1")
    with following(two, repo) as follower:
        running = started(root, two, repo)
        mates = children(running.pid) + children(follower.pid)
        assert len(mates) == 2
        who, how = end.split()
        number = signal.SIGTERM if how == "stopped" else signal.SIGKILL
        os.kill((running if who == "leader" else follower).pid, number)
        _, complaint = running.communicate(timeout=240)
        assert running.returncode == (-number if end == "leader killed" else 75), complaint
        assert "Traceback" not in complaint
        deadline = time.monotonic() + 240
        while any(Path(f"/proc/{pid}/exe").exists() for pid in mates):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if who == "follower":
            assert follower.wait(240) == (75 if how == "stopped" else -signal.SIGKILL)
    status = read_json(root / ".understudy/status/baseline.json")
    assert status["code"] == 75
    assert "its state saved" in status["reason"] or "is gone; run it again to go on" in status["reason"]
    assert not list(root.glob("artifacts/baseline/*"))
    with following(two, repo):
        again = finished(root, two, repo)
    assert again.returncode == 0 and "going on from step" in again.stdout, again.stderr
    assert_same_results(root, undisturbed)


@pytest.mark.long
def test_the_others_need_no_checkpoint_of_their_own(root, undisturbed, repo, tmp_path_factory):
    """Their state comes from the first one: folders that are not shared do as well."""
    two = Hosts(2, OMP_NUM_THREADS="1")
    with following(two, repo):
        running = started(root, two, repo)
        running.terminate()
        assert running.wait(240) == 75
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(root, other, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".understudy"))
    both = []
    for index, place in enumerate((root, other)):
        started_by = [*torchrun(two, index, 1), *command(place)[1:]]
        pipe = subprocess.PIPE
        both.append(
            subprocess.Popen(started_by, cwd=repo, env=two.environment(index), stdout=pipe, stderr=pipe, text=True)
        )
    said = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "going on from step" in said[0][0]
    assert_same_results(root, undisturbed)
    assert not list(other.glob("artifacts/baseline/*")) and not list(other.glob(".understudy/status/*"))


def test_the_first_one_has_the_reason_of_another(root, repo):
    write_params(root, STEPS, processes=2, batch_size=3)
    two = Hosts(2, OMP_NUM_THREADS="1")
    with following(two, repo):
        done = finished(root, two, repo)
    assert done.returncode == 2
    assert "schedule.batch_size: 3 images cannot be shared equally by 2 processes" in done.stderr
    assert "schedule.batch_size" in read_json(root / ".understudy/status/baseline.json")["reason"]


@pytest.mark.long
def test_as_many_as_there_are_hosts_where_parameters_leave_it_open(root, undisturbed, repo):
    write_params(root, STEPS)
    two = Hosts(2, OMP_NUM_THREADS="1")
    with following(two, repo) as follower:
        done = finished(root, two, repo)
        assert done.returncode == 0, done.stderr
        assert "2 processes, 1 of them here" in done.stdout and done.stdout.count("baseline: plan") == 1
    assert follower.returncode == 75
    assert_same_results(root, undisturbed)


@pytest.mark.parametrize(
    ("index", "wanted", "message"),
    [
        (0, 3, "schedule.processes: baseline's 3 cannot be shared equally by 2 hosts (NNODES)"),
        (1, 2, "NODE_RANK: 1: a stage is run on the first host alone, and on this one `understudy follow`"),
    ],
)
def test_what_cannot_be_shared_is_one_clear_error(index, wanted, message, root, repo):
    write_params(root, STEPS, processes=wanted)
    done = subprocess.run(command(root), cwd=repo, env=Hosts(2).environment(index), capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"baseline: {message}"), done.stderr
