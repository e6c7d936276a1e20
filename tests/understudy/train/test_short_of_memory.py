"""Real trainings that run short of memory: one message with what fits, and that does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import short_of_memory
import yaml
from several_hosts import FOLLOW, Hosts
from tiny_stage import write_inputs, write_params

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.errors import OK, OUT_OF_MEMORY
from understudy.files import read_json

BATCH, MIB = 384, 250  # a step on all at once takes some 420 MiB, on a few some 40; where less is left libraries crash
JUDGE_BATCH, JUDGE_MIB = 256, 150  # a step on all takes more, on a quarter less
PLANNED = 4  # steps that a plan takes
ARCH = "artifacts/prune/arch.json"  # with activations that outweigh the images
PROGRAM = Path(short_of_memory.__file__)
# C's library would keep the addresses of what is freed, in blocks of up to 32 MiB.
PLACE = {"MALLOC_MMAP_THRESHOLD_": "16384", "OMP_NUM_THREADS": "1"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def root(tmp_path) -> Path:
    write_inputs(tmp_path, "instance_affine")
    architecture.save(inception(16, 3, 4, "instance_affine", "zero", "onehot", 3, (32, 32)), tmp_path / ARCH)
    return tmp_path


def ended(root: Path, repo: Path, stage: str, short: str | None, *more: str) -> subprocess.CompletedProcess[str]:
    """short: as short_of_memory.py has it, or None for enough."""
    place = {**os.environ, "PYTHONPATH": str(repo), **PLACE, **({"SHORT_OF_MEMORY": short} if short else {})}
    command = [sys.executable, str(PROGRAM), stage, "--root", str(root), *more]
    return subprocess.run(command, cwd=repo, env=place, capture_output=True, text=True, timeout=300)


def assert_told(done: "subprocess.CompletedProcess[str]", root: Path, stage: str) -> str:
    """The one message of a stage that ended for want of memory, and nothing half-written."""
    assert done.returncode == OUT_OF_MEMORY, done.stderr
    status = read_json(root / f".understudy/status/{stage}.json")
    assert status["code"] == OUT_OF_MEMORY and done.stderr == f"{stage}: {status['reason']}\n"
    return str(status["reason"])


def named(reason: str, key: str, most: int) -> int:
    """How many images at once it says that fit."""
    before, found, rest = reason.rpartition(f"{key}: ")
    assert found and "out of memory with " in before and "DefaultCPUAllocator: can't" in before, reason
    count = int(rest.split()[0])
    assert 1 <= count < most and "fits (tried, with 10% to spare)" in rest
    return count


def test_the_images_at_once_that_are_named_fit(root, repo):
    write_params(root, 10, batch_size=BATCH, validate_every=10)
    reason = assert_told(ended(root, repo, "baseline", f"addresses 0 {MIB}"), root, "baseline")
    assert reason.startswith(f"out of memory with {BATCH} images at once")
    count = named(reason, "student.schedule.micro_batch", BATCH)
    write_params(root, 10, batch_size=BATCH, validate_every=10, micro_batch=count)
    shutil.rmtree(root / ".understudy")
    done = ended(root, repo, "baseline", f"addresses 0 {MIB}", "--dry-run")  # which times whole steps
    assert done.returncode == OK, done.stderr


def test_in_the_middle_of_a_training_it_keeps_the_checkpoint(root, repo):
    """Another program on the machine has taken what was there when the training began."""
    write_params(root, 11, batch_size=8)
    reason = assert_told(ended(root, repo, "baseline", f"images {PLANNED + 10} 2"), root, "baseline")
    assert named(reason, "student.schedule.micro_batch", 8) == 2
    assert not list(root.glob("artifacts/baseline/*"))
    done = ended(root, repo, "baseline", None)
    assert done.returncode == OK and "going on from step 10" in done.stdout, done.stderr


@pytest.mark.long
def test_the_first_host_tells_what_another_has_no_memory_for(root, repo, tmp_path):
    """That one alone runs short, in the middle of a training that both share."""
    write_params(root, 11, batch_size=16, processes=2)
    stages = tmp_path / "stages"  # in whose place the program comes
    stages.mkdir()
    (stages / "__init__.py").touch()
    (stages / "baseline.py").write_text(
        f"import runpy, sys\nsys.argv.insert(1, 'baseline')\nrunpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
    )
    two = Hosts(2, PYTHONPATH=str(repo), **PLACE)
    short = {**two.environment(1), "SHORT_OF_MEMORY": f"images {PLANNED + 10} 2"}
    follower = subprocess.Popen(FOLLOW, cwd=root, env=short, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        command = [sys.executable, "-m", "stages.baseline"]
        done = subprocess.run(command, cwd=root, env=two.environment(0), capture_output=True, text=True, timeout=300)
    finally:
        follower.terminate()
        said = follower.communicate(timeout=240)
    reason = assert_told(done, root, "baseline")
    who, _, what = reason.partition("out of memory")
    assert who == "the host with NODE_RANK 1: process 2 of 2: baseline: ", said
    assert named(f"out of memory{what}", "student.schedule.micro_batch", 8) == 2
    assert not list(root.glob("artifacts/baseline/*")) and "Traceback" not in "".join(said)
    assert list(root.glob(".understudy/baseline/*/checkpoint-00000010-*"))


def test_the_judge_s_batch_that_is_named_fits(root, repo):
    """In the middle of its training, which takes the same steps as its plan."""
    write_judge(root, JUDGE_BATCH)
    short = ended(root, repo, "judge", f"addresses {PLANNED + 1} {JUDGE_MIB}")
    reason = assert_told(short, root, "judge")
    assert reason.startswith(f"out of memory with judge.batch_size: {JUDGE_BATCH} (")
    write_judge(root, named(reason, "judge.batch_size", JUDGE_BATCH))
    done = ended(root, repo, "judge", f"addresses 0 {JUDGE_MIB}", "--dry-run")
    assert done.returncode == OK, done.stderr


def write_judge(root: Path, batch_size: int) -> None:
    judge = {"seed": 1, "width": 16, "steps": 3, "batch_size": batch_size, "learning_rate": 4.0e-3}
    values = {"runtime": {"device": "cpu", "precision": "fp32"}, "judge": judge}
    (root / "params.yaml").write_text(yaml.safe_dump(values))
