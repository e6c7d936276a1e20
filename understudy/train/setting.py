"""What one training is made of: networks, their initial weights, and the update that is repeated.

`alone` is a generator that learns without a teacher: the teacher itself, and the baseline. `taught` is a student.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.data.prepared import DatasetInfo
from understudy.errors import UserError
from understudy.models.generator import Generator
from understudy.params.distill import Distill
from understudy.params.objective import Objective
from understudy.params.schedule import Schedule
from understudy.train import cyclegan
from understudy.train.cyclegan import CycleGan, both
from understudy.train.distill import Distillation, adapters
from understudy.train.games import Game, game
from understudy.train.one_way import OneWay
from understudy.train.partners import Partners
from understudy.train.update import NoTerms, Update, Weights

Fill = Callable[[Generator], object]


@dataclass(frozen=True)
class Setting:
    """What one stage chose. inputs: names under artifacts/ that the training depends on, data and judge aside.

    The networks come initialised and on the CPU; the session moves them to the device of the `runtime` section.
    """

    arch: Arch
    generator: nn.Module
    discriminator: nn.Module
    adapters: nn.Module
    pools: nn.Module
    update: Update
    schedule: Schedule
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A teacher to learn from. inherit, inherit_reverse: give a student of each direction what it starts from."""

    arch: Arch
    generator: Generator
    partners: Partners
    inherit: Fill
    inherit_reverse: Fill


def alone(
    objective: Objective,
    arch: Arch,
    new_critic: Callable[[Game], nn.Module],
    weights: Weights,
    schedule: Schedule,
    seed: int,
    inputs: tuple[str, ...] = (),
) -> Setting:
    """Every network is new. new_critic: a discriminator for that game, with torch's default initial weights."""
    playing = game(objective)

    def network(build: Callable[[], nn.Module], stream: str) -> nn.Module:
        net = build()
        playing.initialise(net, seeded(seed, stream))
        return net

    generator = network(lambda: architecture.build(arch), "generator")
    critic = network(lambda: new_critic(playing), "discriminator")
    nothing = nn.ModuleDict()
    if objective.family != "cyclegan":
        update: Update = OneWay(playing, weights, NoTerms())
        return Setting(arch, generator, critic, nothing, nothing, update, schedule, inputs)
    reverse = network(lambda: architecture.build(arch), "reverse_generator")
    reverse_critic = network(lambda: new_critic(playing), "reverse_discriminator")
    update = CycleGan(objective.cyclegan, weights.gan)
    pools = cyclegan.pools(objective.cyclegan.pool_size, arch)
    return Setting(
        arch, both(generator, reverse), both(critic, reverse_critic), nothing, pools, update, schedule, inputs
    )


def taught(
    objective: Objective,
    distill: Distill,
    source: Source,
    arch: Arch,
    weights: Weights,
    schedule: Schedule,
    seed: int,
    inputs: tuple[str, ...],
) -> Setting:
    """A student of `arch`. Raises UserError when it needs partners that its teacher does not have."""
    playing, partners = game(objective), source.partners
    warm = distill.discriminator == "teacher"
    if warm and not partners.trained:
        raise UserError(
            "distill.discriminator: teacher: the teacher was imported, and no discriminator with it; set it to fresh"
        )

    def student(stream: str, inherit: Fill) -> Generator:
        net = architecture.build(arch)
        playing.initialise(net, seeded(seed, stream))
        inherit(net)
        return net

    def critic(net: nn.Module, stream: str) -> nn.Module:
        if not warm:
            playing.initialise(net, seeded(seed, stream))
        return net

    def lessons(teacher: nn.Module, stream: str) -> Distillation:
        learned = adapters(distill, source.arch.tap_widths, arch.tap_widths)
        playing.initialise(learned, seeded(seed, stream))
        return Distillation(teacher, distill, arch.taps, arch.middle, learned)

    if (
        objective.family == "cyclegan"
        and distill.cyclegan.directions == "one"
        and not (distill.output_weight or distill.feature_weight or distill.alignment.weight or distill.relation.weight)
    ):
        raise UserError(
            "distill.output_weight: 0: nothing ties this student's translation to its input; give it a weight"
        )
    generator = student("generator", source.inherit)
    judge = critic(partners.critic, "discriminator")
    terms = lessons(source.generator, "adapters")
    if objective.family != "cyclegan" or distill.cyclegan.directions == "one":
        update: Update = OneWay(playing, weights, terms)
        return Setting(arch, generator, judge, terms.adapters, nn.ModuleDict(), update, schedule, inputs)
    if partners.reverse is None or partners.reverse_critic is None:
        raise UserError(
            "distill.cyclegan.directions: both: the teacher was imported, and not its other direction; set it to one"
        )
    reverse = student("reverse_generator", source.inherit_reverse)
    reverse_judge = critic(partners.reverse_critic, "reverse_discriminator")
    reverse_terms = lessons(partners.reverse, "reverse_adapters")
    return Setting(
        arch,
        both(generator, reverse),
        both(judge, reverse_judge),
        both(terms.adapters, reverse_terms.adapters),
        cyclegan.pools(objective.cyclegan.pool_size, arch),
        CycleGan(objective.cyclegan, weights.gan, terms, reverse_terms),
        schedule,
        inputs,
    )


def weights_of(objective: Objective, gan: float, recon: float, section: str) -> Weights:
    """Weights as sections give them. Raises UserError, naming the key, for one that such an objective cannot use."""
    if recon and objective.family == "cyclegan":
        raise UserError(
            f"{section}.lambda_recon: unpaired inputs have no photo of their own to be compared with; set it to 0"
        )
    if not gan and objective.family == "gaugan":
        raise UserError(f"{section}.lambda_gan: GauGAN's other terms need its discriminator too; give it a weight")
    return Weights(gan, recon)


def require_kind(objective: Objective, info: DatasetInfo) -> None:
    """Raise UserError when such an objective cannot learn from these data."""
    if (objective.family == "cyclegan") != (info.kind == "unpaired"):
        have, need = ("no pairs", "cyclegan") if info.kind == "unpaired" else ("pairs", "pix2pix or gaugan")
        raise UserError(f"objective.family: {objective.family}: data set {info.name} has {have}; set it to {need}")


def seeded(seed: int, stream: str) -> torch.Generator:
    """A random generator of its own for each network, so that what one draws never moves another's initial weights."""
    streams = ("generator", "discriminator", "adapters")
    if stream in streams:
        return torch.Generator().manual_seed(seed * len(streams) + streams.index(stream))
    mixed = np.random.SeedSequence([seed, streams.index(stream.removeprefix("reverse_"))]).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))
