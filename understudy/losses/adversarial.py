"""The losses of an adversarial pair: hinge (Lim and Ye, Geometric GAN, 2017), in the form of CAT's released code, and
least squares (Mao et al., LSGAN, 2017), CycleGAN's.

The hinge over several scales, for GauGAN's discriminator, is averaged (Park et al. 2019).

Neither is halved here: pix2pix halves its discriminator's loss and GauGAN does not, so the factor belongs to the step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean(relu(1 - D(real))) + mean(relu(1 + D(fake))), a scalar >= 0.

    real, fake: logits of any shape; detach the image that `fake` judges. 0 once reals score >= 1 and fakes <= -1.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """-mean(D(fake)), an unbounded scalar. fake: logits of any shape."""
    return -fake.mean()


def hinge_discriminator_scales(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """The mean of `hinge_discriminator` over scales, a scalar >= 0. A scale of few logits counts like any other.

    real, fake: logits by scale; detach the image that `fake` judges.
    """
    pairs = zip(real, fake, strict=True)
    return torch.stack([hinge_discriminator(theirs, ours) for theirs, ours in pairs]).mean()


def hinge_generator_scales(fake: Sequence[Tensor]) -> Tensor:
    """The mean of `hinge_generator` over scales, an unbounded scalar. fake: logits by scale."""
    return torch.stack([hinge_generator(logits) for logits in fake]).mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean((D(real) - 1)^2) + mean(D(fake)^2), a scalar >= 0 (Mao et al. 2017, equation 9, doubled).

    real, fake: logits of any shape; detach the image that `fake` judges. 0 once reals score 1 and fakes 0.
    """
    return (real - 1).square().mean() + fake.square().mean()


def least_squares_generator(fake: Tensor) -> Tensor:
    """mean((D(fake) - 1)^2), a scalar >= 0. fake: logits of any shape."""
    return (fake - 1).square().mean()
