"""What checkpoints cost: the time of one, on the disk for good, as a share of the training between two.

Steps and checkpoints of the shipped recipes are timed in turn in one run, so that the share means something on a noisy
machine. A checkpoint holds what the loop keeps: networks, optimisers, random states, and the best weights. What it is
written to matters: run this on the disk that training uses.

Run      python -m benchmarks.checkpoint [--params FILE ...] [--folder DIR]
Takes    about a minute on two CPU cores
Expect   less than one per cent
"""

import argparse
import copy
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.train import architectures, new_state, random_batch, terms_of
from understudy.params.base import Base
from understudy.params.distill import Distill
from understudy.params.loader import load
from understudy.params.prepare import Prepare
from understudy.params.prune import Prune
from understudy.params.runtime import Runtime
from understudy.params.student import Student
from understudy.params.teacher import Teacher
from understudy.runtime import autocast, device, seed_everything, threads
from understudy.train import checkpoint, loop
from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX
from understudy.train.one_way import OneWay
from understudy.train.state import State, update_average
from understudy.train.update import Batch, NoTerms, Weights

RUNS = 7


@dataclass(frozen=True)
class Timing:
    """Median seconds of a step and of a checkpoint, and the checkpoint's size in bytes."""

    step: float
    save: float
    size: int

    def share(self, every: int) -> float:
        """Of the time of `every` steps, what the checkpoint after them takes."""
        return self.save / (every * self.step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, nargs="+", default=sorted(Path("recipes").glob("*.yaml")))
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to write to (default: this one)")
    arguments = parser.parse_args()
    print("| recipe | network | checkpoint, MB | checkpoint, ms | step, ms | steps between two | share of the time |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for path in arguments.params:
        for network, every, timing in of_recipe(path, arguments.folder):
            print(
                f"| {path.stem} | {network} | {timing.size / 1e6:.1f} | {timing.save * 1e3:.0f} | "
                f"{timing.step * 1e3:.0f} | {every} | {timing.share(every):.2%} |", flush=True
            )  # fmt: skip
    print(f"\nthreads: {threads()}; medians of {RUNS}")


def of_recipe(path: Path, folder: Path) -> list[tuple[str, int, Timing]]:
    """Teacher and student of a parameter file: name, steps between two checkpoints, times."""
    params = load(path, (Base, Runtime, Prepare, Teacher, Prune, Student, Distill))
    seed_everything(params[Base].seed)
    place = device(params[Runtime])
    forward = Forward(functools.partial(autocast, params[Runtime], place))
    teacher, student = params[Teacher], params[Student]
    big, small = architectures(params)
    rows = []
    for name, arch, section, terms in (
        ("teacher", big, teacher, NoTerms()),
        ("student", small, student, terms_of(big, small, params[Distill], place)),
    ):
        state = new_state(arch, teacher, place, torch.channels_last)  # a student takes over its teacher's discriminator
        batch = random_batch(arch, place, section.schedule.batch_size)
        weights = Weights(section.lambda_gan, section.lambda_recon)
        batch = Batch(*(part.contiguous(memory_format=torch.channels_last) for part in (batch.inputs, batch.photos)))
        take = functools.partial(OneWay(PIX2PIX, weights, terms), state, batch, forward)
        rows.append((name, section.schedule.checkpoint_every, timed(state, take, section.schedule.ema_decay, folder)))
    return rows


def timed(state: State, take_step: Callable[[], object], ema_decay: float, folder: Path) -> Timing:
    """Step and checkpoint in turn, after one of each that warms up; the checkpoints are removed afterwards."""
    steps, saves = [], []
    best = loop.Best(0.0, 0, {}, copy.deepcopy(state.average.state_dict()))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".checkpoints-") as scratch:
        for _ in range(RUNS + 1):
            start = time.perf_counter()
            take_step()
            update_average(state, ema_decay)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            middle = time.perf_counter()
            checkpoint.save(Path(scratch), loop.content(state, best, []))
            steps.append(middle - start)
            saves.append(time.perf_counter() - middle)
        size = max(path.stat().st_size for path in Path(scratch).iterdir())
    return Timing(statistics.median(steps[1:]), statistics.median(saves[1:]), size)


if __name__ == "__main__":
    main()
