"""How much at once fits into memory, found by trying it when there was too little."""

import gc
from collections.abc import Callable, Iterable

import torch

from understudy import memory

RESERVE = 0.1  # of the memory that is free before a try, that it must leave
TRIED = f"tried, with {RESERVE:.0%} to spare"


def largest_fitting(counts: Iterable[int], attempt: Callable[[int], object], place: torch.device) -> int | None:
    """The first of `counts` that can be attempted in the memory of a device; None when none can.

    attempt: a step of training on so many images, whose outcome nobody keeps; taken twice, since what optimisers keep
    is there from the first one on. What failed before must be let go of.
    """
    return next((count for count in counts if _fits(attempt, count, place)), None)


def _fits(attempt: Callable[[int], object], count: int, place: torch.device) -> bool:
    gc.collect()
    if place.type == "cuda":
        torch.cuda.empty_cache()
    try:
        spare = torch.empty(int(RESERVE * _left(place)), dtype=torch.uint8, device=place)
        for _ in range(2):
            attempt(count)
        del spare
    except (RuntimeError, MemoryError):  # short of memory, a library fails in many words
        return False
    return True


def _left(place: torch.device) -> int:
    """Bytes that the allocator of a device may still give; 0 where it would never refuse."""
    if place.type == "cuda":
        return gpu_memory() - torch.cuda.memory_reserved()
    return memory.addresses_left() or 0


def gpu_memory() -> int:
    """Bytes of the GPU's memory that this process may take, those that it has included."""
    free, total = torch.cuda.mem_get_info()
    mine = total * torch.cuda.get_per_process_memory_fraction()
    return int(min(mine, free + torch.cuda.memory_reserved()))
