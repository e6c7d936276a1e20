"""A real training whose addresses run short: one message with images at once that fit, and they do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import short_of_memory
from tiny_stage import write_inputs, write_params

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.errors import OK, OUT_OF_MEMORY
from understudy.files import read_json

BATCH, MIB = 128, 100  # a step on all at once takes some 140 MiB, on a few some 40
ARCH = "artifacts/prune/arch.json"  # with activations that outweigh the images
PROGRAM = Path(short_of_memory.__file__)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ended(root: Path, repo: Path, when: int, *more: str) -> subprocess.CompletedProcess[str]:
    # C's library would keep the addresses of what is freed, in blocks of up to 32 MiB.
    place = {**os.environ, "PYTHONPATH": str(repo), "MALLOC_MMAP_THRESHOLD_": "16384", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(when), str(MIB), "--root", str(root), *more]
    return subprocess.run(command, cwd=repo, env=place, capture_output=True, text=True, timeout=300)


def test_the_images_at_once_that_are_named_fit(tmp_path, repo):
    write_inputs(tmp_path, "instance_affine")
    architecture.save(inception(16, 3, 4, "instance_affine", "zero", "onehot", 3, (32, 32)), tmp_path / ARCH)
    write_params(tmp_path, 10, batch_size=BATCH, validate_every=10)
    short = ended(tmp_path, repo, 0)
    assert short.returncode == OUT_OF_MEMORY, short.stderr
    status = read_json(tmp_path / ".understudy/status/baseline.json")
    assert status["code"] == OUT_OF_MEMORY and short.stderr == f"baseline: {status['reason']}\n"
    before, named, rest = status["reason"].partition("student.schedule.micro_batch: ")
    assert named and before.startswith(f"out of memory with {BATCH} images at once (DefaultCPUAllocator: can't")
    count = int(rest.split()[0])
    assert 1 <= count < BATCH and "fits (tried, with 10% to spare)" in rest
    write_params(tmp_path, 10, batch_size=BATCH, validate_every=10, micro_batch=count)
    shutil.rmtree(tmp_path / ".understudy")
    done = ended(tmp_path, repo, 0, "--dry-run")  # which times whole steps
    assert done.returncode == OK, done.stderr
