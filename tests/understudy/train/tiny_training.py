"""A real training of a tiny conditional GAN through `loop.train`, and the same as a program that can be killed.

`python tiny_training.py FOLDER [STEPS] [SECONDS_A_STEP]`
"""

import functools
import sys
import time
from pathlib import Path

import torch
from torch import nn

from understudy.data.prepared import batch_indices
from understudy.errors import UserError
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.params.schedule import Schedule
from understudy.train import loop
from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX
from understudy.train.log import Log
from understudy.train.one_way import OneWay
from understudy.train.state import State
from understudy.train.update import Batch, NoTerms, Weights

SCORE = "score"


class Tiny(nn.Module):
    """[N, 2, H, W] -> [N, 3, H, W]: with a norm's running statistics and a layer that draws, which must survive too."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(6, 3, 1)
        )

    def forward(self, x: torch.Tensor, taps: tuple[str, ...] = ()) -> torch.Tensor:
        return self.layers(x).tanh()


def task(steps: int = 40, learning_rate: float = 1e-3, pause: float = 0.0, stop_before: int | None = None) -> loop.Task:
    """stop_before: raise KeyError instead of taking this step (from 0)."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(7)
    inputs, photos = torch.rand(6, 2, 24, 24, generator=random), torch.rand(6, 3, 24, 24, generator=random) * 2 - 1
    generator, critic = Tiny(), PatchDiscriminator(5, 2, "batch")
    init_normal(generator, torch.Generator().manual_seed(1))
    init_normal(critic, torch.Generator().manual_seed(2))
    # As a session keeps them: a checkpoint must bring back the numbers, whatever the layout in memory.
    place = functools.partial(nn.Module.to, memory_format=torch.channels_last)
    state = State.start(place(generator), place(critic), nn.ModuleDict(), learning_rate)

    def step(index: int) -> dict[str, torch.Tensor]:
        if index == stop_before:
            raise KeyError("killed between two steps")
        time.sleep(pause)
        chosen, _ = batch_indices(len(inputs), 2, 3, index)
        batch = Batch(inputs[chosen], photos[chosen])
        return OneWay(PIX2PIX, Weights(1.0, 10.0), NoTerms())(state, batch, Forward())

    @torch.no_grad()
    def validate() -> dict[str, float]:
        return {SCORE: float((state.average(inputs) - photos).abs().mean())}

    def sample(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(state.step))

    schedule = Schedule(steps // 2, steps - steps // 2, 2, learning_rate, 0.9, 20, 10, None, None)
    return loop.Task("tiny", state, schedule, step, validate, SCORE, sample)


def log_start(log: Log) -> None:
    log.write("open")


def main() -> None:
    folder, steps, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    try:
        loop.train(task(steps, pause=pause), folder, log_start)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
