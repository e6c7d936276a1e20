import json
import subprocess
import sys
import time

import pytest

from understudy.train import log as training_log
from understudy.train.log import Log, read, start_tracker, write_curve


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "log.jsonl"


def filled(path) -> Log:
    log = Log(path, 0)
    log.write("start", stage="teacher", steps=30)
    for step in (10, 20, 30):
        log.write("step", step=step, losses={"d": 1 / step, "recon": 2.0 * step}, rate=5.0)
    log.write("validation", step=30, metrics={"kid": 0.1})
    log.write("end", metrics={"kid": 0.1})
    return log


def events(path) -> list[tuple]:
    return [(record["event"], record.get("step")) for record in read(path)]


def test_records_are_whole_lines_with_a_time(path):
    before = time.time()
    filled(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "step", "step", "step", "validation", "end"]
    assert all(before - 1 <= line["time"] <= time.time() + 1 for line in lines)
    assert lines[1]["losses"] == {"d": 0.1, "recon": 20.0}


def test_opened_at_a_step_it_drops_what_comes_after_it_and_the_end(path):
    filled(path)
    Log(path, 20)
    assert events(path) == [("start", None), ("step", 10), ("step", 20)]
    Log(path, 20).write("step", step=30)
    assert events(path) == [("start", None), ("step", 10), ("step", 20), ("step", 30)]


def test_opened_at_the_last_step_only_the_end_comes_again(path):
    filled(path)
    Log(path, 30)
    assert events(path) == [("start", None), ("step", 10), ("step", 20), ("step", 30), ("validation", 30)]


def test_started_anew_it_is_empty(path):
    filled(path)
    Log(path, 0)
    assert path.read_text() == ""


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_last_line_that_a_kill_cut_short_is_left_out(cut, path):
    filled(path)
    whole = path.read_text()
    path.write_text(whole[:-cut])
    assert len(list(read(path))) == (6 if cut == 1 else 5 if cut < len(whole.splitlines()[-1]) else 4)
    Log(path, 30).write("end")
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_curves_are_the_losses_by_step_and_the_same_for_equal_runs(path, tmp_path):
    filled(path)
    again = {"distance": ("cycle", "recon", "d"), "teaching": ("alignment",)}  # the first that there is, or none
    write_curve(path, "step", "losses", tmp_path / "curves.csv", again)
    assert (tmp_path / "curves.csv").read_text() == (
        "step,d,recon,distance\n10,0.1,20,20\n20,0.05,40,40\n30,0.0333333,60,60\n"
    )
    path.unlink()
    time.sleep(0.01)  # another time stamp
    filled(path)
    write_curve(path, "step", "losses", tmp_path / "again.csv", again)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "curves.csv").read_bytes()


def test_tracking_that_is_off_starts_nothing(path, tmp_path, monkeypatch):
    log = Log(path, 0)
    monkeypatch.setenv("UNDERSTUDY_TRACKING", "off")
    start_tracker(tmp_path, "teacher", log.path)
    monkeypatch.setenv("UNDERSTUDY_TRACKING", "on")
    monkeypatch.setattr(training_log.importlib.util, "find_spec", lambda _: None)  # where MLflow is not installed
    start_tracker(tmp_path, "teacher", log.path)
    assert [entry.name for entry in path.parent.iterdir()] == ["log.jsonl"]


def test_reading_a_log_that_is_not_there_gives_nothing(tmp_path):
    assert list(read(tmp_path / "none.jsonl")) == []


def test_a_record_is_with_the_operating_system_when_write_returns(path):
    code = (
        "import os, sys; from pathlib import Path; from understudy.train.log import Log\n"
        "Log(Path(sys.argv[1]), 0).write('step', step=1); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    assert events(path) == [("step", 1)]
