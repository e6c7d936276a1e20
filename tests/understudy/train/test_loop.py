"""A training that is killed and started again ends bit by bit where an uninterrupted one does."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_training
import torch

from understudy.errors import PREEMPTED, UserError
from understudy.train import log, loop
from understudy.train.loop import Best

STEPS = 40


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(folder: Path, **options: object) -> tuple[Best, loop.Task]:
    task = tiny_training.task(**options)  # type: ignore[arg-type]
    return loop.train(task, folder, lambda _: None), task


def records(folder: Path) -> list[dict]:
    """The log without what a clock wrote, and without the notes of who opened it."""
    return [{k: v for k, v in record.items() if k not in ("time", "rate")}
            for record in log.read(folder / "log.jsonl") if record["event"] != "open"]  # fmt: skip


def same(some: tuple[Best, loop.Task], other: tuple[Best, loop.Task]) -> bool:
    theirs = other[1].state.outcome()
    return (
        some[0].step == other[0].step
        and some[0].metrics == other[0].metrics
        and all(torch.equal(value, other[0].weights[name]) for name, value in some[0].weights.items())
        and all(torch.equal(value, theirs[name]) for name, value in some[1].state.outcome().items())
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training and its folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    return (*train(folder, steps=STEPS), folder)


def test_an_uninterrupted_training_logs_every_record_once(whole):
    best, task, folder = whole
    seen = [(record["event"], record["step"]) for record in records(folder)]
    assert seen == [("step", 10), ("step", 20), ("validation", 20), ("image", 20),
                    ("step", 30), ("step", 40), ("validation", 40), ("image", 40)]  # fmt: skip
    assert task.state.step == STEPS and best.step in (20, 40)
    scores = {r["step"]: r["metrics"]["score"] for r in records(folder) if r["event"] == "validation"}
    assert best.score == min(scores.values()) == scores[best.step]
    assert (folder / "samples/000040.png").read_text() == "40"
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("stop", [3, 10, 27, 39])
def test_resumed_after_an_exception_it_is_the_uninterrupted_one(stop, whole, tmp_path, capsys):
    best, task, folder = whole
    with pytest.raises(KeyError):
        train(tmp_path, steps=STEPS, stop_before=stop)
    resumed = train(tmp_path, steps=STEPS)
    saved = stop // 10 * 10
    assert (f"going on from step {saved}" in capsys.readouterr().out) == (saved > 0)
    assert same(resumed, (best, task))
    assert records(tmp_path) == records(folder)


def test_a_finished_training_is_not_trained_again(whole, tmp_path, capsys):
    train(tmp_path, steps=STEPS)
    assert "before" not in capsys.readouterr().out
    again = train(tmp_path, steps=STEPS, stop_before=0)  # no step is taken
    assert same(again, whole[:2]) and records(tmp_path) == records(whole[2])
    assert "tiny: was trained to its end before" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_resumed_after_a_signal_it_is_the_uninterrupted_one(number, whole, tmp_path, repo):
    command = [sys.executable, str(Path(__file__).with_name("tiny_training.py")), str(tmp_path), str(STEPS)]
    place = {**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "0.1"], env=place, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(log.read(tmp_path / "log.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)  # in the middle of a record
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == PREEMPTED
    assert f"{number.name}: saving" in errors and "with its state saved; run it again to go on" in errors
    stopped = records(tmp_path)
    assert stopped and stopped == records(whole[2])[: len(stopped)] and stopped[-1]["step"] < STEPS
    assert same(train(tmp_path, steps=STEPS), whole[:2])
    assert records(tmp_path) == records(whole[2])


@pytest.mark.parametrize(("damaged", "resumed_at"), [(1, 10), (2, 0)])
def test_after_a_damaged_checkpoint_it_is_the_uninterrupted_one_too(damaged, resumed_at, whole, tmp_path, capsys):
    with pytest.raises(KeyError):
        train(tmp_path, steps=STEPS, stop_before=25)
    for path in sorted(tmp_path.glob("checkpoint-*"))[-damaged:]:
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
    resumed = train(tmp_path, steps=STEPS)
    printed = capsys.readouterr()
    assert printed.err.count("damaged checkpoint removed") == damaged
    assert (f"going on from step {resumed_at}" in printed.out) == (resumed_at > 0)
    assert same(resumed, whole[:2]) and records(tmp_path) == records(whole[2])


def test_a_log_that_was_damaged_is_written_anew_from_the_checkpoint(whole, tmp_path):
    with pytest.raises(KeyError):
        train(tmp_path, steps=STEPS, stop_before=35)
    lines = (tmp_path / "log.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "log.jsonl").write_text("".join([*lines[:1], "\0\0\0\n", *lines[3:]]))
    assert same(train(tmp_path, steps=STEPS), whole[:2])
    assert records(tmp_path) == records(whole[2])


def test_a_signal_after_the_last_record_still_stops_the_stage(whole, tmp_path):
    task = tiny_training.task(STEPS)
    healthy = task.step

    def step(index):
        if index == STEPS - 2:
            signal.raise_signal(signal.SIGINT)
        return healthy(index)

    with pytest.raises(UserError, match=f"stopped at step {STEPS} with its state saved") as caught:
        loop.train(replace(task, step=step), tmp_path, lambda _: None)
    assert caught.value.code == PREEMPTED
    assert same(train(tmp_path, steps=STEPS, stop_before=0), whole[:2])


def test_a_loss_that_is_not_finite_stops_the_training_and_saves_nothing(tmp_path):
    task = tiny_training.task(STEPS)
    healthy = task.step

    def step(index):
        losses = healthy(index)
        return {**losses, "recon": losses["recon"] * torch.nan} if index == 13 else losses

    with pytest.raises(UserError, match="tiny: the loss recon is not finite at step 20; lower the learning rate"):
        loop.train(replace(task, step=step), tmp_path, lambda _: None)
    assert [r["step"] for r in records(tmp_path)] == [10]
    assert loop.checkpoint.load(tmp_path).step == 10


def test_a_score_that_is_not_finite_stops_the_training(tmp_path):
    task = replace(tiny_training.task(STEPS), validate=lambda: {"score": float("nan")})
    with pytest.raises(UserError, match="tiny: the validation score is nan at step 20"):
        loop.train(task, tmp_path, lambda _: None)


def test_the_best_is_kept_when_later_ones_are_worse(tmp_path):
    task = tiny_training.task(60)
    scores = iter([3.0, 1.0, 2.0])
    kept = []

    def validate():
        kept.append({name: value.clone() for name, value in task.state.average.state_dict().items()})
        return {"score": next(scores), "other": 5.0}

    best = loop.train(replace(task, validate=validate), tmp_path, lambda _: None)
    assert (best.step, best.score, best.metrics) == (40, 1.0, {"score": 1.0, "other": 5.0})
    assert all(torch.equal(value, kept[1][name]) for name, value in best.weights.items())
    assert any(not torch.equal(value, kept[2][name]) for name, value in best.weights.items())


def test_signals_are_handled_as_before_once_training_ended(whole, tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    train(tmp_path, steps=20)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_progress_tells_rate_and_time_left(capsys):
    progress = loop.Progress("tiny", tiny_training.task(40).schedule, 10)
    progress.started -= 5.0
    assert progress.rate(20) == pytest.approx(4.0, abs=0.1)  # 10 steps of 2 images in 5 s
    progress.show(20, {"d": 1.0})
    assert capsys.readouterr().out == ""  # not yet
    progress.shown -= 60
    progress.show(20, {"d": 1.23456})
    assert capsys.readouterr().out == "tiny: 20/40  4 images/s  0:10 left  d 1.23\n"
