"""What a disk can do to a training, a real stage: one clear line, nothing half-written, and it goes on afterwards."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_stage import command, write_inputs, write_params

from understudy.files import read_json
from understudy.train.log import read

STEPS = 40
pytestmark = pytest.mark.slow


def baseline(root: Path, repo: Path, **options) -> subprocess.CompletedProcess[str]:
    place = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command(root), cwd=repo, env=place, capture_output=True, text=True, timeout=120, **options)


def complaint(ended: subprocess.CompletedProcess[str]) -> str:
    """The line that says what was wrong; one more may say that the stage's status could not be written either."""
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("baseline: ")]
    assert len(lines) == 1 or (len(lines) == 2 and "status/baseline.json: cannot be written" in lines[1]), lines
    return lines[0]


def half_written(root: Path) -> list[Path]:
    """Temporary files, and outputs of a training that did not end."""
    return [path for path in root.rglob("*") if path.name.startswith(".") and path.is_file()] + [
        *root.glob("artifacts/baseline/*")
    ]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("inputs")
    write_inputs(root)
    write_params(root, STEPS)
    return root


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory, repo) -> bytes:
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(inputs, root, dirs_exist_ok=True)
    assert baseline(root, repo).returncode == 0
    return (root / "artifacts/baseline/weights.safetensors").read_bytes()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 8 MB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_is_named_and_the_training_goes_on_once_there_is_room(small_disk, inputs, undisturbed, repo):
    shutil.copytree(inputs, small_disk, dirs_exist_ok=True)
    filler = small_disk / "filler"
    free = shutil.disk_usage(small_disk).free
    filler.write_bytes(bytes(free - 200_000))  # room for a log, not for a checkpoint
    ended = baseline(small_disk, repo)
    line = complaint(ended)
    assert "checkpoint-00000010" in line and "No space left on device" in line
    assert half_written(small_disk) == []
    filler.unlink()
    assert baseline(small_disk, repo).returncode == 0
    assert (small_disk / "artifacts/baseline/weights.safetensors").read_bytes() == undisturbed


def test_a_quota_is_named(tmp_path, inputs, repo):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    limit = 100_000  # bytes of a file: a log fits, a checkpoint does not
    ended = baseline(
        tmp_path, repo, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    )
    line = complaint(ended)
    assert "checkpoint-00000010" in line and "File too large" in line
    assert read_json(tmp_path / ".understudy/status/baseline.json")["reason"] in line
    assert half_written(tmp_path) == []


def test_a_read_only_scratch_folder_is_named(small_disk, inputs, repo):
    shutil.copytree(inputs, small_disk, dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    ended = baseline(small_disk, repo)
    line = complaint(ended)
    assert "Read-only file system" in line and ".understudy/baseline" in line


# A write that dies half-way: the process kills itself when it is about to name its second checkpoint.
DYING = """
import os, signal, sys
from pathlib import Path
rename, names = Path.replace, []
def dying(self, target):
    if "checkpoint-" in str(target):
        names.append(target)
        if len(names) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.replace = dying
import runpy
sys.argv = ["stages.baseline", "--root", sys.argv[1]]
runpy.run_module("stages.baseline", run_name="__main__", alter_sys=True)
"""


def test_killed_in_the_middle_of_writing_a_checkpoint_it_goes_on_from_the_one_before(
    tmp_path, inputs, undisturbed, repo
):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    killed = subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], cwd=repo, capture_output=True, timeout=120)
    assert killed.returncode == -9, killed.stderr
    (scratch,) = [path.parent for path in tmp_path.glob(".understudy/baseline/*/log.jsonl")]
    kept = sorted(path.name for path in scratch.glob("*checkpoint-*"))
    assert [name.startswith(".") for name in kept] == [True, False]  # one being written, one whole
    ended = baseline(tmp_path, repo)
    assert ended.returncode == 0 and "going on from step 10" in ended.stdout
    assert (tmp_path / "artifacts/baseline/weights.safetensors").read_bytes() == undisturbed
    assert [r["step"] for r in read(scratch / "log.jsonl") if r["event"] == "step"] == [10, 20, 30, 40]
    assert not list(scratch.glob(".*"))
