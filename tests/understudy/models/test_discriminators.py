import pytest
import torch
from torch import nn

from understudy.models.discriminators import PatchDiscriminator


@pytest.mark.parametrize(
    ("channels", "ndf", "norm", "params"), [(3, 64, "instance_affine", 2_766_529), (6, 128, "batch", 11_042_433)]
)
def test_the_literature_s_discriminators(channels, ndf, norm, params):
    with torch.device("meta"):
        net = PatchDiscriminator(channels, ndf, norm)
        logits = net(torch.empty(1, channels, 256, 256))
    assert sum(weight.numel() for weight in net.parameters()) == params
    assert logits.shape == (1, 1, 30, 30)


def test_a_logit_sees_seventy_pixels():
    net = (
        PatchDiscriminator(2, 4, "batch").double().eval()
    )  # running statistics: no pixel sees all others through a norm
    x = torch.randn(1, 2, 128, 128, dtype=torch.float64, requires_grad=True)
    logits = net(x)
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == 70


def test_the_norm_decides_over_biases():
    biases = {
        norm: [m.bias is not None for m in PatchDiscriminator(3, 4, norm).modules() if isinstance(m, nn.Conv2d)]
        for norm in ("batch", "instance_affine")
    }
    assert biases == {"batch": [True, False, False, False, True], "instance_affine": [True] * 5}
