"""Whom a teacher was trained with: its discriminator and, of a CycleGAN, the other direction's players.

A student starts from the trained discriminator or from a fresh one of the same architecture (CAT, released settings:
the former). Deliberate difference: the released code keeps the discriminator of the best epoch, here it is the one of
the last step; the reverse generator is of the teacher's best step.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from understudy.arch import families as architecture
from understudy.arch.base import Arch
from understudy.arch.families import WIDEST
from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.models.discriminators import CriticNorm, PatchDiscriminator
from understudy.models.multi_scale import MultiScaleDiscriminator
from understudy.params.loader import parse, require
from understudy.tensors import load_weights, save_weights

NAME, WEIGHTS = "partners.json", "partners.safetensors"
SCHEMA = 3  # 2 knew PatchGANs of one direction alone


@dataclass(frozen=True)
class Partners:
    """critic: judges what the teacher makes. reverse_critic, reverse: of the other direction; None where there is none.

    reverse is of the teacher's own architecture. trained: whether a student may start from them.
    """

    critic: nn.Module
    reverse_critic: nn.Module | None = None
    reverse: nn.Module | None = None
    trained: bool = True

    def whole(self) -> nn.ModuleDict:
        """All of them under the names of their weights."""
        parts = {"critic": self.critic, "reverse_critic": self.reverse_critic, "reverse": self.reverse}
        return nn.ModuleDict({name: part for name, part in parts.items() if part is not None})


@dataclass(frozen=True)
class Critic:
    """A discriminator's architecture. norm: of a patch discriminator; at several scales it has its own."""

    family: Literal["patch", "multi_scale"]
    input_channels: int
    ndf: int
    norm: CriticNorm | None

    def __post_init__(self) -> None:
        require((self.norm is not None) == (self.family == "patch"), "norm", f"does not belong to {self.family}")
        for name in ("input_channels", "ndf"):
            require(0 < getattr(self, name) <= WIDEST, name, f"from 1 to {WIDEST}, found {getattr(self, name)}")

    @classmethod
    def of(cls, net: nn.Module) -> "Critic":
        if isinstance(net, PatchDiscriminator):
            return cls("patch", net.input_channels, net.ndf, net.norm)
        assert isinstance(net, MultiScaleDiscriminator)
        return cls("multi_scale", net.input_channels, net.ndf, None)

    def build(self) -> nn.Module:
        """With torch's default initial weights."""
        if self.norm is None:
            return MultiScaleDiscriminator(self.input_channels, self.ndf)
        return PatchDiscriminator(self.input_channels, self.ndf, self.norm)


@dataclass(frozen=True)
class Description:
    """partners.json. two_way: whether there is a reverse direction."""

    critic: Critic
    two_way: bool
    trained: bool


def save_partners(partners: Partners, folder: Path) -> None:
    """Write partners.json and partners.safetensors."""
    description = Description(Critic.of(partners.critic), partners.reverse is not None, partners.trained)
    save_weights(partners.whole(), folder / WEIGHTS)
    write_json(folder / NAME, {"schema": SCHEMA, **asdict(description)})


def read_description(path: Path) -> Description:
    """partners.json. Raises UserError, naming the key, when it is missing, damaged or of another schema."""
    value: Any = read_json(path)
    fields = dict(value) if isinstance(value, dict) else {}
    if (schema := fields.pop("schema", None)) != SCHEMA:
        raise UserError(f"{path}: schema {schema!r}, this version reads {SCHEMA}; run `dvc repro teacher`")
    return parse(Description, fields, f"{path}: run `dvc repro teacher`: partners")


def load_partners(folder: Path, arch: Arch) -> Partners:
    """The partners that were saved, weights and all. arch: of the teacher.

    Raises UserError when they are missing, damaged, or of another teacher.
    """
    description = read_description(folder / NAME)
    with torch.device("meta"):  # takes no memory: first the weights must fit
        partners = Partners(description.critic.build(), trained=description.trained)
        if description.two_way:
            partners = Partners(
                partners.critic, description.critic.build(), architecture.build(arch), description.trained
            )
    load_weights(partners.whole(), folder / WEIGHTS)
    return partners
