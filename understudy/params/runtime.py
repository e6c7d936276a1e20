from dataclasses import dataclass
from typing import Literal

Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Runtime:
    """Where and how training computes. Threads are taken from OMP_NUM_THREADS: they belong to a machine, not a run.

    device: `auto` takes the first GPU, or the CPU where there is none. precision: of the networks' forward and backward
    passes, `auto` bf16 where the device has instructions for it; weights, losses and optimisers are always fp32.
    """

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "bf16", "fp32"]
