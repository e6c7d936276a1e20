"""The memory that a training will take: measured in the steps that its plan times, and estimated before them.

The estimate is for the case that the kernel kills the process in its first whole step: then nobody can try any more.
"""

import contextlib
import ctypes
import gc
from dataclasses import dataclass
from pathlib import Path

import torch

from understudy import memory, processes
from understudy.fitting import gpu_memory
from understudy.memory import in_gigabytes
from understudy.train.load import Attempt, Load

SAFE = 0.9  # of the memory, that an estimate may fill
GROWTH, LARGEST = 4, 8  # from images to more of them, up to this part of a batch


def forget_peak(place: torch.device) -> bool:
    """Have `peak` tell of what comes from now on; whether that is possible here."""
    if place.type != "cuda":
        return memory.forget_peak()
    torch.cuda.reset_peak_memory_stats()
    return True


def peak(place: torch.device) -> str:
    """The most memory that this process took of a device at once, and how much it may take, in words."""
    if place.type == "cuda":
        most, of = torch.cuda.max_memory_reserved(), gpu_memory()
    else:
        most, of = memory.peak(), memory.room()
    return f"{in_gigabytes(most)} of {in_gigabytes(of)}"


def leave_note(load: Load, attempt: Attempt, folder: Path) -> None:
    """Estimate, on the CPU, what the images at once take, and leave advice for when the kernel kills this process.

    Nobody can try when it has. Memory grows with the images of a batch, whose outputs are kept, and with those at
    once: steps on a few images tell by how much, on more as long as these fit by the estimate before. Where the kernel
    does not count a process's memory, or an allocator refuses it, there is no note.
    """
    images = 2 if load.whole else 1
    if load.images < 4 * images or not memory.forget_peak():
        return
    room = memory.room() / processes.size()
    with contextlib.suppress(RuntimeError, MemoryError):  # the step that comes after tells of it
        attempt(images, images)  # the first one pays for set-up
        _estimate(load, attempt, folder, images, room)


def _estimate(load: Load, attempt: Attempt, folder: Path, images: int, room: float) -> None:
    """Notes, the first one by steps on `images` and on twice as many. room: bytes."""
    while True:
        one = _peak(attempt, images, images)
        parted = one if load.whole else _peak(attempt, 2 * images, images)
        two = _peak(attempt, 2 * images, 2 * images)
        estimate = Estimate(one, parted, two, images)
        memory.leave_note(folder, _advice(load, estimate, room))
        images *= GROWTH
        if LARGEST * images > load.images or estimate(2 * images, 2 * images) > SAFE * room:
            return


@dataclass(frozen=True)
class Estimate:
    """From peaks of memory with `least` images, with twice as many in two parts, and with twice as many at once."""

    one: int
    parted: int
    two: int
    least: int

    def __call__(self, images: int, at_once: int) -> float:
        """Bytes with so many images of a batch, so many of them at once."""
        kept = max(self.parted - self.one, 0) / self.least  # of each image of a batch
        active = max(self.two - self.parted, 0) / self.least  # of each of those at once
        return self.one + kept * (images - self.least) + active * (at_once - self.least)


def _advice(load: Load, estimate: Estimate, room: float) -> str:
    """room: bytes."""
    of = f"of {in_gigabytes(room)}"
    now = estimate(load.images, load.at_once)
    if now <= SAFE * room:
        return f"its steps should have fit ({in_gigabytes(now)} by estimate, {of}): end what else takes memory"
    for count in load.smaller():
        if (needed := estimate(load.batch(count), count)) <= SAFE * room:
            return f"{load.key(count)} should fit ({in_gigabytes(needed)} by estimate, {of}) {load.price}"
    return f"by estimate one image at once does not fit either; {load.otherwise}"


def _peak(attempt: Attempt, images: int, at_once: int) -> int:
    """Bytes."""
    gc.collect()
    _release()
    memory.forget_peak()
    attempt(images, at_once)
    return memory.peak()


def _release() -> None:
    """Have C's library give back what it keeps of memory that was freed, where it can."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
