import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from understudy.params.runtime import Runtime
from understudy.runtime import autocast, device, precision, seed_everything

CPU = torch.device("cpu")


@pytest.fixture
def globals_restored():
    deterministic, warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, state = torch.backends.cudnn.benchmark, torch.get_rng_state()
    yield
    torch.use_deterministic_algorithms(deterministic, warn_only=warn)
    torch.backends.cudnn.benchmark = benchmark
    torch.set_rng_state(state)


def test_the_device_is_the_one_asked_for():
    assert device(Runtime("cpu", "fp32")) == CPU
    assert device(Runtime("auto", "fp32")).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_precision_is_that_of_products_and_weights_stay_float32():
    net, x = torch.nn.Linear(3, 3), torch.rand(2, 3)
    with autocast(Runtime("cpu", "bf16"), CPU):
        assert net(x).dtype == torch.bfloat16
    with autocast(Runtime("cpu", "fp32"), CPU):
        assert net(x).dtype == torch.float32
    assert net.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("machine", "avx512_bf16", "onednn", "found"),
    [
        ("x86_64", True, True, "bf16"),
        ("x86_64", False, True, "fp32"),  # plain AVX-512, where oneDNN emulates it
        ("AMD64", False, False, "fp32"),
        ("aarch64", False, True, "bf16"),
        ("arm64", False, False, "fp32"),
    ],
)
def test_a_cpu_computes_in_bf16_where_it_has_instructions_for_it(machine, avx512_bf16, onednn, found, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr("torch.ops.mkldnn._is_mkldnn_bf16_supported", lambda: onednn, raising=False)
    assert precision(Runtime("cpu", "auto"), CPU) == found
    assert [precision(Runtime("cpu", asked), CPU) for asked in ("bf16", "fp32")] == ["bf16", "fp32"]
    net, x = torch.nn.Linear(3, 3), torch.rand(2, 3)
    with autocast(Runtime("cpu", "auto"), CPU):
        assert net(x).dtype == {"bf16": torch.bfloat16, "fp32": torch.float32}[found]


@pytest.mark.slow  # torch imports its compiler to be made deterministic
def test_a_seed_repeats_every_generator(globals_restored):
    def drawn() -> tuple[float, float, float]:
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002 - the global one is tested

    seed_everything(3)
    first = drawn()
    seed_everything(4)
    assert all(a != b for a, b in zip(first, drawn(), strict=True))
    seed_everything(3)
    assert drawn() == first
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


# In a process of its own: it hides the GPU where there is one, and nothing has touched its globals yet.
FRESH = """
import torch
before = torch.get_rng_state(), torch.get_num_threads()
from understudy.errors import UserError
from understudy.params.runtime import Runtime
from understudy.runtime import device, threads
assert torch.equal(before[0], torch.get_rng_state()) and before[1] == torch.get_num_threads() == threads() == 1
assert not torch.are_deterministic_algorithms_enabled()
try:
    device(Runtime("cuda", "bf16"))
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_importing_touches_nothing_and_a_gpu_that_is_not_there_is_named():
    place = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", FRESH], env=place, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("runtime.device: cuda was asked for")
