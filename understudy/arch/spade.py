"""CAT's version of GauGAN's generator, whole or pruned (Jin et al. 2021, section 3.1 and figure 3).

A block normalises once, by batch norm modulated by the label map, and sums six branches of the result; the modulation's
scales and shifts are the sum of six branches of the label map. The groups of hidden channels: `blocks.I.KIND.KERNEL`
and `blocks.I.spade.KIND.KERNEL`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from understudy.arch.base import IMAGE_CHANNELS
from understudy.arch.branches import Branches, branch_columns, whole_branches
from understudy.arch.decoder import NAMES, STEM_UNIT, UP_UNITS, DecoderArch, Place
from understudy.arch.layers import Convolution, NormLayer, Size, Table
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.params.loader import require

MODULATION = 128  # hidden width of GauGAN's modulation, of which each branch of CAT's has the reduced part


@dataclass(frozen=True)
class SpadeBlock:
    """main: branches of the features; without any the shortcut alone is left. spade: branches of the label map.

    Without branches in `spade` the norm modulates nothing; without any in `main` nothing would read it.
    """

    main: Branches
    spade: Branches

    def __post_init__(self) -> None:
        require(bool(self.main) or not self.spade, "spade", "branches that nothing reads: main has none")


@dataclass(frozen=True)
class SpadeArch(DecoderArch):
    blocks: tuple[SpadeBlock, ...]

    family: ClassVar[str] = "spade"

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)

    def stem_norms(self) -> Iterator[NormLayer]:
        """One that GauGAN does not have: its scales rank the channels between the blocks."""
        yield NormLayer("stem.norm", next(self.places()).reads)

    def block_convolutions(self, place: Place) -> Iterator[Convolution]:
        block, size = self.blocks[place.index], place.size
        # The label map gives each channel that is modulated a scale and a shift.
        spade = f"{place.name}.spade"
        yield from block.spade.convolutions(spade, self.input, place.reads, size, bias=True, copies=2)
        yield from block.main.convolutions(place.name, place.reads, place.writes, size, bias=True)
        if place.learns_shortcut:
            yield Convolution(f"{place.name}.shortcut.conv", (place.reads,), place.writes, 1, size, size, bias=False)

    def block_norms(self, place: Place) -> Iterator[NormLayer]:
        block = self.blocks[place.index]
        if block.main:
            yield NormLayer(f"{place.name}.spade.norm", place.reads, scales=False)
        yield from block.spade.norms(f"{place.name}.spade")
        yield from block.main.norms(place.name, spatial_scales=False)
        if place.learns_shortcut:
            yield NormLayer(f"{place.name}.shortcut.norm", place.reads)

    def block_tables(self) -> tuple[Table, ...]:
        tables = []
        for title, part, every, empty in (
            ("hidden widths of the branches", "", [block.main for block in self.blocks], "shortcut alone"),
            ("hidden widths of the modulations", ".spade", [block.spade for block in self.blocks], "plain norm"),
        ):
            headings, names = branch_columns(iter(every))
            rows = ((name, tuple(f"blocks.{i}{part}.{own}" for own in names)) for i, name in enumerate(NAMES))
            tables.append(Table(title, headings, tuple(rows), empty))
        return tuple(tables)

    def with_widths(self, widths: Mapping[str, int]) -> "SpadeArch":
        blocks = []
        for place, block in zip(self.places(), self.blocks, strict=True):
            main = block.main.surviving(place.name, widths)
            spade = block.spade.surviving(f"{place.name}.spade", widths if main else {})
            blocks.append(SpadeBlock(main, spade))
        return replace(self, ngf=widths["stem"] // STEM_UNIT, blocks=tuple(blocks))


def spade(ngf: int, reduction: int, encoding: Encoding, input_channels: int, size: Size) -> SpadeArch:
    """CAT's teacher, for GauGAN's settings at ngf 64, reduction 6, and 36 channels of 256x512 pixels.

    Branches have floor(w / reduction) hidden channels: w is the lesser of a block's two widths, 128 in a modulation.
    Raises UserError for numbers that make no network.
    """
    if not 1 <= reduction <= min(ngf, MODULATION):
        raise UserError(f"spade: reduction must be in [1, min(ngf, {MODULATION})], found {reduction} at ngf {ngf}")
    widths = (STEM_UNIT,) * 3 + UP_UNITS  # of the blocks' outputs, the lesser of their two widths
    modulation = whole_branches(MODULATION // reduction)
    blocks = tuple(SpadeBlock(whole_branches(width * ngf // reduction), modulation) for width in widths)
    try:
        return SpadeArch(size, encoding, input_channels, IMAGE_CHANNELS, "batch", ngf, blocks)
    except ValueError as error:
        raise UserError(f"spade: {error}") from None
