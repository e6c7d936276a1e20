"""An architecture as data: what arch.json holds, and the only thing that a network is built from.

Reading, comparing and costing an architecture needs no torch; only `build` imports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.params.loader import parse, require

if TYPE_CHECKING:
    from understudy.models.generator import Generator

Norm = Literal["batch", "instance", "instance_affine"]
Padding = Literal["reflect", "replicate", "zero"]
Kind = Literal["conv", "depthwise"]

SCHEMA = 1
KERNELS = (1, 3, 5)  # of an inception block's branches (CAT, released settings)
IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class Block:
    """Hidden widths of an inception residual block's branches, by kernel size ("1", "3", "5" or "7").

    A branch that is not there is left out of its mapping; a block without branches is the identity.
    """

    conv: dict[str, int]
    depthwise: dict[str, int]

    def __post_init__(self) -> None:
        for kind in ("conv", "depthwise"):
            for kernel, width in getattr(self, kind).items():
                require(kernel in ("1", "3", "5", "7"), kind, f"kernel must be 1, 3, 5 or 7, found {kernel!r}")
                require(
                    width >= 1, f"{kind}.{kernel}", f"width must be at least 1 (leave the branch out), found {width}"
                )

    def branches(self) -> Iterator[tuple[Kind, int, int]]:
        """(kind, kernel size, hidden width) of each branch: conventional ones first, by growing kernel."""
        for kernel, width in sorted(self.conv.items()):
            yield "conv", int(kernel), width
        for kernel, width in sorted(self.depthwise.items()):
            yield "depthwise", int(kernel), width


@dataclass(frozen=True)
class Arch:
    """What the generator families share: three stem convolutions, a trunk of residual blocks, two head convolutions.

    size: height and width in pixels that costs are stated for; the networks take any other multiples of 4.
    encoding, input_channels: how a label map enters. stem: widths at full, half and quarter resolution; the last is the
    trunk's. head: widths at half and full resolution, before the last convolution.
    """

    size: tuple[int, int]
    encoding: Encoding
    input_channels: int
    output_channels: int
    norm: Norm
    padding: Padding
    stem: tuple[int, int, int]
    head: tuple[int, int]

    family: ClassVar[str]

    def __post_init__(self) -> None:
        require(
            all(s >= 16 and s % 4 == 0 for s in self.size), "size", f"multiples of 4, at least 16; found {self.size}"
        )
        require(self.input_channels >= 1, "input_channels", f"must be at least 1, found {self.input_channels}")
        require(self.output_channels == IMAGE_CHANNELS, "output_channels", f"must be 3, found {self.output_channels}")
        for name in ("stem", "head"):
            require(min(getattr(self, name)) >= 1, name, f"widths must be at least 1, found {getattr(self, name)}")
        require(
            self.num_blocks >= 3 and self.num_blocks % 3 == 0,
            "blocks",
            f"a multiple of 3 is needed (three groups are tapped), found {self.num_blocks}",
        )

    @property
    def num_blocks(self) -> int:
        raise NotImplementedError

    @property
    def trunk(self) -> int:
        """Width of the residual trunk, which every block reads and adds to."""
        return self.stem[-1]

    @property
    def taps(self) -> tuple[str, ...]:
        """Features that distillation matches: the outputs of the stem and of each third of the blocks (CAT)."""
        third = self.num_blocks // 3
        return ("stem", *(f"block.{index}" for index in (third - 1, 2 * third - 1, 3 * third - 1)))

    @property
    def tap_widths(self) -> dict[str, int]:
        """Channels by tap."""
        return dict.fromkeys(self.taps, self.trunk)

    @property
    def middle(self) -> str:
        """The tap of the middle block, the features of the semantic relation (SRPKD, section 3)."""
        return f"block.{(self.num_blocks - 1) // 2}"


@dataclass(frozen=True)
class InceptionArch(Arch):
    """CAT's inception generator (Jin et al., section 3.1), whole or pruned."""

    blocks: tuple[Block, ...]

    family: ClassVar[str] = "inception"

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)


@dataclass(frozen=True)
class ResnetArch(Arch):
    """The ResNet generator of CycleGAN and pix2pix: `blocks` residual blocks of two 3x3 convolutions."""

    blocks: int

    family: ClassVar[str] = "resnet"

    @property
    def num_blocks(self) -> int:
        return self.blocks


FAMILIES: Mapping[str, type[Arch]] = {family.family: family for family in (InceptionArch, ResnetArch)}


def inception(
    ngf: int,
    blocks: int,
    reduction: int,
    norm: Norm,
    padding: Padding,
    encoding: Encoding,
    input_channels: int,
    size: tuple[int, int],
) -> InceptionArch:
    """CAT's teacher: `blocks` blocks of width 4 ngf, each of six branches of hidden width floor(4 ngf / reduction).

    Raises UserError for numbers that make no network.
    """
    if not 1 <= reduction <= 4 * ngf:
        raise UserError(f"inception: reduction must be in [1, 4 ngf], found {reduction} at ngf {ngf}")
    widths = {str(kernel): 4 * ngf // reduction for kernel in KERNELS}
    try:
        return InceptionArch(
            **_ends(ngf, norm, padding, encoding, input_channels, size),
            blocks=tuple(Block(conv=dict(widths), depthwise=dict(widths)) for _ in range(blocks)),
        )
    except ValueError as error:
        raise UserError(f"inception: {error}") from None


def resnet(
    ngf: int, blocks: int, norm: Norm, padding: Padding, encoding: Encoding, input_channels: int, size: tuple[int, int]
) -> ResnetArch:
    """The literature's baseline, at ngf 64 and 9 blocks the "Original" of CAT's tables.

    Raises UserError for numbers that make no network.
    """
    try:
        return ResnetArch(**_ends(ngf, norm, padding, encoding, input_channels, size), blocks=blocks)
    except ValueError as error:
        raise UserError(f"resnet: {error}") from None


def _ends(
    ngf: int, norm: Norm, padding: Padding, encoding: Encoding, input_channels: int, size: tuple[int, int]
) -> dict[str, Any]:
    """The fields of everything but the blocks, at the widths that both families start from."""
    return {
        "size": size,
        "encoding": encoding,
        "input_channels": input_channels,
        "output_channels": IMAGE_CHANNELS,
        "norm": norm,
        "padding": padding,
        "stem": (ngf, 2 * ngf, 4 * ngf),
        "head": (2 * ngf, ngf),
    }


def load(path: Path) -> Arch:
    """Read arch.json. Raises UserError, naming file and key, when it is missing, damaged or of another schema."""
    value: Any = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: not an architecture: expected a mapping, found {type(value).__name__}")
    fields = dict(value)
    schema, family = fields.pop("schema", None), fields.pop("family", None)
    if schema != SCHEMA or isinstance(schema, bool):
        raise UserError(f"{path}: architecture schema {schema!r}, this version reads {SCHEMA}; make the file anew")
    if not isinstance(family, str) or family not in FAMILIES:
        raise UserError(f"{path}: unknown architecture family {family!r}; known: {', '.join(FAMILIES)}")
    return parse(FAMILIES[family], fields, f"{path}: {family}")


def save(arch: Arch, path: Path) -> None:
    """Write arch.json, atomically."""
    write_json(path, {"schema": SCHEMA, "family": arch.family, **asdict(arch)})


def build(arch: Arch) -> Generator:
    """The network, with torch's default initial weights. Under `torch.device("meta")` it takes no memory."""
    from understudy.models.inception import inception_generator
    from understudy.models.resnet import resnet_generator

    if isinstance(arch, InceptionArch):
        return inception_generator(arch)
    if isinstance(arch, ResnetArch):
        return resnet_generator(arch)
    raise TypeError(f"no network for {type(arch).__name__}")


def diff(teacher: Arch, student: Arch) -> str:
    """A table of what changed: every other field that differs, stem and head widths, and the branches block by block.

    Raises UserError when the two are of different families, which have no layers to pair.
    """
    if type(teacher) is not type(student):
        raise UserError(f"an architecture of family {student.family} cannot be compared with one of {teacher.family}")
    lines = [f"{'':12}{'teacher':>9}{'student':>9}{'kept':>7}"]
    for name in ("size", "encoding", "input_channels", "norm", "padding"):
        before, after = getattr(teacher, name), getattr(student, name)
        if before != after:
            lines.append(f"{name}: {before} -> {after}")
    for part in ("stem", "head"):
        for index, (before, after) in enumerate(zip(getattr(teacher, part), getattr(student, part), strict=True)):
            lines.append(f"{f'{part}.{index}':12}{before:9}{after:9}{after / before:7.0%}")
    if isinstance(teacher, InceptionArch) and isinstance(student, InceptionArch):
        lines += ["", *_block_rows(teacher.blocks, student.blocks)]
    elif teacher.num_blocks != student.num_blocks:
        lines.append(f"{'blocks':12}{teacher.num_blocks:9}{student.num_blocks:9}")
    return "\n".join(lines) + "\n"


def _block_rows(teacher: tuple[Block, ...], student: tuple[Block, ...]) -> list[str]:
    """One row for each block, one column for each branch that any block of either network has."""
    columns = sorted({(kind, kernel) for block in (*teacher, *student) for kind, kernel, _ in block.branches()})
    rows = ["hidden widths of the branches (. = removed)"]
    rows.append(f"{'':12}" + "".join(f"{f'{kind} {kernel}':>14}" for kind, kernel in columns) + f"{'kept':>7}")
    for index in range(max(len(teacher), len(student))):
        before = _widths(teacher[index]) if index < len(teacher) else {}
        after = _widths(student[index]) if index < len(student) else {}
        cells = [_cell(before.get(column, 0), after.get(column, 0)) for column in columns]
        total = sum(before.values())
        kept = f"{sum(after.values()) / total:7.0%}" if total else f"{'':7}"
        note = "" if after else "  identity"
        rows.append(f"{f'block.{index}':12}" + "".join(f"{cell:>14}" for cell in cells) + kept + note)
    return rows


def _widths(block: Block) -> dict[tuple[Kind, int], int]:
    return {(kind, kernel): width for kind, kernel, width in block.branches()}


def _cell(before: int, after: int) -> str:
    return f"{before or '.'} -> {after or '.'}" if before or after else ""
