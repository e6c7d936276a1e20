"""What a training repeats: an update of both players on one batch. Its parts, and what all families of it share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from understudy.train.exchange import average_gradients
from understudy.train.forward import Forward

if TYPE_CHECKING:
    from understudy.train.state import State


@dataclass(frozen=True)
class Batch:
    """inputs: encoded, [B, C, H, W]. photos: [B, 3, H, W] in [-1, 1]; of pairs the inputs' own."""

    inputs: Tensor
    photos: Tensor


@dataclass(frozen=True)
class Weights:
    """Of the adversarial term and of the L1 distance to the real photo. A weight of 0 turns its term off."""

    gan: float
    recon: float


@dataclass(frozen=True)
class Rates:
    """Adam's settings: each player's learning rate in units of the schedule's, and its betas."""

    generator: float = 1.0
    discriminator: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)  # CAT, released settings; pix2pix, section 3.3


class Terms(Protocol):
    """What a teacher adds to the generator's loss. taps: the generator's features that the terms look at."""

    @property
    def taps(self) -> tuple[str, ...]: ...

    def to(self, device: torch.device) -> object:
        """Move what the terms hold, in place."""
        ...

    def __call__(
        self, batch: Batch, fake: Tensor, features: Mapping[str, Tensor], forward: Forward
    ) -> dict[str, Tensor]:
        """Weighted scalar losses by name. forward: how further networks run."""
        ...


class NoTerms:
    """Training without a teacher."""

    taps: tuple[str, ...] = ()

    def to(self, device: torch.device) -> None:
        pass

    def __call__(
        self, batch: Batch, fake: Tensor, features: Mapping[str, Tensor], forward: Forward
    ) -> dict[str, Tensor]:
        return {}


class Update(Protocol):
    """One optimiser step of both players."""

    @property
    def rates(self) -> Rates: ...

    def to(self, device: torch.device) -> object:
        """Move what is not trained, in place."""
        ...

    def __call__(self, state: "State", batch: Batch, forward: Forward) -> dict[str, Tensor]:
        """Update both players once, at the learning rate that the optimisers hold, and count the step.

        Returns the losses by name, weighted as they were optimised and detached.
        """
        ...

    def shipped(self, generator: nn.Module) -> nn.Module:
        """Of what is trained as the generator, the network that is validated, kept and shipped."""
        ...


def learn(optimizer: torch.optim.Optimizer, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move what the optimiser holds, in all processes alike, to lower the sum of these scalars; the losses, detached.

    They are of this process's share of the batch, and the optimiser's alone to learn from.
    """
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    average_gradients(optimizer)
    optimizer.step()
    return {name: loss.detach() for name, loss in losses.items()}


@contextmanager
def judging(critic: nn.Module) -> Iterator[None]:
    """While it lasts the discriminator judges and does not learn: its weights collect no gradient.

    It must last to the end of the backward pass, in which a batch in parts is run once more.
    """
    critic.requires_grad_(False)
    try:
        yield
    finally:
        critic.requires_grad_(True)
