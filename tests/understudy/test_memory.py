"""Telling a want of memory from other failures: real errors of real allocators, and the kernel's own counts."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import control_groups
import numpy as np
import pytest
import torch

from understudy import memory
from understudy.files import write_json

TOO_MUCH = 2**60


def refused(ask) -> BaseException:
    with pytest.raises(BaseException) as caught:
        ask()
    return caught.value


@pytest.mark.parametrize(
    "ask",
    [
        lambda: bytearray(TOO_MUCH),
        lambda: np.empty(2**57, np.uint8),
        lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
        lambda: exec("raise error", {"error": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")}),
        lambda: exec("raise error", {"error": OSError(errno.ENOMEM, "Cannot allocate memory")}),
        lambda: exec("raise error", {"error": RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")}),
        lambda: exec("raise error", {"error": RuntimeError("GET was unable to find an engine to execute this")}),
    ],
    ids=["python", "numpy", "torch", "cuda", "system", "cudnn", "convolution"],
)
def test_a_want_of_memory_is_known(ask):
    error = refused(ask)
    assert memory.ran_out(error) and 0 < len(memory.wording(error)) <= 200
    assert "enforce fail" not in memory.wording(error)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.zeros(2) + torch.zeros(3),
        lambda: torch.nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1)),
        lambda: Path("/nowhere").read_text(),
        lambda: exec("raise error", {"error": RuntimeError("could not create a primitive descriptor for a matmul")}),
    ],
    ids=["shapes", "norm", "file", "no such primitive"],
)
def test_other_failures_are_not_taken_for_it(ask):
    assert not memory.ran_out(refused(ask))


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@linux
def test_the_kernel_is_asked_for_what_there_is():
    assert memory.kills() is not None and not memory.have_grown(memory.kills())
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory.room() <= installed * 1.01
    before = memory.peak()
    block = torch.ones(300_000_000, dtype=torch.uint8)
    assert memory.peak() > 300_000_000
    del block
    assert memory.forget_peak() and memory.peak() < before + 150_000_000


@pytest.fixture
def kernel(tmp_path, monkeypatch) -> Path:
    """A machine of 8 GB with files as the kernel writes them, 2 GB of them taken, a tenth of that by this process."""
    write(tmp_path / "proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n")
    write(tmp_path / "proc/vmstat", "nr_free_pages 1\noom_kill 3\n")
    write(tmp_path / "proc/self/status", "Name:\tpython3\nVmHWM:\t  300000 kB\nVmRSS:\t  200000 kB\n")
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "cgroup")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_the_machine_counts(kernel):
    assert memory.kills() == 3 and memory.room() == 6_200_000 * 1024


def test_a_container_counts_for_itself(kernel):
    """As in one with its own name space: the group is at the top, and the limit with it."""
    write(kernel / "proc/self/cgroup", "0::/\n")
    group = kernel / "cgroup"
    write(group / "memory.events", "low 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n")
    write(group / "memory.max", "2000000000\n")
    write(group / "memory.current", "1500000000\n")
    write(group / "memory.stat", "anon 900000000\ninactive_file 300000000\nactive_file 200000000\n")
    assert memory.kills() == 1
    assert memory.room() == 1_000_000_000 + 200_000 * 1024  # what is cached of files makes room
    write(group / "memory.max", "max\n")
    assert memory.room() == 6_200_000 * 1024


def test_the_tightest_of_nested_groups_is_the_limit(kernel):
    write(kernel / "proc/self/cgroup", "12:cpu,cpuacct:/\n4:memory:/pods/one\n0::/other\n")
    for name, limit, used in (("pods/one", 2**63 - 4096, 10), ("pods", 1_000_000_000, 400_000_000)):
        group = kernel / "cgroup/memory" / name
        write(group / "memory.limit_in_bytes", f"{limit}\n")
        write(group / "memory.usage_in_bytes", f"{used}\n")
        write(group / "memory.stat", "inactive_file 5\ntotal_inactive_file 0\ntotal_active_file 100000000\n")
        write(group / "memory.oom_control", f"oom_kill_disable 0\nunder_oom 0\noom_kill {used}\n")
    assert memory.kills() == 10
    assert memory.room() == 700_000_000 + 200_000 * 1024


def test_the_advice_of_one_that_was_killed_is_told_when_it_is_its_own(tmp_path):
    assert memory.killed(tmp_path).endswith("no memory left; give it more, or less to hold at once")
    memory.leave_note(tmp_path, "teacher.schedule.micro_batch: 4 should fit")
    assert "give it more" in memory.killed(tmp_path)  # without a lock nobody knows whose it is
    write(tmp_path / memory.LOCK, "1")
    os.utime(tmp_path / memory.LOCK, (1, 1))
    assert memory.killed(tmp_path).endswith("no memory left; teacher.schedule.micro_batch: 4 should fit")
    os.utime(tmp_path / memory.NOTE, (0, 0))
    assert "give it more" in memory.killed(tmp_path)
    write_json(tmp_path / memory.NOTE, [])
    assert "give it more" in memory.killed(tmp_path)


HOG = """
import os, sys
from pathlib import Path
from understudy import memory
before = memory.kills()
child = os.fork()
if not child:
    block = bytearray(2**30)  # zeroes, which the kernel must hold
    block[::4096] = b"1" * len(block[::4096])
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), memory.have_grown(before), memory.room() < 2**28)
"""


@linux
def test_the_kernel_s_own_kill_is_known(repo):
    """A child that takes more than its group may."""
    place = {**os.environ, "PYTHONPATH": str(repo)}
    with control_groups.limited(2**27) as enter:
        done = subprocess.run([sys.executable, "-c", HOG], env=place, preexec_fn=enter, capture_output=True, text=True,
                              timeout=60)  # fmt: skip
    assert done.stdout.split() == [str(-signal.SIGKILL), "True", "True"], done.stderr
