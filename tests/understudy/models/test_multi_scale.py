import pytest
import torch
from torch import nn
from torch.nn import functional as F

from understudy.models.multi_scale import MultiScaleDiscriminator


def test_the_literature_s_discriminator():
    with torch.device("meta"):
        net = MultiScaleDiscriminator(39, 64)
        maps = net(torch.empty(1, 39, 256, 512))
    assert sum(weight.numel() for weight in net.parameters()) == 5_601_410
    assert [[tuple(value.shape[1:]) for value in scale] for scale in maps] == [
        [(64, 129, 257), (128, 65, 129), (256, 33, 65), (512, 34, 66), (1, 35, 67)],
        [(64, 65, 129), (128, 33, 65), (256, 17, 33), (512, 18, 34), (1, 19, 35)],
    ]


def test_the_smallest_image_that_both_scales_can_norm():
    net = MultiScaleDiscriminator(2, 3)
    assert [scale[-1].shape for scale in net(torch.randn(1, 2, 3, 3))] == [(1, 1, 4, 4), (1, 1, 4, 4)]
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        net(torch.randn(1, 2, 2, 2))


def test_the_second_scale_sees_the_mean_of_what_is_there():
    net = MultiScaleDiscriminator(2, 3).eval()
    x = torch.randn(1, 2, 32, 48)
    kernel = torch.ones(2, 1, 3, 3)
    there = F.conv2d(torch.ones_like(x), kernel, stride=2, padding=1, groups=2)
    half = F.conv2d(x, kernel, stride=2, padding=1, groups=2) / there  # at a border less than 9 pixels
    for ours, expected in zip(net(x)[1], net.scales[1](half), strict=True):
        assert torch.allclose(ours, expected, atol=1e-5)


def test_the_middle_convolutions_have_spectral_norm_one_after_power_iterations():
    net = MultiScaleDiscriminator(2, 4)
    for _ in range(100):
        net(torch.randn(1, 2, 16, 16))
    net.eval()
    for layer in list(net.scales[0].layers)[1:-1]:
        assert torch.linalg.matrix_norm(layer.conv.weight.flatten(1), 2).item() < 1.01
        assert torch.linalg.matrix_norm(layer.conv.weight.flatten(1), 2).item() > 0.99
        assert layer.conv.bias is None and isinstance(layer.norm, nn.InstanceNorm2d) and not layer.norm.affine
    assert net.scales[0].layers[0][0].bias is not None and net.scales[0].layers[-1].bias is not None
