"""How much time the closed-form cost saves a pruning search: against building and counting a network at each step.

Both bisect over the same thresholds, to 2.6e9 legacy MACs of the 256 px, ngf 64 teacher, in one run; the
counted networks are built on the meta device, where they compute nothing, which flatters them.

Run      python -m benchmarks.prune
Takes    about ten seconds on one CPU core
Expect   milliseconds (under 0.1 s) against a second or more, and the same architecture
"""

import statistics
import time
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from understudy.arch.base import Arch
from understudy.arch.families import build
from understudy.arch.inception import inception
from understudy.prune.scores import Scores
from understudy.prune.selection import narrow
from understudy.prune.threshold import THRESHOLD

BUDGET, MIN_WIDTH, RUNS = 2.6e9, 16, 5


def counted_macs(arch: Arch) -> int:
    """Multiply-accumulates, transposed convolutions at their output size, of one forward pass of the built network."""
    macs = []

    def count(module: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        macs.append(module.weight.numel() * output.shape[-2] * output.shape[-1])

    with torch.device("meta"):
        net = build(arch)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_hook(count)
        net(torch.empty(1, arch.input_channels, *arch.size))
    return sum(macs)


def build_and_count(teacher: Arch, scores: Scores) -> Arch:
    """The search of `select`, costed by built networks."""
    thresholds = np.unique(np.concatenate(list(scores.values())))

    def narrowed(index: int) -> Arch:
        return narrow(teacher, {name: int((v > thresholds[index]).sum()) for name, v in scores.items()}, MIN_WIDTH)

    index = bisect_left(range(thresholds.size), True, key=lambda i: counted_macs(narrowed(i)) <= BUDGET)
    return narrowed(index)


def seconds(search: Callable[[], object]) -> float:
    """Median time of a search, after one that warms up."""
    search()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        search()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    teacher = inception(64, 9, 6, "batch", "reflect", "rgb", 3, (256, 256))
    random = np.random.default_rng(0)
    scores = {name: np.abs(random.normal(1, 0.3, width)) for name, width in teacher.widths().items()}
    selection = THRESHOLD.select(teacher, scores, BUDGET, "macs_legacy", MIN_WIDTH)
    if build_and_count(teacher, scores) != selection.arch:
        raise SystemExit("the two searches disagree")
    closed = seconds(lambda: THRESHOLD.select(teacher, scores, BUDGET, "macs_legacy", MIN_WIDTH))
    built = seconds(lambda: build_and_count(teacher, scores))
    print(f"closed form       {closed:9.4f} s  ({selection.evaluations} architectures costed)")
    print(f"build and count   {built:9.4f} s")
    print(f"ratio             {built / closed:9.1f}")


if __name__ == "__main__":
    main()
