"""The families of generators by name: any of them read, written and built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.arch.base import Arch
from understudy.arch.custom import CustomArch
from understudy.arch.gaugan import GauganArch
from understudy.arch.inception import InceptionArch
from understudy.arch.resnet import ResnetArch
from understudy.arch.spade import SpadeArch
from understudy.arch.unet import UnetArch
from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.params.loader import parse

if TYPE_CHECKING:
    from understudy.models.generator import Generator

SCHEMA = 2  # 1 told of a ResNet only how many blocks it has

WIDEST = 1 << 16  # channels: more are no network but a damaged file

FAMILIES: Mapping[str, type[Arch]] = {
    family.family: family for family in (InceptionArch, ResnetArch, UnetArch, SpadeArch, GauganArch, CustomArch)
}


def load(path: Path) -> Arch:
    """Read arch.json. Raises UserError, naming file and key, when it is missing, damaged or of another schema."""
    value: Any = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: not an architecture: expected a mapping, found {type(value).__name__}")
    fields = dict(value)
    schema, family = fields.pop("schema", None), fields.pop("family", None)
    if schema != SCHEMA or isinstance(schema, bool):
        raise UserError(
            f"{path}: architecture schema {schema!r}, this version reads {SCHEMA}; run the stage that makes it again"
        )
    if not isinstance(family, str) or family not in FAMILIES:
        raise UserError(f"{path}: unknown architecture family {family!r}; known: {', '.join(FAMILIES)}")
    arch = parse(FAMILIES[family], fields, f"{path}: {family}")
    widest = max(arch.input_channels, *arch.widths().values())
    if widest > WIDEST:
        raise UserError(f"{path}: {family}: {widest} channels in one place, more than {WIDEST}: the file is damaged")
    return arch


def save(arch: Arch, path: Path) -> None:
    """Write arch.json, atomically."""
    write_json(path, {"schema": SCHEMA, "family": arch.family, **asdict(arch)})


def build(arch: Arch) -> Generator:
    """The network, with torch's default initial weights. Under `torch.device("meta")` it takes no memory."""
    from understudy.models.custom import CustomGenerator
    from understudy.models.gaugan import gaugan_generator
    from understudy.models.inception import inception_generator
    from understudy.models.resnet import resnet_generator
    from understudy.models.spade import spade_generator
    from understudy.models.unet import UnetGenerator

    if isinstance(arch, InceptionArch):
        return inception_generator(arch)
    if isinstance(arch, ResnetArch):
        return resnet_generator(arch)
    if isinstance(arch, UnetArch):
        return UnetGenerator(arch)
    if isinstance(arch, SpadeArch):
        return spade_generator(arch)
    if isinstance(arch, GauganArch):
        return gaugan_generator(arch)
    if isinstance(arch, CustomArch):
        return CustomGenerator(arch)
    raise TypeError(f"no network for {type(arch).__name__}")
