import pytest
import torch

from understudy.losses.feature_matching import feature_matching


def scales(*values):
    """Two scales of three maps each, of constant value; the second scale's are smaller."""
    return [
        [torch.full((1, 2, size, size), value, requires_grad=True) for value in values[3 * index : 3 * index + 3]]
        for index, size in enumerate((4, 2))
    ]


def test_differences_are_summed_over_layers_without_the_logits_and_averaged_over_scales():
    real, fake = scales(1.0, 2.0, 9.0, 0.0, 0.0, 9.0), scales(1.5, 0.0, -9.0, -1.0, 0.25, -9.0)
    assert feature_matching(real, fake).item() == pytest.approx((0.5 + 2.0 + 1.0 + 0.25) / 2)
    assert feature_matching(real, real) == 0


def test_a_map_s_elements_are_averaged():
    real, fake = [[torch.zeros(1, 1, 2, 2), torch.zeros(1)]], [[torch.tensor([[[[1.0, -3], [0, 0]]]]), torch.ones(1)]]
    assert feature_matching(real, fake).item() == 1


def test_the_real_side_learns_nothing():
    real, fake = scales(*[0.0] * 6), scales(*[1.0] * 6)
    feature_matching(real, fake).backward()
    assert all(tensor.grad is None for maps in real for tensor in maps)
    assert all(tensor.grad is not None for maps in fake for tensor in maps[:-1])
    assert fake[0][0].grad.sum().item() == pytest.approx(0.5)


def test_what_does_not_match_is_refused():
    real = scales(*[0.0] * 6)
    with pytest.raises(ValueError, match="zip"):
        feature_matching(real, real[:1])
    with pytest.raises(ValueError, match=r"\[1, 2, 4, 4\] and \[1, 2, 2, 2\]"):
        feature_matching(real, real[::-1])
