"""Everything that one adversarial training changes as it goes, in one place, to be saved and restored whole."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from understudy.averaging import trail
from understudy.params.schedule import Schedule
from understudy.train.update import Rates

RATES = Rates()


@dataclass
class State:
    """The two players, their optimisers and the generator's averaged weights.

    adapters: learned layers of a distillation term, trained with the generator and then thrown away; may be empty.
    pools: images that the discriminators are shown again; may be empty. average: a copy of the generator that trails
    it; in eval mode always. step: optimiser steps taken so far.
    """

    generator: nn.Module
    discriminator: nn.Module
    adapters: nn.Module
    pools: nn.Module
    average: nn.Module
    optimizer_g: torch.optim.Adam
    optimizer_d: torch.optim.Adam
    rates: Rates
    step: int = 0

    @classmethod
    def start(
        cls,
        generator: nn.Module,
        discriminator: nn.Module,
        adapters: nn.Module,
        learning_rate: float,
        pools: nn.Module | None = None,
        rates: Rates = RATES,
    ) -> "State":
        """A state before the first step. The networks are trained in place. learning_rate: that of the schedule."""
        learned = [*generator.parameters(), *adapters.parameters()]
        return cls(
            generator=generator.train(),
            discriminator=discriminator.train(),
            adapters=adapters.train(),
            pools=nn.ModuleDict() if pools is None else pools,
            average=copy.deepcopy(generator).eval().requires_grad_(False),
            optimizer_g=torch.optim.Adam(learned, learning_rate * rates.generator, rates.betas),
            optimizer_d=torch.optim.Adam(discriminator.parameters(), learning_rate * rates.discriminator, rates.betas),
            rates=rates,
        )

    def tensors(self) -> dict[str, Tensor]:
        """A flat view of every tensor that a later step depends on, by a stable name."""
        flat = {f"{name}.{key}": value for name, part in self._modules() for key, value in part.state_dict().items()}
        for name, optimizer in self._optimizers():
            for index, moments in optimizer.state_dict()["state"].items():
                flat |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
        return flat

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take over what `tensors()` gave at `step`. Raises KeyError or RuntimeError when the networks do not fit."""
        for name, part in self._modules():
            part.load_state_dict(below(tensors, name))
        for name, optimizer in self._optimizers():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in below(tensors, name).items():
                index, _, field = key.partition(".")
                moments.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        self.step = step

    def outcome(self) -> dict[str, Tensor]:
        """What of a finished training is still wanted, the best weights aside: the discriminator, which students take
        over."""
        return {f"discriminator.{key}": value for key, value in self.discriminator.state_dict().items()}

    def restore_outcome(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take over what `outcome()` gave after the last step."""
        self.discriminator.load_state_dict(below(tensors, "discriminator"))
        self.step = step

    def _modules(self) -> Iterator[tuple[str, nn.Module]]:
        for name in ("generator", "discriminator", "adapters", "pools", "average"):
            yield name, getattr(self, name)

    def _optimizers(self) -> Iterator[tuple[str, torch.optim.Adam]]:
        yield "optimizer_g", self.optimizer_g
        yield "optimizer_d", self.optimizer_d


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose dotted name begins with `prefix`, by the rest of it."""
    return {key.removeprefix(prefix + "."): value for key, value in tensors.items() if key.startswith(prefix + ".")}


def linear_decay(step: int, constant: int, decay: int) -> float:
    """Factor on the learning rate at `step` (from 0): 1 for `constant` steps, then linear to 1 / (decay + 1) at the
    last.

    CAT's and pix2pix's schedule, counted in steps where they count in epochs.
    """
    return 1 - max(0, step + 1 - constant) / (decay + 1)


def set_learning_rate(state: State, schedule: Schedule) -> None:
    """Give both optimisers the rate of the step that comes next."""
    rate = schedule.learning_rate * linear_decay(state.step, schedule.constant_steps, schedule.decay_steps)
    players = ((state.optimizer_g, state.rates.generator), (state.optimizer_d, state.rates.discriminator))
    for optimizer, share in players:
        for group in optimizer.param_groups:
            group["lr"] = rate * share


def update_average(state: State, decay: float) -> None:
    """Move the averaged weights and running statistics towards the generator's; `decay` of 0 copies them.

    Early on the average would be dominated by the initial weights, so the decay rises with the step towards its value
    ((1 + t) / (10 + t), as common implementations of weight averaging do).
    """
    trail(state.average, state.generator, 1 - min(decay, (1 + state.step) / (10 + state.step)))
