import os
import subprocess

import pytest
from verbs import SCRIPT, understudy

from understudy.errors import BAD_INPUT, OK
from understudy.locks import held


def save(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


@pytest.fixture
def scratch(tmp_path):
    for name in (
        "teacher/aa/checkpoint-1-a.safetensors",
        "distill/bb/.checkpoint-1-a.77.safetensors",
        "distill/bb/log.jsonl",
    ):
        save(tmp_path / ".understudy" / name, 1_500_000)
    save(tmp_path / "artifacts/teacher/weights.safetensors", 10)
    return tmp_path


def left(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_clean_removes_checkpoints_and_keeps_logs_and_results(scratch, capsys):
    code, out, _ = understudy(capsys, "clean", "--root", scratch, "--yes")
    assert code == OK and "3.0 MB  in all" in out and "teacher/aa/checkpoint-1-a.safetensors" in out
    assert left(scratch) == [".understudy/distill/bb/log.jsonl", "artifacts/teacher/weights.safetensors"]
    assert "nothing to remove" in understudy(capsys, "clean", "--root", scratch, "--yes")[1]


def test_clean_all_removes_the_scratch_folder(scratch, capsys):
    code, out, _ = understudy(capsys, "clean", "--root", scratch, "--all", "--yes")
    assert code == OK and "4.5 MB  in all" in out
    assert left(scratch) == ["artifacts/teacher/weights.safetensors"]


@pytest.mark.parametrize("more", [[], ["--all"]])
@pytest.mark.parametrize("root", ["seeds/street-scenes/seed-0", "long/street-scenes"])
def test_clean_keeps_the_roots_of_benchmarks_and_long_tests(root, more, scratch, capsys):
    kept = [f".understudy/{root}/.understudy/teacher/aa/checkpoint-1-a.safetensors",
            f".understudy/{root}/artifacts/teacher/weights.safetensors"]  # fmt: skip
    for name in kept:
        save(scratch / name, 10)
    code, out, _ = understudy(capsys, "clean", "--root", scratch, "--yes", *more)
    assert code == OK and "street-scenes" not in out
    assert set(kept) <= set(left(scratch)) and ".understudy/teacher/aa/checkpoint-1-a.safetensors" not in left(scratch)


@pytest.mark.parametrize("more", [[], ["--all"]])
@pytest.mark.parametrize("name", ["teacher/lock", "teacher/aa/tracker.lock"])
def test_clean_waits_for_whoever_works_there_and_leaves_locks(name, more, scratch, capsys):
    before = left(scratch)
    lock = scratch / ".understudy" / name
    with held(lock):
        code, _, err = understudy(capsys, "clean", "--root", scratch, "--yes", *more)
    assert code == BAD_INPUT and f"{lock}: process {os.getpid()} works here" in err
    assert set(before) <= set(left(scratch))
    assert understudy(capsys, "clean", "--root", scratch, "--yes", *more)[0] == OK
    assert lock.exists() == (more == [] or name == "teacher/lock")


def test_clean_removes_nothing_when_there_is_nobody_to_ask(scratch):
    before = left(scratch)
    done = subprocess.run([*SCRIPT, "clean", "--root", str(scratch)], stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == BAD_INPUT and b"give --yes" in done.stderr
    assert left(scratch) == before


def test_an_input_that_cannot_be_read_is_one_line(tmp_path, capsys):
    (tmp_path / ".understudy").write_text("not a folder")
    code, _, err = understudy(capsys, "clean", "--all", "--yes", "--root", tmp_path)
    assert code == BAD_INPUT and err.startswith("understudy clean: ") and err.count("\n") == 1
