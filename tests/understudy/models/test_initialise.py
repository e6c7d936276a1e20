import math

import pytest
import torch
from torch import nn

from understudy.arch.families import build
from understudy.arch.gaugan import gaugan
from understudy.arch.spade import spade
from understudy.models.initialise import init_normal, init_xavier
from understudy.models.multi_scale import MultiScaleDiscriminator


def initialised(net, seed=5):
    init_xavier(net, torch.Generator().manual_seed(seed))
    return net


def test_xavier_s_spread_follows_from_both_fans():
    net = nn.Sequential(nn.Conv2d(40, 200, 3), nn.Conv2d(100, 100, 5, groups=100), nn.ConvTranspose2d(60, 80, 3))
    for part, fans in zip(initialised(net), ((40 * 9, 200 * 9), (25, 100 * 25), (80 * 9, 60 * 9)), strict=True):
        assert part.weight.std().item() == pytest.approx(0.02 * math.sqrt(2 / sum(fans)), rel=0.05)
        assert abs(part.weight.mean().item()) < 0.1 * part.weight.std().item()
        assert not part.bias.any()


@pytest.mark.parametrize("arch", [spade(8, 2, "onehot", 5, (64, 64)), gaugan(8, "onehot", 5, (64, 64))])
def test_norms_with_and_without_scales_and_the_same_weights_from_the_same_seed(arch):
    net, again = initialised(build(arch)), initialised(build(arch))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    scales = [part.weight for part in net.modules() if isinstance(part, nn.BatchNorm2d) and part.affine]
    if arch.has_scales:
        joined = torch.cat(scales)
        assert joined.mean().item() == pytest.approx(1, abs=0.005)
        assert joined.std().item() == pytest.approx(0.02, rel=0.1)
    assert bool(scales) == arch.has_scales


@pytest.mark.parametrize(("initialise", "std"), [(init_normal, 0.02), (init_xavier, 0.02 * math.sqrt(2 / (96 * 16)))])
def test_the_weight_under_a_spectral_norm_is_reached(initialise, std):
    net = MultiScaleDiscriminator(3, 32)
    initialise(net, torch.Generator().manual_seed(1))
    weight = net.scales[1].layers[1].conv.parametrizations.weight.original
    assert weight.std().item() == pytest.approx(std, rel=0.03)
