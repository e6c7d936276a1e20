"""One optimiser step of paired translation: a hinge GAN on (input, image) pairs, L1 to the photo, and a teacher's
terms.

Isola et al., pix2pix, equation 4, with CAT's hinge losses (released code) in place of the cross entropy. The
discriminator moves first, and its loss is halved.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.losses.adversarial import hinge_discriminator, hinge_generator
from understudy.train.state import State

Autocast = Callable[[], AbstractContextManager]


@dataclass(frozen=True)
class Batch:
    """inputs: encoded label maps [B, C, H, W]. photos: [B, 3, H, W] in [-1, 1]."""

    inputs: Tensor
    photos: Tensor


@dataclass(frozen=True)
class Weights:
    """Of the adversarial term and of the L1 term. A weight of 0 turns its term off."""

    gan: float
    recon: float


class Terms(Protocol):
    """What a teacher adds to the generator's loss."""

    taps: tuple[str, ...]  # the generator's features that the terms look at

    def to(self, device: torch.device) -> object:
        """Move what the terms hold, in place."""
        ...

    def __call__(
        self, batch: Batch, fake: Tensor, features: Mapping[str, Tensor], autocast: Autocast
    ) -> dict[str, Tensor]:
        """Weighted scalar losses by name. autocast: in what precision further networks run."""
        ...


class NoTerms:
    """Training without a teacher."""

    taps: tuple[str, ...] = ()

    def to(self, device: torch.device) -> None:
        pass

    def __call__(
        self, batch: Batch, fake: Tensor, features: Mapping[str, Tensor], autocast: Autocast
    ) -> dict[str, Tensor]:
        return {}


def step(state: State, batch: Batch, weights: Weights, terms: Terms, autocast: Autocast) -> dict[str, Tensor]:
    """Update both players once, at the learning rate that the optimisers hold.

    Returns the losses by name, weighted as they were optimised and detached: `d` (when there is an adversarial term),
    then the generator's own.
    """
    with autocast():
        output = state.generator(batch.inputs, taps=terms.taps)
    fake, features = output if terms.taps else (output, {})
    losses = {}
    if weights.gan:
        losses["d"] = _discriminator_step(state, batch, fake.detach(), autocast)
    losses |= _generator_step(state, batch, fake, features, weights, terms, autocast)
    state.step += 1
    return losses


def _discriminator_step(state: State, batch: Batch, fake: Tensor, autocast: Autocast) -> Tensor:
    # Two passes and not one over both: batch statistics of real and of fake pairs stay apart, as in the papers' code.
    with autocast():
        real_logits = state.discriminator(torch.cat([batch.inputs, batch.photos], dim=1))  # [B, C + 3, H, W]
        fake_logits = state.discriminator(torch.cat([batch.inputs, fake], dim=1))
    loss = 0.5 * hinge_discriminator(real_logits.float(), fake_logits.float())
    state.optimizer_d.zero_grad(set_to_none=True)
    loss.backward()
    state.optimizer_d.step()
    return loss.detach()


def _generator_step(
    state: State,
    batch: Batch,
    fake: Tensor,
    features: Mapping[str, Tensor],
    weights: Weights,
    terms: Terms,
    autocast: Autocast,
) -> dict[str, Tensor]:
    losses = dict(terms(batch, fake.float(), features, autocast))
    if weights.recon:
        losses["recon"] = weights.recon * F.l1_loss(fake.float(), batch.photos)
    if weights.gan:
        # The discriminator judges here and does not learn: its weights must not collect a gradient.
        state.discriminator.requires_grad_(False)
        with autocast():
            logits = state.discriminator(torch.cat([batch.inputs, fake], dim=1))
        state.discriminator.requires_grad_(True)
        losses["gan"] = weights.gan * hinge_generator(logits.float())
    state.optimizer_g.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    state.optimizer_g.step()
    return {name: loss.detach() for name, loss in losses.items()}
