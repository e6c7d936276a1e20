"""What is read from a root: locks that other processes hold, logs in every condition, statuses that are out of date."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import yaml

from understudy.errors import BAD_INPUT, OK, PREEMPTED, UserError
from understudy.files import write_json
from understudy.train.log import Log
from understudy.watch.stages import STAGES, Watcher

HOLD = """
import sys
from pathlib import Path
from understudy.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def running(root, stage):
    """Another process that holds the stage's lock; yields its id."""
    lock = root / ".understudy" / stage / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate(timeout=20)


def log_of(root, stage="teacher", fingerprint="aa", steps=40):
    log = Log(root / ".understudy" / stage / fingerprint / "log.jsonl", 0)
    log.write("start", stage=stage, steps=steps, params={"judge": {"batch_size": 16}})
    return log


def status(root, stage, code, reason):
    write_json(root / ".understudy/status" / f"{stage}.json", {"stage": stage, "code": code, "reason": reason})


def look(root, stage="teacher"):
    (found,) = [entry for entry in Watcher(root).look() if entry.name == stage]
    return found


def set_time(path, seconds_ago):
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


def test_the_stages_are_those_of_the_graph(repo):
    assert list(STAGES) == list(yaml.safe_load((repo / "dvc.yaml").read_text())["stages"])


def test_nothing_here_says_what_to_do(tmp_path):
    log_of(tmp_path / ".understudy/long/street-scenes")  # of a test: another repository
    with pytest.raises(UserError, match=r"nothing has been trained here.*`understudy run`"):
        Watcher(tmp_path).look()
    log_of(tmp_path / ".understudy/seeds/long/seed-0")
    with pytest.raises(UserError, match=r"watch one of .*seeds/long/seed-0 with --root"):
        Watcher(tmp_path).look()


def test_only_a_stage_whose_lock_is_held_runs(tmp_path):
    with running(tmp_path, "teacher") as pid:
        assert (look(tmp_path).state, look(tmp_path).pid, look(tmp_path).training) == ("running", pid, None)
        log_of(tmp_path).write("step", step=10, losses={"d": 1.0}, rate=3.0)
        found = look(tmp_path)
        assert found.state == "running" and found.training.step == 10 and found.training.batch_size == 16
        assert look(tmp_path, "distill").state == "not started"
    found = look(tmp_path)
    assert found.state == "stopped" and "killed" in found.reason and found.training.step == 10


def test_a_status_tells_how_the_last_run_ended(tmp_path):
    log = log_of(tmp_path)
    log.write("step", step=40, losses={}, rate=1.0)
    status(tmp_path, "teacher", BAD_INPUT, "the loss is not finite")
    assert (look(tmp_path).state, look(tmp_path).reason) == ("failed", "the loss is not finite")
    status(tmp_path, "teacher", PREEMPTED, "stopped at step 40")
    assert look(tmp_path).state == "stopped"
    log.write("end", metrics={})
    status(tmp_path, "teacher", OK, "done")
    assert look(tmp_path).state == "finished" and look(tmp_path).training.ended
    assert look(tmp_path, "prepare").state == "not started"


def test_a_status_older_than_the_last_run_says_nothing_about_it(tmp_path):
    status(tmp_path, "prune", BAD_INPUT, "an old mistake")
    set_time(tmp_path / ".understudy/status/prune.json", 60)
    assert look(tmp_path, "prune").state == "failed"
    with running(tmp_path, "prune"):
        assert look(tmp_path, "prune").state == "running"
    assert look(tmp_path, "prune").state == "stopped" and "old" not in look(tmp_path, "prune").reason


def test_a_log_of_an_earlier_run_is_not_taken_for_the_current_one(tmp_path):
    log = log_of(tmp_path)
    log.write("end", metrics={})
    set_time(log.path, 60)
    with running(tmp_path, "teacher"):
        assert look(tmp_path).training is None
        newer = log_of(tmp_path, fingerprint="bb", steps=80)
        assert look(tmp_path).training.steps == 80 and look(tmp_path).training.folder == newer.path.parent


def test_a_status_that_cannot_be_read_is_none(tmp_path):
    log_of(tmp_path).write("end", metrics={})
    path = tmp_path / ".understudy/status/teacher.json"
    path.parent.mkdir()
    for text in ('{"code": 2, "rea', "[]", '{"code": "x", "reason": ""}'):
        path.write_text(text)
        assert look(tmp_path).state == "finished"


def test_a_log_in_any_condition_is_no_error(tmp_path):
    watcher = Watcher(tmp_path)

    def training():
        return watcher.look()[STAGES.index("teacher")].training

    log = log_of(tmp_path)
    for step in (10, 20, 30):
        log.write("step", step=step, losses={"d": 1.0}, rate=2.0)
    log.write("validation", step=30, metrics={"miou_segmenter_noresize_val": 0.5})
    assert (training().step, len(training().validations)) == (30, 1)
    # Half a record, the rest of it later.
    with log.path.open("a") as stream:
        stream.write('{"event": "step", "st')
    assert training().step == 30
    with log.path.open("a") as stream:
        stream.write('ep": 40, "losses": {}, "rate": 2.0}\n')
    assert training().step == 40
    # A resumed training drops what comes again.
    Log(log.path, resumed_at=20)
    assert (training().step, training().validations) == (20, [])
    log.path.write_text("")
    assert training().step in (0, 20)
    log.path.write_text("garbage\n" + "\x00" * 50)
    training()
    log.path.unlink()
    with pytest.raises(UserError):  # that was all there was
        watcher.look()
