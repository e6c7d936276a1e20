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
from understudy.params.objective import Cyclegan
from understudy.train.games import CYCLEGAN
from understudy.train.pool import ImagePool
from understudy.train.state import State
from understudy.train.update import Autocast, Batch, NoTerms, Rates, Terms

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

    def __call__(self, state: State, batch: Batch, autocast: Autocast) -> dict[str, Tensor]:
        """The losses: `d` and `d_reverse` (when there are adversarial terms), then the generators' own."""
        there, back = self._ways(batch)
        players = state.generator
        assert isinstance(players, nn.ModuleDict)
        fakes: dict[str, Tensor] = {}
        losses: dict[str, Tensor] = {}
        for way, other in ((there, back), (back, there)):
            fake, features = _translate(players[way.name], way.batch.inputs, way.terms.taps, autocast)
            fakes[way.name] = fake
            returned, _ = _translate(players[other.name], fake, (), autocast)
            losses[f"cycle{way.suffix}"] = self.params.lambda_cycle * F.l1_loss(returned.float(), way.batch.inputs)
            named = way.terms(way.batch, fake.float(), features, autocast)
            losses |= {f"{name}{way.suffix}": loss for name, loss in named.items()}
            if self.params.lambda_identity:
                with _keeping_statistics(players[way.name]):
                    same, _ = _translate(players[way.name], way.batch.photos, (), autocast)
                weight = self.params.lambda_identity * self.params.lambda_cycle
                losses[f"identity{way.suffix}"] = weight * F.l1_loss(same.float(), way.batch.photos)
        if self.lambda_gan:
            state.discriminator.requires_grad_(False)
            for way in (there, back):
                found = CYCLEGAN.generator_losses(_of(state.discriminator, way.name), way.batch, fakes[way.name],
                                              self.lambda_gan, autocast)  # fmt: skip
                losses |= {f"{name}{way.suffix}": loss for name, loss in found.items()}
            state.discriminator.requires_grad_(True)
        state.optimizer_g.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        state.optimizer_g.step()
        critics = self._critic_step(state, (there, back), fakes, autocast) if self.lambda_gan else {}
        state.step += 1
        return critics | {name: loss.detach() for name, loss in losses.items()}

    def _critic_step(
        self, state: State, ways: tuple["_Way", "_Way"], fakes: Mapping[str, Tensor], autocast: Autocast
    ) -> dict[str, Tensor]:
        losses = {}
        for way in ways:
            shown = _of(state.pools, way.name)(fakes[way.name].detach())
            losses[f"d{way.suffix}"] = CYCLEGAN.critic_loss(
                _of(state.discriminator, way.name), way.batch, shown, autocast
            )
        state.optimizer_d.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        state.optimizer_d.step()
        return {name: loss.detach() for name, loss in losses.items()}

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


def _translate(
    net: nn.Module, images: Tensor, taps: tuple[str, ...], autocast: Autocast
) -> tuple[Tensor, Mapping[str, Tensor]]:
    with autocast():
        output = net(images, taps=taps)
    return output if taps else (output, {})


@contextmanager
def _keeping_statistics(net: nn.Module) -> Iterator[None]:
    """While it lasts, batch norms use a batch's statistics and do not keep them."""
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
