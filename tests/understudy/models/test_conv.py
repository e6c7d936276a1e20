import pytest
import torch
from torch import nn

from understudy.models.conv import Conv2d


@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize(("kernel", "stride", "groups"), [(5, 1, 1), (7, 1, 1), (3, 2, 1), (3, 2, 42)])
def test_a_kernel_larger_than_its_map_has_the_gradient_of_32_bits(kernel, stride, groups, side):
    """Weights that meet nothing but padding have none; torch's own, in bf16, leaves there what the memory held."""
    torch.manual_seed(0)
    ours = Conv2d(42, 42, kernel, stride, kernel // 2, groups=groups).to(memory_format=torch.channels_last)
    plain = nn.Conv2d(42, 42, kernel, stride, kernel // 2, groups=groups)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(8, 42, side, side)
    for _ in range(3):
        rubbish = [torch.full((500_000,), torch.nan, dtype=kind) for kind in (torch.float32, torch.bfloat16)]
        del rubbish
        ours.zero_grad()
        plain.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = ours(x.to(memory_format=torch.channels_last))
        weights = torch.randn_like(made, dtype=torch.float32)
        (made.float() * weights).sum().backward()
        (plain(x) * weights).sum().backward()
        assert ours.weight.grad is not None and plain.weight.grad is not None
        assert not ours.weight.grad[plain.weight.grad == 0].any()
        scale = plain.weight.grad.abs().max()
        torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=0.05, atol=0.02 * float(scale))


def test_it_computes_what_torch_s_does():
    torch.manual_seed(0)
    ours, plain = Conv2d(3, 4, 5, padding=2), nn.Conv2d(3, 4, 5, padding=2)
    plain.load_state_dict(ours.state_dict())
    for side in (1, 2, 9):
        x = torch.randn(2, 3, side, side)
        assert torch.equal(ours(x), plain(x)) and torch.equal(ours.eval()(x), plain(x))
        ours.train()
