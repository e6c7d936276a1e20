"""On a GPU with little memory: a step that does not fit, and the images at once that do."""

import functools
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.fitting import gpu_memory, largest_fitting
from understudy.memory import ran_out
from understudy.models.initialise import init_normal
from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX
from understudy.train.one_way import OneWay
from understudy.train.state import State
from understudy.train.update import Batch, NoTerms, Weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
IMAGES = 64


@pytest.fixture
def small_gpu() -> Iterator[None]:
    """A part of the memory that holds a step on a quarter of the images and not on all at once."""
    before = torch.cuda.get_per_process_memory_fraction()
    attempt(state(), IMAGES // 4)  # sets the libraries up
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    attempt(state(), IMAGES // 4)
    most = 1.5 * torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(most / torch.cuda.mem_get_info()[1])
    yield
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(before)


def state() -> State:
    arch = inception(32, 9, 6, "instance_affine", "zero", "rgb", 3, (64, 64))
    players = []
    for seed, net in enumerate((architecture.build(arch), PIX2PIX.critic(arch, 32))):
        init_normal(net, torch.Generator().manual_seed(seed))
        players.append(net.cuda())
    return State.start(*players, nn.ModuleDict(), 1e-3)


def attempt(trained: State, at_once: int) -> None:
    """A step on all images, so many of them at once."""
    random = torch.Generator().manual_seed(2)
    images = [torch.rand(IMAGES, 3, 64, 64, generator=random).cuda() * 2 - 1 for _ in range(2)]
    OneWay(PIX2PIX, Weights(1.0, 100.0), NoTerms())(trained, Batch(*images), Forward(images=at_once))


def test_what_fits_is_found_after_a_step_that_did_not(small_gpu):
    limit, trained = gpu_memory(), state()
    assert limit < torch.cuda.mem_get_info()[1]
    try:
        attempt(trained, IMAGES)
    except RuntimeError as error:  # torch's own OutOfMemoryError, or what cuDNN makes of it
        assert ran_out(error), error
    else:
        pytest.fail("the step fitted")
    halves = [IMAGES // 2, IMAGES // 4, IMAGES // 8, IMAGES // 16]
    found = largest_fitting(halves, functools.partial(attempt, trained), torch.device("cuda"))
    assert found is not None and IMAGES // 16 <= found <= IMAGES // 4
    torch.cuda.reset_peak_memory_stats()
    attempt(trained, found)
    assert torch.cuda.max_memory_reserved() <= limit
