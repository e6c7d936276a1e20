"""Seed, device, precision and determinism: the only place that touches torch's globals."""

import contextlib
import os
import platform
import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Literal

import numpy as np
import torch

from understudy.errors import UserError
from understudy.params.runtime import Precision, Runtime


def determinism(place: torch.device) -> Literal["bitwise", "seeded"]:
    """What the same seed gives on the same machine with the same number of threads.

    bitwise: the same bytes. seeded: the same draws, while some of a GPU's kernels may add up in another order.
    """
    return "bitwise" if place.type == "cpu" else "seeded"


def device(runtime: Runtime) -> torch.device:
    """The device that `runtime` names. Raises UserError when it asks for a GPU that is not there."""
    available = torch.cuda.is_available()
    if runtime.device == "cuda" and not available:
        raise UserError("runtime.device: cuda was asked for and torch sees no GPU; set it to auto or cpu")
    return torch.device("cuda" if available and runtime.device != "cpu" else "cpu")


def precision(runtime: Runtime, place: torch.device) -> Precision:
    """What networks compute in on a device: `auto` is bf16 where that is faster, which is where it is not emulated."""
    if runtime.precision == "auto":
        return "bf16" if _computes_in_bf16(place) else "fp32"
    return runtime.precision


def _computes_in_bf16(place: torch.device) -> bool:
    """Whether a device has instructions for it. A CPU without any convolves some ten times slower in bf16 than in fp32,
    and torch does not say so: it counts an x86 with the plain AVX-512 among those that can."""
    if place.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported()
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(runtime: Runtime, place: torch.device) -> AbstractContextManager:
    """The context in which networks run forward: bf16 autocast, or nothing for fp32."""
    if precision(runtime, place) == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(place.type, torch.bfloat16)


def seed_everything(seed: int) -> None:
    """Seed every generator that training may draw from, and make torch choose deterministic kernels.

    seed: in [0, 2**31). Kernels without a deterministic form warn once and run; on the CPU there are none in use here.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from numpy's global generator must repeat too
    torch.manual_seed(seed)
    # cuBLAS reads this when its first handle is made; without it matrix products may differ between runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def random_state() -> dict[str, torch.Tensor]:
    """The states of torch's generators, by device: what a layer that draws depends on beside its inputs."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random_state(states: Mapping[str, torch.Tensor]) -> None:
    """Take over what `random_state()` gave, on this machine or one with another number of GPUs."""
    torch.set_rng_state(states["cpu"])
    for index in range(torch.cuda.device_count()):
        if (state := states.get(f"cuda{index}")) is not None:
            torch.cuda.set_rng_state(state, index)


def threads() -> int:
    """Threads that one operation may use: OMP_NUM_THREADS, or as many as there are cores."""
    return torch.get_num_threads()
