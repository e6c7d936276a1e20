"""A stage that runs short of memory: `short_of_memory.py STAGE ...`, as `python -m stages.STAGE ...`.

The environment's SHORT_OF_MEMORY says how, and from which of its training steps on (from 0, those that its plan times
included); without it nothing runs short. `addresses WHEN MIB`: so much is left. `images WHEN MOST`: each update on more
images at once asks torch's allocator for more than there is. (Without addresses other libraries may crash, those for
connections to other processes for example.)
"""

import itertools
import os
import resource
import runpy
import sys
from pathlib import Path

import torch

from understudy.metrics.judge_training import Training
from understudy.train.one_way import OneWay
from understudy.train.session import Session

REPO = Path(__file__).parents[3]


def addresses(training: type, when: int, mebibytes: int) -> None:
    step, taken = training.step, itertools.count()  # type: ignore[attr-defined]

    def counted(self, *given):
        if next(taken) == when:
            (size,) = (
                line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize:")
            )
            most = 1024 * int(size.split()[1]) + mebibytes * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        return step(self, *given)

    training.step = counted  # type: ignore[attr-defined]


def images(training: type, when: int, most: int) -> None:
    step, update, taken, short = training.step, OneWay.__call__, itertools.count(), False  # type: ignore[attr-defined]

    def counted(self, *given):
        nonlocal short
        short = next(taken) >= when
        return step(self, *given)

    def refused(self, state, batch, forward):
        if short and min(len(batch.inputs), forward.images or len(batch.inputs)) > most:
            torch.empty(2**60, dtype=torch.uint8)
        return update(self, state, batch, forward)

    training.step, OneWay.__call__ = counted, refused  # type: ignore[attr-defined, method-assign]


if __name__ == "__main__":
    stage = sys.argv.pop(1)
    if told := os.environ.get("SHORT_OF_MEMORY"):
        how, when, left = told.split()
        {"addresses": addresses, "images": images}[how](Training if stage == "judge" else Session, int(when), int(left))
    runpy.run_path(str(REPO / f"stages/{stage}.py"), run_name="__main__")
