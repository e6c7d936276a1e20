from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Runtime:
    """Where and how training computes. Threads are taken from OMP_NUM_THREADS: they belong to a machine, not a run.

    device: `auto` takes the first GPU, or the CPU where there is none. precision: of the networks' forward and backward
    passes; weights, losses and optimisers are fp32 in either case.
    """

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["bf16", "fp32"]
