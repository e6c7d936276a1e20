"""On a GPU: the same numbers as on the CPU, and a training step in bf16. Needs what training needs, and pytest."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.losses.kernel_alignment import kernel_alignment
from understudy.losses.semantic_relation import relation_loss
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.initialise import init_normal
from understudy.params.runtime import Runtime
from understudy.runtime import autocast, device, seed_everything
from understudy.train.forward import Forward
from understudy.train.games import PIX2PIX
from understudy.train.one_way import OneWay
from understudy.train.state import State, update_average
from understudy.train.update import Batch, NoTerms, Weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def drawn(net: nn.Module) -> nn.Module:
    init_normal(net, torch.Generator().manual_seed(0))
    return net


def small_generator() -> nn.Module:
    arch = inception(
        ngf=12, blocks=3, reduction=6, norm="batch", padding="zero", encoding="onehot", input_channels=5, size=(32, 32)
    )
    return drawn(architecture.build(arch))


GENERATORS: dict[str, Callable[[], nn.Module]] = {
    "inception": small_generator,
    "resnet": lambda: drawn(architecture.build(resnet(8, 3, "instance", "reflect", "onehot", 5, (64, 64)))),
    "unet": lambda: drawn(architecture.build(unet(8, 4, "batch", "onehot", 5, (64, 64)))),
    "spade": lambda: drawn(architecture.build(spade(8, 6, "onehot", 5, (64, 64)))),
}


@pytest.mark.parametrize("family", GENERATORS)
def test_a_generator_gives_the_same_image_and_gradient(family):
    """In float64, since a convolution's TF32 errs by as much as a mistake may; by the batch's own statistics, since by
    those that an untrained batch norm has kept every image is grey."""
    net = GENERATORS[family]().double()
    x = torch.randn(2, 5, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for place in ("cpu", "cuda"):
        given = x.to(place, copy=True).requires_grad_()  # a leaf of its own
        image = net.to(place)(given)
        image.square().sum().backward()
        found.append((image.detach().cpu(), given.grad.cpu()))
    (expected, slope), (image, other) = found
    assert expected.std() > 0.01 and slope.abs().max() > 1e-3
    torch.testing.assert_close(image, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(other, slope, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("form", ["global_centred", "release"])
def test_kernel_alignment_is_the_same(form):
    x, y = torch.randn(4, 16, 8, 8), torch.randn(4, 6, 8, 8)
    assert kernel_alignment(x.cuda(), y.cuda(), form).item() == pytest.approx(
        kernel_alignment(x, y, form).item(), abs=1e-4
    )


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_relation_loss_is_the_same(norm):
    x, y = torch.randn(2, 16, 8, 8), torch.randn(2, 6, 8, 8)
    assert relation_loss(x.cuda(), y.cuda(), norm, True).item() == pytest.approx(
        relation_loss(x, y, norm, True).item(), abs=1e-4
    )


def trained(steps: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Reconstruction losses, and the averaged weights, of a short training on one batch."""
    seed_everything(0)
    runtime = Runtime("cuda", "bf16")
    place = device(runtime)
    critic = PatchDiscriminator(8, 8, "batch")
    init_normal(critic, torch.Generator().manual_seed(1))
    state = State.start(small_generator().to(place), critic.to(place), nn.ModuleDict(), 1e-3)
    labels = torch.randint(5, (4, 32, 32), generator=torch.Generator().manual_seed(2))
    inputs = nn.functional.one_hot(labels, 5).permute(0, 3, 1, 2).float()
    batch = Batch(inputs.to(place), (labels / 2 - 1)[:, None].expand(-1, 3, -1, -1).to(place))
    losses = []
    for _ in range(steps):
        done = OneWay(PIX2PIX, Weights(1.0, 100.0), NoTerms())(
            state, batch, Forward(functools.partial(autocast, runtime, place))
        )
        update_average(state, 0.9)
        losses.append(done["recon"].item())
    return losses, {name: value.cpu() for name, value in state.average.state_dict().items()}


def test_training_in_bf16_learns():
    losses, _ = trained(60)
    assert losses[-1] < 0.5 * losses[0]


def test_the_same_seed_gives_the_same_weights():
    first, second = trained(10)[1], trained(10)[1]
    assert all(torch.equal(first[name], second[name]) for name in first)
