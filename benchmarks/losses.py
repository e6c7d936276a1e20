"""What the distillation losses cost, forward and backward, as ratios measured in one run.

Makes a Markdown table: time and peak memory of each exact shortcut against the larger matrices that it avoids. About
six minutes on one busy CPU core, nearly all of it in the slow forms; the naive relation matrices at 128 px take 7 GiB.
Linux only.

    python -m benchmarks.losses
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.losses.kernel_alignment import by_features, by_samples
from understudy.losses.semantic_relation import relation_loss

MAX_REPEATS, ENOUGH_SECONDS = 10, 3.0

Loss = Callable[[Tensor, Tensor], Tensor]


def naive_relation(teacher: Tensor, student: Tensor, norm: str) -> Tensor:
    """l1n or l2n of one image [1, C, H, W] from its N x N matrices."""
    theirs, ours = (F.normalize(maps.flatten(2)[0].T @ maps.flatten(2)[0], dim=1) for maps in (teacher, student))
    difference, n = ours - theirs, len(ours)  # [N, N]
    return difference.abs().sum() / n**1.5 if norm == "l1" else difference.square().sum() / (2 * n)


def pixels(maps: Tensor) -> Tensor:
    return maps.movedim(1, -1).flatten(0, 2)  # [B, C, H, W] -> [BHW, C]


def images(maps: Tensor) -> Tensor:
    return maps.flatten(1)  # [B, C, H, W] -> [B, CHW]


@dataclass(frozen=True)
class Comparison:
    """shapes: images, teacher's and student's channels. sizes: sides of the maps, where the slow form fits too."""

    name: str
    fast: Loss
    slow: Loss
    shapes: tuple[int, int, int]
    sizes: tuple[int, ...] = (32, 64, 128)


COMPARISONS = (
    Comparison(
        "relation l2: Gram / naive",
        lambda t, s: relation_loss(t, s, "l2", False),
        lambda t, s: naive_relation(t, s, "l2"),
        (1, 256, 64),
    ),
    Comparison(
        "relation l1: row blocks / naive",
        lambda t, s: relation_loss(t, s, "l1", False),
        lambda t, s: naive_relation(t, s, "l1"),
        (1, 256, 64),
    ),
    Comparison(
        "global alignment: by features / by samples",
        lambda t, s: by_features(pixels(t), pixels(s)),
        lambda t, s: by_samples(pixels(t), pixels(s)),
        (1, 256, 64),
    ),
    Comparison(
        "batch alignment: by samples / by features",
        lambda t, s: by_samples(images(t), images(s)),
        lambda t, s: by_features(images(t), images(s)),
        (8, 4, 2),
        (32, 64),  # at 128 px the slow form needs matrices of 16 GiB
    ),
)


@dataclass(frozen=True)
class Measured:
    """seconds: the fastest of a few runs. mib: peak memory above what held the inputs."""

    seconds: float
    mib: float


def peak_mib() -> float:
    """This process' own peak; getrusage would start at its parent's."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found
    return int(found[1]) / 1024


def measure(loss: Loss, shapes: tuple[int, int, int], size: int) -> Measured:
    """Time and memory of one forward and backward pass, the student's gradient included."""
    batch, teacher_width, student_width = shapes
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(batch, teacher_width, size, size, generator=generator)
    student = torch.randn(batch, student_width, size, size, generator=generator).requires_grad_()
    loss(teacher[..., :4, :4], student[..., :4, :4]).backward()  # libraries start up
    before, seconds = peak_mib(), list[float]()
    while len(seconds) < MAX_REPEATS and sum(seconds) < ENOUGH_SECONDS:
        start = time.perf_counter()
        torch.autograd.grad(loss(teacher, student), student)
        seconds.append(time.perf_counter() - start)
    return Measured(min(seconds), peak_mib() - before)


def measure_apart(index: int, side: str, size: int) -> Measured:
    """`measure` in a process of its own, whose peak is that of this one measurement."""
    command = [sys.executable, "-m", "benchmarks.losses", str(index), side, str(size)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(result.stdout))


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s) of {os.cpu_count()} cores, float32\n")
    print("| fast / slow | map | images, channels | time | ratio | peak MiB | ratio |")
    print("|---|---|---|---|---|---|---|")
    for index, comparison in enumerate(COMPARISONS):
        batch, teacher, student = comparison.shapes
        for size in comparison.sizes:
            fast, slow = (measure_apart(index, side, size) for side in ("fast", "slow"))
            print(
                f"| {comparison.name} | {size} px | {batch}, {teacher} and {student} "
                f"| {fast.seconds * 1e3:.1f} / {slow.seconds * 1e3:.1f} ms | {slow.seconds / fast.seconds:.1f}x faster "
                f"| {fast.mib:.0f} / {slow.mib:.0f} | {slow.mib / max(fast.mib, 1):.1f}x less |",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) == 4:
        chosen = COMPARISONS[int(sys.argv[1])]
        print(json.dumps(vars(measure(getattr(chosen, sys.argv[2]), chosen.shapes, int(sys.argv[3])))))
    else:
        main()
