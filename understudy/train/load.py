"""What a training step holds in memory, and what to tell when that is more than there is."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from understudy import processes
from understudy.errors import OUT_OF_MEMORY, UserError
from understudy.fitting import TRIED, largest_fitting

WIDTHS = {"teacher": "teacher.ngf, teacher.ndf", "student": "prune.budget"}  # by section: what makes networks smaller

Attempt = Callable[[int, int], object]  # a step on so many images of a batch, so many of them at once


@dataclass(frozen=True)
class Load:
    """What a step holds at once. section: that has the schedule. images: of a batch, this process's. at_once: of them.

    whole: networks with batch norms, which must see a batch at once.
    """

    section: str
    images: int
    at_once: int
    whole: bool

    def smaller(self) -> list[int]:
        """The numbers of images at once to try: halves, down to one, or to two that norms can compare."""
        halves = [self.at_once >> halvings for halvings in range(1, self.at_once.bit_length())]
        return [count for count in halves if count > self.whole]

    def batch(self, at_once: int) -> int:
        """The images of the batch when only so many may be held."""
        return at_once if self.whole else self.images

    def key(self, at_once: int) -> str:
        """The line of params.yaml that has so many images at once."""
        if self.whole:
            return f"{self.section}.schedule.batch_size: {at_once * processes.size()}"
        return f"{self.section}.schedule.micro_batch: {at_once}"

    @property
    def price(self) -> str:
        """What that changes."""
        if self.whole:
            return "and is another training; without batch norms (teacher.norm) schedule.micro_batch would do"
        return "and computes the same"

    @property
    def otherwise(self) -> str:
        """What helps when one image at once does not fit."""
        return (f"set smaller images (prepare.size), smaller networks ({WIDTHS[self.section]}) or a smaller "
                f"{self.section}.schedule.batch_size, or give it more memory")  # fmt: skip


def too_much(load: Load, said: str, attempt: Attempt, place: torch.device) -> UserError:
    """What to tell of a step that ran out of memory. said: by the allocator. The failed step must be let go of."""
    told = f"out of memory with {load.at_once} images at once ({said})"
    if load.whole and processes.size() > 1:  # synchronised norms wait for the others, who no longer take this step
        return UserError(f"{told}; lower {load.section}.schedule.batch_size; nothing was tried", OUT_OF_MEMORY)
    count = largest_fitting(load.smaller(), lambda count: attempt(load.batch(count), count), place)
    if count is None:
        return UserError(f"{told}, and fewer did not fit either when they were tried; {load.otherwise}", OUT_OF_MEMORY)
    return UserError(f"{told}; {load.key(count)} fits ({TRIED}) {load.price}", OUT_OF_MEMORY)
