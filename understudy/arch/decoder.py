"""What GauGAN's generator and CAT's version of it share: a decoder that reads the label map at every size.

Park et al. 2019 (SPADE), appendix A, with one more doubling (`num_upsampling_layers` "more", as for 256x512 pixels). A
convolution of the label map at a 64th of its size, then seven residual blocks with a doubling between each two, and a
last convolution. Widths fall from 16 ngf to ngf. Norms are batch norms, and yet all convolutions but the shortcuts'
have biases.

The groups of channels: `stem`, which the first three blocks read and add to, `up.I` after each of the last four, and
the blocks' own. The widths between blocks are tied: each is its own multiple of one `ngf`, the stem's 16 of it (CAT).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from understudy.arch.base import MIN_PIXELS, Arch
from understudy.arch.layers import Channels, Convolution, NormLayer, Size, Table
from understudy.params.loader import require

NAMES = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3")  # of the blocks, in the literature
STEM_UNIT = 16
UP_UNITS = (8, 4, 2, 1)
TAPPED = (0, 2, 4)  # blocks whose outputs CAT compares


@dataclass(frozen=True)
class Place:
    """Where a block stands. index: of the block. Two groups when it changes the width. size: of its maps."""

    index: int
    reads: Channels
    writes: Channels
    size: Size

    @property
    def name(self) -> str:
        """Of the module, and what the names of its groups begin with."""
        return f"blocks.{self.index}"

    @property
    def learns_shortcut(self) -> bool:
        """Whether the shortcut is a 1x1 convolution and not the identity."""
        return self.reads != self.writes


@dataclass(frozen=True)
class DecoderArch(Arch):
    """ngf: width of the last block, of which every other's is a multiple."""

    ngf: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.norm == "batch", "norm", f"must be batch in this family, found {self.norm}")
        require(self.ngf >= 1, "ngf", f"must be at least 1, found {self.ngf}")
        require(self.num_blocks == len(NAMES), "blocks", f"expected {len(NAMES)}, found {self.num_blocks}")

    @property
    def stride(self) -> int:
        return 64

    @property
    def num_blocks(self) -> int:
        raise NotImplementedError

    @property
    def depth(self) -> str:
        return f"{self.num_blocks} {self.family} blocks"

    @property
    def tap_widths(self) -> Mapping[str, int]:
        """The outputs of three blocks (CAT), of those whose maps have enough pixels to be compared."""
        tapped = (place for place in self.places() if place.index in TAPPED)
        return {f"block.{place.index}": place.writes.width for place in tapped if math.prod(place.size) >= MIN_PIXELS}

    @property
    def middle(self) -> str:
        """The output of G_middle_1, of 16 x 32 pixels at 256x512. There is no encoder whose end it could be."""
        return "block.2"

    def places(self) -> Iterator[Place]:
        """Of every block, in the order of the forward pass."""
        stem = Channels("stem", STEM_UNIT * self.ngf, unit=STEM_UNIT)
        ups = (Channels(f"up.{i}", unit * self.ngf, unit=unit, follows="stem") for i, unit in enumerate(UP_UNITS))
        reads = stem
        for index, writes in enumerate((stem, stem, stem, *ups)):
            level = len(NAMES) - 1 - index
            yield Place(index, reads, writes, (self.size[0] >> level, self.size[1] >> level))
            reads = writes

    def block_convolutions(self, place: Place) -> Iterator[Convolution]:
        raise NotImplementedError

    def block_norms(self, place: Place) -> Iterator[NormLayer]:
        raise NotImplementedError

    def block_tables(self) -> tuple[Table, ...]:
        raise NotImplementedError

    def stem_norms(self) -> Iterator[NormLayer]:
        """Of the convolution before the blocks."""
        raise NotImplementedError

    def convolutions(self) -> Iterator[Convolution]:
        first, *_, last = self.places()
        yield Convolution("stem.conv", (self.input,), first.reads, 3, first.size, first.size, bias=True)
        for place in self.places():
            yield from self.block_convolutions(place)
        yield Convolution("image.conv", (last.writes,), self.image, 3, last.size, last.size, bias=True)

    def norms(self) -> Iterator[NormLayer]:
        yield from self.stem_norms()
        for place in self.places():
            yield from self.block_norms(place)

    def tables(self) -> tuple[Table, ...]:
        names = ("stem", *(f"up.{index}" for index in range(len(UP_UNITS))))
        return Table("widths of the blocks", ("to G_middle_1", *NAMES[3:]), (("", names),)), *self.block_tables()
