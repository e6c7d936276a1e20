"""One update of translation between two domains without pairs, in both directions at once (Zhu et al. 2017, CycleGAN).

Equations 1 to 3 with least squares in place of the cross entropy (section 4), the identity term of section 5.2, and for
students a teacher's terms in each direction: SRPKD's student (Li et al. 2020) is a whole small CycleGAN.

The generators move first. `main` translates inputs into photos and is what ships; `reverse` leads back. State holds
both players of each kind as a ModuleDict with these two keys, and so an image pool for each discriminator.

Deliberate difference: a batch norm's running statistics do not take in the identity term's images, which are of the
other domain and which the generator never meets once it is shipped.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.arch.base import Arch
from understudy.losses.precision import widen
from understudy.params.objective import Cyclegan
from understudy.train.division import BATCH_NORMS
from understudy.train.exchange import gathered, share
from understudy.train.forward import Forward
from understudy.train.games import CYCLEGAN
from understudy.train.pool import ImagePool
from understudy.train.state import State
from understudy.train.update import Batch, NoTerms, Rates, Terms, judging, learn

MAIN, REVERSE = "main", "reverse"


def both(main: nn.Module, reverse: nn.Module) -> nn.ModuleDict:
    """The players of one kind."""
    return nn.ModuleDict({MAIN: main, REVERSE: reverse})


def pools(size: int, arch: Arch) -> nn.ModuleDict:
    """Empty pools for the translations of such a generator and of its reverse, which is of the same architecture."""
    shape = (arch.output_channels, *arch.size)
    return both(ImagePool(size, shape), ImagePool(size, shape))


@dataclass(frozen=True)
class CycleGan:
    """lambda_gan: weight of each direction's adversarial term. terms, reverse_terms: a teacher's, by direction."""

    params: Cyclegan
    lambda_gan: float
    terms: Terms = field(default_factory=NoTerms)
    reverse_terms: Terms = field(default_factory=NoTerms)
    rates: Rates = CYCLEGAN.rates

    def to(self, device: torch.device) -> None:
        self.terms.to(device)
        self.reverse_terms.to(device)

    def shipped(self, generator: nn.Module) -> nn.Module:
        assert isinstance(generator, nn.ModuleDict)
        return generator[MAIN]

    def __call__(self, state: State, batch: Batch, forward: Forward) -> dict[str, Tensor]:
        """The losses: `d` and `d_reverse` (when there are adversarial terms), then the generators' own."""
        ways = self._ways(batch)
        fakes: dict[str, Tensor] = {}
        with judging(state.discriminator):
            losses = learn(state.optimizer_g, self._generator_losses(state, ways, fakes, forward))
        critics = self._critic_step(state, ways, fakes, forward) if self.lambda_gan else {}
        state.step += 1
        return critics | losses

    def _generator_losses(
        self, state: State, ways: tuple["_Way", "_Way"], fakes: dict[str, Tensor], forward: Forward
    ) -> dict[str, Tensor]:
        """Of both directions. fakes: is given their translations."""
        losses: dict[str, Tensor] = {}
        for way, other in (ways, ways[::-1]):
            net = _of(state.generator, way.name)
            output = forward(net, way.batch.inputs, taps=way.terms.taps)
            fake, features = output if way.terms.taps else (output, {})
            fakes[way.name] = fake
            returned = forward(_of(state.generator, other.name), fake)
            losses[f"cycle{way.suffix}"] = self.params.lambda_cycle * F.l1_loss(widen(returned), way.batch.inputs)
            named = way.terms(way.batch, widen(fake), features, forward)
            losses |= {f"{name}{way.suffix}": loss for name, loss in named.items()}
            if self.params.lambda_identity:
                with _keeping_statistics(net):
                    same = forward(net, way.batch.photos)
                weight = self.params.lambda_identity * self.params.lambda_cycle
                losses[f"identity{way.suffix}"] = weight * F.l1_loss(widen(same), way.batch.photos)
        if self.lambda_gan:
            for way in ways:
                found = CYCLEGAN.generator_losses(_of(state.discriminator, way.name), way.batch, fakes[way.name],
                                              self.lambda_gan, forward)  # fmt: skip
                losses |= {f"{name}{way.suffix}": loss for name, loss in found.items()}
        return losses

    def _critic_step(
        self, state: State, ways: tuple["_Way", "_Way"], fakes: Mapping[str, Tensor], forward: Forward
    ) -> dict[str, Tensor]:
        losses = {}
        for way in ways:
            # Every process keeps the whole pool, so that what is shown does not depend on how many they are.
            shown = share(_of(state.pools, way.name)(gathered(fakes[way.name].detach())))
            losses[f"d{way.suffix}"] = CYCLEGAN.critic_loss(
                _of(state.discriminator, way.name), way.batch, shown, forward
            )
        return learn(state.optimizer_d, losses)

    def _ways(self, batch: Batch) -> tuple["_Way", "_Way"]:
        return (
            _Way(MAIN, "", batch, self.terms),
            _Way(REVERSE, "_reverse", Batch(batch.photos, batch.inputs), self.reverse_terms),
        )


@dataclass(frozen=True)
class _Way:
    """One direction. suffix: of its losses' names. batch: its inputs, and real images of what it makes."""

    name: str
    suffix: str
    batch: Batch
    terms: Terms


def _of(players: nn.Module, name: str) -> nn.Module:
    assert isinstance(players, nn.ModuleDict)
    return players[name]


@contextmanager
def _keeping_statistics(net: nn.Module) -> Iterator[None]:
    """While it lasts, batch norms use a batch's statistics and do not keep them."""
    norms = [part for part in net.modules() if isinstance(part, BATCH_NORMS)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
