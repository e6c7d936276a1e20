"""The discriminator's part of each family of objectives: what it is shown, what both players lose, how fast they learn.

pix2pix: a PatchGAN on (input, image), hinge losses, the discriminator's halved (Isola et al.; CAT's released code).
cyclegan: one on the image alone, least squares, halved (Zhu et al. 2017, section 4).
gaugan: PatchGANs at two scales on (input, image), hinge losses averaged over scales, and feature matching (Park et al.
2019), the discriminator learning four times as fast as the generator (TTUR, Heusel et al. 2017).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from understudy.arch.base import Arch
from understudy.losses.adversarial import (
    hinge_discriminator,
    hinge_discriminator_scales,
    hinge_generator,
    hinge_generator_scales,
    least_squares_discriminator,
    least_squares_generator,
)
from understudy.losses.feature_matching import feature_matching
from understudy.losses.precision import widen
from understudy.models.discriminators import CriticNorm, PatchDiscriminator
from understudy.models.initialise import init_normal, init_xavier
from understudy.models.multi_scale import MultiScaleDiscriminator
from understudy.params.objective import Objective
from understudy.train.forward import Forward
from understudy.train.update import Batch, Rates

if TYPE_CHECKING:
    from understudy.losses.perceptual import VggDistance

Initialise = Callable[[nn.Module, torch.Generator], None]


class Game(Protocol):
    """critic_first: whether the discriminator moves before the generator. initialise: gives a network its weights."""

    @property
    def rates(self) -> Rates: ...
    @property
    def critic_first(self) -> bool: ...
    @property
    def initialise(self) -> Initialise: ...

    def to(self, device: torch.device) -> object:
        """Move what is not trained, in place."""
        ...

    def critic(self, arch: Arch, ndf: int) -> nn.Module:
        """A discriminator of such a generator's images, with torch's default initial weights."""
        ...

    def critic_loss(self, critic: nn.Module, batch: Batch, fake: Tensor, forward: Forward) -> Tensor:
        """A scalar. fake: detached, [B, 3, H, W], of batch.inputs."""
        ...

    def generator_losses(
        self, critic: nn.Module, batch: Batch, fake: Tensor, weight: float, forward: Forward
    ) -> dict[str, Tensor]:
        """Weighted scalars by name. weight: of the adversarial one."""
        ...


@dataclass(frozen=True)
class Losses:
    """Of logits: discriminator(real, fake) and generator(fake)."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


RATES, TTUR = Rates(), Rates(generator=0.5, discriminator=2.0, betas=(0.0, 0.9))
HINGE = Losses(hinge_discriminator, hinge_generator)
LEAST_SQUARES = Losses(least_squares_discriminator, least_squares_generator)


@dataclass(frozen=True)
class PatchGame:
    """conditional: whether the discriminator sees the input beside the image."""

    losses: Losses
    conditional: bool
    rates: Rates = RATES
    critic_first: bool = True
    initialise: Initialise = init_normal

    def to(self, device: torch.device) -> None:
        pass

    def critic(self, arch: Arch, ndf: int) -> PatchDiscriminator:
        norm: CriticNorm = "batch" if arch.norm == "batch" else "instance_affine"
        inputs = arch.input_channels if self.conditional else 0
        return PatchDiscriminator(inputs + arch.output_channels, ndf, norm)

    def critic_loss(self, critic: nn.Module, batch: Batch, fake: Tensor, forward: Forward) -> Tensor:
        # Two passes and not one over both: batch statistics of real and of fake pairs stay apart, as in the papers'
        # code.
        with forward.autocast():  # around both: a weight is cast to 16 bits once
            real_logits = forward(critic, self._shown(batch, batch.photos))
            fake_logits = forward(critic, self._shown(batch, fake))
        return 0.5 * self.losses.discriminator(widen(real_logits), widen(fake_logits))

    def generator_losses(
        self, critic: nn.Module, batch: Batch, fake: Tensor, weight: float, forward: Forward
    ) -> dict[str, Tensor]:
        logits = forward(critic, self._shown(batch, fake))
        return {"gan": weight * self.losses.generator(widen(logits))}

    def _shown(self, batch: Batch, image: Tensor) -> Tensor:
        """[B, C + 3, H, W], or the image alone."""
        return torch.cat([batch.inputs, image], dim=1) if self.conditional else image


PIX2PIX, CYCLEGAN = PatchGame(HINGE, conditional=True), PatchGame(LEAST_SQUARES, conditional=False)


@dataclass(frozen=True)
class ScalesGame:
    """lambda_feature: weight of feature matching. perceptual, perceptual_weight: VGG's distance; None: no such term.

    Deliberate difference from the released code: the discriminator is shown the fake that the generator was just
    corrected for, not one translated anew.
    """

    lambda_feature: float
    perceptual: "VggDistance | None" = None
    perceptual_weight: float = 0.0
    rates: Rates = TTUR
    critic_first: bool = False
    initialise: Initialise = init_xavier

    def to(self, device: torch.device) -> None:
        if self.perceptual is not None:
            self.perceptual.to(device)

    def critic(self, arch: Arch, ndf: int) -> MultiScaleDiscriminator:
        return MultiScaleDiscriminator(arch.input_channels + arch.output_channels, ndf)

    def critic_loss(self, critic: nn.Module, batch: Batch, fake: Tensor, forward: Forward) -> Tensor:
        real, made = self._maps(critic, batch, batch.photos, forward), self._maps(critic, batch, fake, forward)
        return hinge_discriminator_scales(_logits(real), _logits(made))

    def generator_losses(
        self, critic: nn.Module, batch: Batch, fake: Tensor, weight: float, forward: Forward
    ) -> dict[str, Tensor]:
        made = self._maps(critic, batch, fake, forward)
        losses = {"gan": weight * hinge_generator_scales(_logits(made))}
        if self.lambda_feature:
            with torch.no_grad():
                real = self._maps(critic, batch, batch.photos, forward)
            losses["feature_matching"] = self.lambda_feature * feature_matching(real, made)
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual_weight * forward.whole(self.perceptual, fake, batch.photos)
        return losses

    @staticmethod
    def _maps(critic: nn.Module, batch: Batch, image: Tensor, forward: Forward) -> list[list[Tensor]]:
        # Whole: spectral norm takes one step of its power iteration in each pass.
        maps = forward.whole(critic, torch.cat([batch.inputs, image], dim=1))
        return [[widen(one) for one in scale] for scale in maps]


def _logits(maps: list[list[Tensor]]) -> list[Tensor]:
    return [scale[-1] for scale in maps]


def game(params: Objective) -> Game:
    """The game of an objective. Raises UserError when VGG's weights cannot be had."""
    if params.family == "pix2pix":
        return PIX2PIX
    if params.family == "cyclegan":
        return CYCLEGAN
    own = params.gaugan
    if own.perceptual is None:
        return ScalesGame(own.lambda_feature)
    from understudy.losses.perceptual import vgg_distance

    return ScalesGame(own.lambda_feature, vgg_distance(own.perceptual), own.perceptual.weight)
