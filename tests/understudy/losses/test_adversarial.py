import pytest
import torch

from understudy.losses.adversarial import (
    hinge_discriminator,
    hinge_discriminator_scales,
    hinge_generator,
    hinge_generator_scales,
)


def test_a_discriminator_beyond_its_margin_loses_nothing() -> None:
    real, fake = torch.full((2, 1, 4, 4), 2.0), torch.full((2, 1, 4, 4), -2.0)
    assert hinge_discriminator(real, fake) == 0


def test_an_undecided_discriminator_loses_one_per_side_before_any_halving() -> None:
    undecided = torch.zeros(2, 1, 4, 4)
    assert hinge_discriminator(undecided, undecided) == 2
    assert hinge_generator(undecided) == 0


def test_hinge_is_one_sided_and_means_over_logits() -> None:
    real, fake = torch.tensor([0.5, 3.0]), torch.tensor([-0.25, -5.0, 1.0, -1.0])
    assert hinge_discriminator(real, fake).item() == pytest.approx(0.5 / 2 + (0.75 + 2.0) / 4)
    assert hinge_generator(fake).item() == pytest.approx(5.25 / 4)


def test_gradients_push_in_opposite_directions() -> None:
    logits = torch.zeros(3, requires_grad=True)
    (discriminator,) = torch.autograd.grad(hinge_discriminator(torch.ones(3), logits), logits)
    (generator,) = torch.autograd.grad(hinge_generator(logits), logits)
    assert torch.equal(discriminator, -generator)


def test_every_scale_counts_the_same_however_few_its_logits() -> None:
    real, fake = [torch.tensor([0.5, 3.0]), torch.tensor([2.0])], [torch.tensor([-2.0, -0.5]), torch.tensor([1.0])]
    assert hinge_discriminator_scales(real, fake).item() == pytest.approx(((0.25 + 0.25) + (0 + 2.0)) / 2)
    assert hinge_generator_scales(fake).item() == pytest.approx((1.25 - 1.0) / 2)
    with pytest.raises(ValueError, match="zip"):
        hinge_discriminator_scales(real, fake[:1])
