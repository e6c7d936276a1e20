"""Gradients do not depend on how images lie in memory, nor on how many are in a batch."""

import pytest
import torch
from torch import Tensor, nn

from understudy.arch import families as architecture
from understudy.arch.inception import inception
from understudy.models.discriminators import PatchDiscriminator
from understudy.models.instance_norm import InstanceNorm2d
from understudy.models.multi_scale import MultiScaleDiscriminator

NETWORKS = {
    "norm": lambda: InstanceNorm2d(5, affine=True),
    "norm without scales": lambda: nn.Sequential(nn.Conv2d(5, 4, 3), InstanceNorm2d(4), nn.ReLU(inplace=True)),
    "generator": lambda: architecture.build(inception(4, 3, 4, "instance", "zero", "onehot", 5, (32, 32))),
    "discriminator": lambda: PatchDiscriminator(5, 4, "instance_affine"),
    "discriminator of scales": lambda: MultiScaleDiscriminator(5, 4).eval(),  # its spectral norms count passes
}


def gradients(net: nn.Module, images: Tensor, layout: torch.memory_format) -> dict[str, Tensor]:
    net.zero_grad()
    net.to(memory_format=layout)
    images = images.detach().clone(memory_format=layout).requires_grad_()
    outputs = net(images)
    maps = outputs if isinstance(outputs, Tensor) else torch.cat([one.flatten() for scale in outputs for one in scale])
    # Weights of its own for each number, so that no gradient is zero.
    (maps.flatten() * torch.linspace(0, 1, maps.numel(), dtype=maps.dtype)).sum().backward()
    return {"images": images.grad, **{name: p.grad.clone() for name, p in net.named_parameters()}}  # type: ignore[dict-item]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_the_same_in_either_layout(name, count):
    torch.manual_seed(0)
    net = NETWORKS[name]().double()
    images = torch.rand(count, 5, 32, 32, dtype=torch.float64)
    expected = gradients(net, images, torch.contiguous_format)
    for key, value in gradients(net, images, torch.channels_last).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-8, atol=1e-8)
