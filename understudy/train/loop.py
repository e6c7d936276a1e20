"""The one training loop: batches, steps, validation, averaged weights, checkpoints, progress. It knows no loss."""

import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from understudy import processes
from understudy.errors import PREEMPTED, UserError
from understudy.params.schedule import LOG_EVERY, Schedule
from understudy.runtime import random_state, restore_random_state
from understudy.train import checkpoint, log
from understudy.train.exchange import averaged, from_first, one_says
from understudy.train.log import Log
from understudy.train.state import State, below, set_learning_rate, update_average

PROGRESS_SECONDS = 10.0  # between two lines on the terminal


@dataclass(frozen=True)
class Task:
    """What the loop is to repeat.

    step(index): take step `index` (from 0) and return its losses, scalars by name.
    validate(): score the averaged weights on the validation split; `selection` is the key that the best has lowest.
    sample(path): draw a grid of translations of validation images.
    """

    name: str
    state: State
    schedule: Schedule
    step: Callable[[int], Mapping[str, Tensor]]
    validate: Callable[[], Mapping[str, float]]
    selection: str
    sample: Callable[[Path], None]


@dataclass
class Best:
    """The averaged weights with the lowest validation score so far."""

    score: float = float("inf")
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


def train(task: Task, folder: Path, log_start: Callable[[Log], None]) -> Best:
    """Run the task to its last step, from its last checkpoint if there is one, and return the best weights.

    folder: scratch for checkpoint, log and samples. log_start: called once with the open log.
    SIGTERM, SIGINT and SIGHUP end training within a few steps with its state saved: UserError with code PREEMPTED.
    Of several processes the first one writes and validates, and has the best weights, and all stop when one is told to.
    """
    state, schedule, leads = task.state, task.schedule, processes.leads()
    best = _resume(task, folder)
    records = None
    if leads:
        records = Log(folder / log.NAME, resumed_at=state.step)
        log_start(records)
    progress = Progress(task.name, schedule, state.step)
    window: list[Mapping[str, Tensor]] = []
    with _Signals() as signals:
        while state.step < schedule.steps:
            set_learning_rate(state, schedule)
            window.append(task.step(state.step))
            update_average(state, schedule.ema_decay)
            if state.step % LOG_EVERY == 0 or state.step == schedule.steps:
                losses = _mean(window, task.name, state.step)
                window.clear()
                if records:
                    records.write("step", step=state.step, losses=losses, rate=progress.rate(state.step))
                progress.show(state.step, losses)
            if records and (state.step % schedule.validate_every == 0 or state.step == schedule.steps):
                best = _validate(task, records, folder, best)
            # Stopping waits for the end of a log record too, so that a restarted run averages over the same steps.
            ended = state.step == schedule.steps
            stopping = (state.step % LOG_EVERY == 0 or ended) and one_says(signals.received)
            if leads and (stopping or ended or state.step % schedule.checkpoint_every == 0):
                _save(task, folder, best)
            if stopping:
                raise UserError(f"stopped at step {state.step} with its state saved; run it again to go on", PREEMPTED)
    return best


def _validate(task: Task, records: Log, folder: Path, best: Best) -> Best:
    metrics = dict(task.validate())
    step = task.state.step
    if not math.isfinite(metrics[task.selection]):  # no score would ever be lower than NaN
        raise UserError(
            f"{task.name}: the validation score is {metrics[task.selection]} at step {step}; lower the learning rate"
        )
    records.write("validation", step=step, metrics=metrics)
    picture = f"samples/{step:06d}.png"
    task.sample(folder / picture)
    records.write("image", step=step, path=picture)
    if metrics[task.selection] >= best.score:
        return best
    weights = {name: value.clone() for name, value in task.state.average.state_dict().items()}
    return Best(metrics[task.selection], step, metrics, weights)


def _mean(window: list[Mapping[str, Tensor]], name: str, step: int) -> dict[str, float]:
    means = averaged({key: float(torch.stack([losses[key].float() for losses in window]).mean()) for key in window[0]})
    if bad := [key for key, value in means.items() if not math.isfinite(value)]:
        raise UserError(
            f"{name}: the loss {', '.join(bad)} is not finite at step {step}; lower the learning rate or its weight"
        )
    return means


def _save(task: Task, folder: Path, best: Best) -> None:
    # The log goes with the weights it tells of: one that is damaged, or behind after a crash, is written anew.
    records = [record for record in log.read(folder / log.NAME) if record["event"] != "end"]
    checkpoint.save(folder, content(task.state, best, records, finished=task.state.step == task.schedule.steps))


def content(
    state: State, best: Best, records: Sequence[Mapping[str, Any]], finished: bool = False
) -> checkpoint.Checkpoint:
    """Everything that the next step depends on; of a finished training, only what its outputs are made of."""
    tensors = {f"state.{key}": value for key, value in (state.outcome() if finished else state.tensors()).items()}
    tensors |= {f"best.{key}": value for key, value in best.weights.items()}
    tensors |= {f"random.{key}": value for key, value in random_state().items()}
    notes: dict[str, Any] = {"best_step": best.step, "best_metrics": best.metrics, "records": records}
    if best.weights:
        notes["best_score"] = best.score
    return checkpoint.Checkpoint(state.step, tensors, notes)


def _resume(task: Task, folder: Path) -> Best:
    """Take up the last checkpoint, if there is one: the first process reads it, and gives the others their state."""
    saved = checkpoint.load(folder) if processes.leads() else None
    read = None
    if saved is not None:
        read = {name: tensor for name, tensor in saved.tensors.items() if not name.startswith("best.")}
        read["step"] = torch.tensor(saved.step)
    tensors = from_first(read)
    if tensors is None:
        return Best()
    step = int(tensors["step"])
    if step == task.schedule.steps:
        task.state.restore_outcome(below(tensors, "state"), step)
        print(f"{task.name}: was trained to its end before; taking that (`understudy clean` forgets it)", flush=True)
    else:
        task.state.restore(below(tensors, "state"), step)
        print(f"{task.name}: going on from step {step}", flush=True)
    restore_random_state(below(tensors, "random"))
    if saved is None:
        return Best()
    notes = saved.notes
    log.write_records(folder / log.NAME, notes["records"])
    weights = below(saved.tensors, "best")
    return Best(notes.get("best_score", float("inf")), notes["best_step"], notes["best_metrics"], weights)


class Progress:
    """Lines on the terminal: how far, how fast, how long still, and the losses."""

    def __init__(self, name: str, schedule: Schedule, first: int) -> None:
        self.name, self.schedule, self.first = name, schedule, first
        self.started = self.shown = time.monotonic()

    def rate(self, step: int) -> float:
        """Images a second since training was started or taken up again."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        return round((step - self.first) * self.schedule.batch_size / seconds, 1)

    def show(self, step: int, losses: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self.shown < PROGRESS_SECONDS and step < self.schedule.steps:
            return
        self.shown = now
        left = (self.schedule.steps - step) * (now - self.started) / max(step - self.first, 1)
        values = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
        print(f"{self.name}: {step}/{self.schedule.steps}  {self.rate(step):.0f} images/s  "
              f"{left // 60:.0f}:{left % 60:02.0f} left  {values}", flush=True)  # fmt: skip


class _Signals:
    """Remembers SIGTERM, SIGINT and SIGHUP instead of dying of them, so that the state can be saved between two steps.

    One that is ignored (nohup ignores SIGHUP) stays so.
    """

    def __init__(self) -> None:
        self.received = False

    def __enter__(self) -> "_Signals":
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        self.before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = True
        print(f"{signal.Signals(number).name}: saving within a few steps", file=sys.stderr, flush=True)
