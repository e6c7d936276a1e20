"""How many images at once fit into memory, tried when there was too little of it.

A step is tried on copies of what is trained, and nothing of a try is kept.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch

from understudy import memory, processes
from understudy.errors import OUT_OF_MEMORY, UserError

RESERVE = 0.05  # of the memory, that a try must leave free
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
    for count in load.smaller():
        if _fits(lambda count=count: attempt(load.batch(count), count), place):  # type: ignore[misc]
            advice = f"{load.key(count)} fits (tried, with {RESERVE:.0%} of the memory left free) {load.price}"
            return UserError(f"{told}; {advice}", OUT_OF_MEMORY)
    return UserError(f"{told}, and one at once does not fit either; {load.otherwise}", OUT_OF_MEMORY)


def _fits(step: Callable[[], object], place: torch.device) -> bool:
    gc.collect()
    if place.type == "cuda":
        torch.cuda.empty_cache()
    try:
        free = torch.empty(int(RESERVE * memory_of(place)), dtype=torch.uint8, device=place)
        for _ in range(2):  # the optimisers' moments are there from the first on
            step()
        del free
    except (RuntimeError, MemoryError):  # short of memory a library fails in many words
        return False
    return True


def memory_of(place: torch.device) -> int:
    """Bytes that allocators may give to this process, on a GPU or on the CPU."""
    if place.type != "cuda":
        return memory.limit()
    free, total = torch.cuda.mem_get_info()
    return int(min(total * torch.cuda.get_per_process_memory_fraction(), free + torch.cuda.memory_reserved()))
