"""One update of a translation in one direction: an adversarial game, L1 to the photo of a pair, and a teacher's terms.

pix2pix (Isola et al., equation 4) with CAT's hinge losses in place of the cross entropy; GauGAN (Park et al. 2019); and
CAT's student of a CycleGAN, which has neither a cycle nor a photo of its own and is tied to its input by its teacher.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.train.games import Game
from understudy.train.state import State
from understudy.train.update import Autocast, Batch, Rates, Terms, Weights


@dataclass(frozen=True)
class OneWay:
    """game: the discriminator's part. With weights.recon the batch must be of pairs."""

    game: Game
    weights: Weights
    terms: Terms

    @property
    def rates(self) -> Rates:
        return self.game.rates

    def to(self, device: torch.device) -> None:
        self.game.to(device)
        self.terms.to(device)

    def shipped(self, generator: nn.Module) -> nn.Module:
        return generator

    def __call__(self, state: State, batch: Batch, autocast: Autocast) -> dict[str, Tensor]:
        """The losses: `d` (when there is an adversarial term), then the generator's own."""
        with autocast():
            output = state.generator(batch.inputs, taps=self.terms.taps)
        fake, features = output if self.terms.taps else (output, {})
        d: dict[str, Tensor] = {}
        if self.weights.gan and self.game.critic_first:
            d["d"] = self._critic_step(state, batch, fake.detach(), autocast)
        losses = self._generator_step(state, batch, fake, features, autocast)
        if self.weights.gan and not self.game.critic_first:
            d["d"] = self._critic_step(state, batch, fake.detach(), autocast)
        state.step += 1
        return d | losses

    def _critic_step(self, state: State, batch: Batch, fake: Tensor, autocast: Autocast) -> Tensor:
        loss = self.game.critic_loss(state.discriminator, batch, fake, autocast)
        state.optimizer_d.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer_d.step()
        return loss.detach()

    def _generator_step(
        self, state: State, batch: Batch, fake: Tensor, features: Mapping[str, Tensor], autocast: Autocast
    ) -> dict[str, Tensor]:
        losses = dict(self.terms(batch, fake.float(), features, autocast))
        if self.weights.recon:
            losses["recon"] = self.weights.recon * F.l1_loss(fake.float(), batch.photos)
        if self.weights.gan:
            # The discriminator judges here and does not learn: its weights must not collect a gradient.
            state.discriminator.requires_grad_(False)
            losses |= self.game.generator_losses(state.discriminator, batch, fake, self.weights.gan, autocast)
            state.discriminator.requires_grad_(True)
        state.optimizer_g.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        state.optimizer_g.step()
        return {name: loss.detach() for name, loss in losses.items()}
