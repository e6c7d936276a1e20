"""Training the judge on real images: what a plain recipe needs to be strong within about a minute on two CPU cores.

AdamW under a one-cycle learning rate (Smith and Topin 2018), averaged weights, and augmentation (lessons.py). Kept are
the weights best on the validation split.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from understudy import runtime as machine
from understudy.averaging import trail
from understudy.data.prepared import DatasetInfo, Split, class_plane, to_unit
from understudy.errors import OUT_OF_MEMORY, UserError
from understudy.fitting import TRIED, largest_fitting
from understudy.memory import ran_out, wording
from understudy.metrics.judge import build_judge
from understudy.metrics.judge_net import JudgeNet, average
from understudy.metrics.lessons import LESSONS, Lesson
from understudy.metrics.protocol import LEARNT
from understudy.params.judge import Judge
from understudy.params.runtime import Runtime

AVERAGING = 0.98  # decay of the averaged weights a step: a memory of some 50 steps
WARM_UP = 0.2  # share of the steps in which the learning rate rises
VALIDATIONS = 8  # scores on the validation split, evenly spaced
WEIGHT_DECAY = 0.02
TIMED_STEPS = 3


@dataclass(frozen=True)
class Progress:
    """One line of progress. step: of steps. loss: of that step. rate: photos a second. left: seconds to the end.

    score: by protocol.LEARNT, of real images of the validation split, at the steps that score it.
    """

    step: int
    steps: int
    loss: float
    rate: float
    left: float
    score: float | None


class Training:
    """A judge in training on one split, from its seed: `step` by step."""

    def __init__(self, split: Split, info: DatasetInfo, params: Judge, runtime: Runtime) -> None:
        """Seeds torch's global generators with `params.seed`."""
        machine.seed_everything(params.seed)
        self.split, self.info, self.params, self.runtime = split, info, params, runtime
        self.device = machine.device(runtime)
        self.net = build_judge(info, params.width).to(self.device).train()
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), params.learning_rate, weight_decay=WEIGHT_DECAY)
        self.lesson: Lesson = LESSONS[info.kind](split, info, params.batch_size, params.seed)

    def step(self, index: int) -> float:
        """Take step `index` (from 0) and return its loss.

        Raises UserError when that is not finite, and, naming a batch that fits, when there is too little memory.
        """
        try:
            return self._step(index)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            said = wording(error)
        raise self._too_much(said)  # out here, where the failed step's tensors are gone with its traceback

    def _step(self, index: int) -> float:
        photos, targets = self.lesson.batch(index)
        for group in self.optimizer.param_groups:
            group["lr"] = self.params.learning_rate * one_cycle(index, self.params.steps)
        self.optimizer.zero_grad()
        with machine.autocast(self.runtime, self.device):
            output = self.net(photos.to(self.device))
        loss = self.lesson.loss(output.float(), targets.to(self.device))
        if not math.isfinite(value := loss.item()):
            raise UserError(f"judge: the loss is {value} at step {index + 1}; lower judge.learning_rate")
        loss.backward()
        self.optimizer.step()
        trail(self.average, self.net, 1 - min(AVERAGING, (1 + index) / (10 + index)))
        return value

    def _too_much(self, said: str) -> UserError:
        """What to tell of a step that ran out of memory: a batch that fits, tried with judges that are thrown away.

        said: by the allocator.
        """
        batch = self.params.batch_size

        def attempt(count: int) -> None:
            tried = Training(self.split, self.info, replace(self.params, batch_size=count), self.runtime)
            for index in range(2):
                tried._step(index)

        halves = [batch >> halvings for halvings in range(1, batch.bit_length())]
        count = largest_fitting(halves, attempt, self.device)
        advice = "set a smaller judge.width or smaller images (prepare.size), or give it more memory"
        if count is not None:
            advice = f"judge.batch_size: {count} fits ({TRIED}) and trains another judge"
        return UserError(f"out of memory with judge.batch_size: {batch} ({said}); {advice}", OUT_OF_MEMORY)


def train(
    training: Split,
    validation: Split,
    info: DatasetInfo,
    params: Judge,
    runtime: Runtime,
    progress: Callable[[Progress], None],
) -> tuple[JudgeNet, float]:
    """The judge that is best on `validation` by protocol.LEARNT, in eval mode on the CPU, and that score.

    Deterministic for a seed, a machine and a number of threads. Raises UserError when training diverges or runs out of
    memory.
    """
    judge = Training(training, info, params, runtime)
    validate_at = {params.steps * (index + 1) // VALIDATIONS for index in range(VALIDATIONS)}
    sign = 1 if LEARNT[info.kind].better == "higher" else -1
    best, best_state, started = -math.inf, judge.net.state_dict(), time.monotonic()
    for step in range(params.steps):
        loss = judge.step(step)
        score = None
        if step + 1 in validate_at:
            score = validate(judge.average, validation, params.batch_size, runtime)
            if sign * score >= best:  # of equals the later: shares of few images are often equal
                best, best_state = sign * score, copy.deepcopy(judge.average.state_dict())
        seconds = (time.monotonic() - started) / (step + 1)
        progress(Progress(step + 1, params.steps, loss, params.batch_size / seconds,
                          seconds * (params.steps - step - 1), score))  # fmt: skip
    # The loss of a step says nothing of the update that follows it.
    if not all(value.isfinite().all() for value in best_state.values()):
        raise UserError("judge: weights that are not finite after training; lower judge.learning_rate")
    judge.average.load_state_dict(best_state)
    return judge.average.cpu(), sign * best


def seconds_per_step(split: Split, info: DatasetInfo, params: Judge, runtime: Runtime) -> float:
    """What a step of training takes here, by a few steps of a judge that is thrown away."""
    judge = Training(split, info, params, runtime)
    judge.step(0)  # the first step pays for set-up
    started = time.perf_counter()
    for index in range(TIMED_STEPS):
        judge.step(index)
    return (time.perf_counter() - started) / TIMED_STEPS


def one_cycle(step: int, steps: int) -> float:
    """Factor on the learning rate at `step` (from 0): a linear rise to 1, then half a cosine that ends just above 0."""
    rise = max(round(WARM_UP * steps), 1)
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1))) / 2


@torch.no_grad()
def validate(net: JudgeNet, split: Split, batch_size: int, runtime: Runtime) -> float:
    """`protocol.LEARNT` of `net` on real images, in the precision of training."""
    if net.kind != "unpaired":
        return net.statistics[LEARNT[net.kind].name](_read(net, split.photos, split.inputs, batch_size, runtime)).item()
    taken, mistaken = (average(_read(net, images, images, batch_size, runtime))
                       for images in (split.photos, split.inputs))  # fmt: skip
    return (taken + 1 - mistaken).item() / 2


def _read(net: JudgeNet, photos: Tensor, inputs: Tensor, batch_size: int, runtime: Runtime) -> Tensor:
    """The sum of what the judge reads in photos uint8 [N, 3, H, W] of these inputs."""
    device = next(net.parameters()).device
    readings = []
    for some, truth in zip(photos.split(batch_size), class_plane(inputs).split(batch_size), strict=True):
        with machine.autocast(runtime, device):
            output = net(to_unit(some).to(device))
        readings.append(net.read(output, truth).sum(0))
    return torch.stack(readings).sum(0)
