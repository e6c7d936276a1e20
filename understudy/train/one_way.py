"""One update of a translation in one direction: an adversarial game, L1 to the photo of a pair, and a teacher's terms.

pix2pix (Isola et al., equation 4) with CAT's hinge losses in place of the cross entropy; GauGAN (Park et al. 2019); and
CAT's student of a CycleGAN, which has neither a cycle nor a photo of its own and is tied to its input by its teacher.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.losses.precision import widen
from understudy.train.forward import Forward
from understudy.train.games import Game
from understudy.train.state import State
from understudy.train.update import Batch, Rates, Terms, Weights, judging, learn


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

    def __call__(self, state: State, batch: Batch, forward: Forward) -> dict[str, Tensor]:
        """The losses: `d` (when there is an adversarial term), then the generator's own."""
        output = forward(state.generator, batch.inputs, taps=self.terms.taps)
        fake, features = output if self.terms.taps else (output, {})
        d: dict[str, Tensor] = {}
        if self.weights.gan and self.game.critic_first:
            d = self._critic_step(state, batch, fake.detach(), forward)
        with judging(state.discriminator):
            losses = learn(state.optimizer_g, self._generator_losses(state, batch, fake, features, forward))
        if self.weights.gan and not self.game.critic_first:
            d = self._critic_step(state, batch, fake.detach(), forward)
        state.step += 1
        return d | losses

    def _critic_step(self, state: State, batch: Batch, fake: Tensor, forward: Forward) -> dict[str, Tensor]:
        return learn(state.optimizer_d, {"d": self.game.critic_loss(state.discriminator, batch, fake, forward)})

    def _generator_losses(
        self, state: State, batch: Batch, fake: Tensor, features: Mapping[str, Tensor], forward: Forward
    ) -> dict[str, Tensor]:
        losses = dict(self.terms(batch, widen(fake), features, forward))
        if self.weights.recon:
            losses["recon"] = self.weights.recon * F.l1_loss(widen(fake), batch.photos)
        if self.weights.gan:
            losses |= self.game.generator_losses(state.discriminator, batch, fake, self.weights.gan, forward)
        return losses
