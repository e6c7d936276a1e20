"""Small trainings of every kind in float64, without batch norms, and a batch for each: what may be divided.

In float64 two ways of adding the same numbers up agree to 1e-12 and Adam keeps them together: in float32 it would blow
the rounding noise of a gradient that is zero up to whole steps.

`torchrun --nproc-per-node N tiny_players.py FILE` shares them.
"""

import sys
from collections.abc import Callable

import safetensors.torch
import torch
from torch import Tensor, nn

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.inception import inception
from understudy.params.distill import Alignment, Directions, Distill, Relation
from understudy.params.objective import Cyclegan
from understudy.processes import leads
from understudy.train.cyclegan import CycleGan, both, pools
from understudy.train.distill import Distillation, adapters
from understudy.train.exchange import averaged, join, leave, share
from understudy.train.forward import Forward
from understudy.train.games import CYCLEGAN, PIX2PIX, Game, ScalesGame
from understudy.train.one_way import OneWay
from understudy.train.state import State, update_average
from understudy.train.update import Batch, NoTerms, Update, Weights

ARCH = inception(4, 3, 4, "instance_affine", "zero", "rgb", 3, (32, 32))
WIDE = inception(6, 3, 4, "instance_affine", "zero", "rgb", 3, (32, 32))
IMAGES, STEPS = 4, 3
FORMS = ("global_centred", "global", "batch_centred", "batch", "release")


def wide(net: nn.Module) -> nn.Module:
    """In float64, and in memory as a session keeps it."""
    return net.to(dtype=torch.float64, memory_format=torch.channels_last)  # type: ignore[call-overload]


def network(game: Game, arch: Arch, seed: int) -> nn.Module:
    net = architecture.build(arch)
    game.initialise(net, torch.Generator().manual_seed(seed))
    return wide(net)


def critic(game: Game, seed: int) -> nn.Module:
    torch.manual_seed(seed)  # spectral norm draws its first vectors
    net = game.critic(ARCH, 4)
    game.initialise(net, torch.Generator().manual_seed(seed))
    return wide(net)


def lessons(game: Game, seed: int, form: str = "global_centred") -> Distillation:
    params = Distill("fresh", Alignment(1.0, form), Relation(1.0, "l2", True), 5.0, 1.0, Directions("both"))  # type: ignore[arg-type]
    learned = adapters(params, WIDE.tap_widths, ARCH.tap_widths).double()
    game.initialise(learned, torch.Generator().manual_seed(seed))
    return Distillation(network(game, WIDE, seed), params, ARCH.taps, ARCH.middle, learned)


def one_way(game: Game, form: str | None) -> tuple[State, Update]:
    terms = lessons(game, 7, form) if form else None
    learned = terms.adapters if terms else nn.ModuleDict()
    players = network(game, ARCH, 0), critic(game, 1)
    state = State.start(*players, learned, 1e-3, rates=game.rates)
    return state, OneWay(game, Weights(1.0, 10.0), terms or NoTerms())


def two_way(taught: bool) -> tuple[State, Update]:
    terms = [lessons(CYCLEGAN, 5), lessons(CYCLEGAN, 6)] if taught else []
    learned = both(terms[0].adapters, terms[1].adapters) if taught else nn.ModuleDict()
    generators = both(network(CYCLEGAN, ARCH, 0), network(CYCLEGAN, ARCH, 1))
    critics = both(critic(CYCLEGAN, 2), critic(CYCLEGAN, 3))
    state = State.start(generators, critics, learned, 1e-3, pools(6, ARCH).double())
    return state, CycleGan(Cyclegan(10.0, 0.5, 6), 1.0, *terms)


TRAININGS: dict[str, Callable[[], tuple[State, Update]]] = {
    **{f"pix2pix, {form}": lambda form=form: one_way(PIX2PIX, form) for form in FORMS},  # type: ignore[misc]
    "pix2pix alone": lambda: one_way(PIX2PIX, None),
    "gaugan": lambda: one_way(ScalesGame(10.0), "global_centred"),
    "cyclegan": lambda: two_way(taught=False),
    "cyclegan, taught": lambda: two_way(taught=True),
}


def trained(name: str, forward: Forward | None = None) -> dict[str, Tensor]:
    """Everything that a few steps changed, and the losses of the last as `loss.NAME`."""
    state, update = TRAININGS[name]()
    torch.manual_seed(11)  # pools draw
    random = torch.Generator().manual_seed(4)
    losses: dict[str, Tensor] = {}
    for _ in range(STEPS):
        drawn = [torch.rand(IMAGES, 3, 32, 32, generator=random, dtype=torch.float64) * 2 - 1 for _ in range(2)]
        parts = [share(images).contiguous(memory_format=torch.channels_last) for images in drawn]
        losses = update(state, Batch(*parts), forward or Forward())
        update_average(state, 0.9)
    return {**state.tensors(), **{f"loss.{key}": value for key, value in losses.items()}}


def main() -> None:
    """`torchrun --nproc-per-node N tiny_players.py FILE`: all trainings, shared by the processes; the first saves."""
    join(torch.device("cpu"))
    results = {f"{name}: {key}": value for name in TRAININGS for key, value in trained(name).items()}
    losses = {name: float(value) for name, value in results.items() if ": loss." in name}
    results |= {name: torch.tensor(value, dtype=torch.float64) for name, value in averaged(losses).items()}
    leave()
    if leads():
        safetensors.torch.save_file({name: value.contiguous() for name, value in results.items()}, sys.argv[1])


if __name__ == "__main__":
    main()
