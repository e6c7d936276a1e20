"""GauGAN's generator (Park et al. 2019, SPADE, figure 4 and appendix A), the "Original" that CAT compresses.

A block normalises, by batch norm modulated by the label map, before each of its two 3x3 convolutions and before its
shortcut's. Norms have no scales of their own. The groups of hidden channels: `blocks.I` between the two convolutions,
and those of the modulations, `blocks.I.PART.spade` with PART first, second or shortcut.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from understudy.arch.base import IMAGE_CHANNELS
from understudy.arch.decoder import NAMES, STEM_UNIT, UP_UNITS, DecoderArch, Place
from understudy.arch.layers import Channels, Convolution, NormLayer, Size, Table
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.params.loader import require

MODULATION = 128  # hidden width of every modulation


@dataclass(frozen=True)
class GauganBlock:
    """hidden: width between the two convolutions; at 0 the shortcut alone is left, and first and second are 0 too.

    first, second, shortcut: hidden widths of the modulations before each convolution; at 0 the norm modulates nothing.
    shortcut: 0 where the shortcut is the identity.
    """

    hidden: int
    first: int
    second: int
    shortcut: int

    def __post_init__(self) -> None:
        for name in ("hidden", "first", "second", "shortcut"):
            require(getattr(self, name) >= 0, name, f"width must be at least 0, found {getattr(self, name)}")
        require(
            bool(self.hidden) or not (self.first or self.second), "hidden", "first or second modulates what is removed"
        )


@dataclass(frozen=True)
class GauganArch(DecoderArch):
    blocks: tuple[GauganBlock, ...]

    family: ClassVar[str] = "gaugan"

    def __post_init__(self) -> None:
        super().__post_init__()
        for place, block in zip(self.places(), self.blocks, strict=True):
            require(
                place.learns_shortcut or not block.shortcut,
                f"blocks[{place.index}].shortcut",
                "must be 0 where the shortcut is the identity",
            )

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)

    @property
    def has_scales(self) -> bool:
        return False

    def stem_norms(self) -> Iterator[NormLayer]:
        return iter(())

    def block_convolutions(self, place: Place) -> Iterator[Convolution]:
        size, hidden = place.size, self._hidden(place)
        for part, kernel, reads, writes in self._parts(place, hidden):
            name, width = f"{place.name}.{part}", getattr(self.blocks[place.index], part)
            if width:
                labels = Channels(f"{name}.spade", width, removable=True)
                yield Convolution(f"{name}.spade.shared", (self.input,), labels, 3, size, size, bias=True)
                for role in ("scale", "shift"):
                    yield Convolution(f"{name}.spade.{role}", (labels,), reads, 3, size, size, bias=True)
            yield Convolution(f"{name}.conv", (reads,), writes, kernel, size, size, bias=part != "shortcut")

    def block_norms(self, place: Place) -> Iterator[NormLayer]:
        for part, _, reads, _ in self._parts(place, self._hidden(place)):
            yield NormLayer(f"{place.name}.{part}.spade.norm", reads)

    def block_tables(self) -> tuple[Table, ...]:
        places = list(self.places())
        hidden = tuple((NAMES[place.index], (place.name,)) for place in places)
        modulations = tuple(
            (
                NAMES[place.index],
                tuple(f"{place.name}.{part}.spade" for part in ("first", "second"))
                + ((f"{place.name}.shortcut.spade",) if place.learns_shortcut else (None,)),
            )
            for place in places
        )
        return (
            Table("hidden widths of the blocks", ("hidden",), hidden, "shortcut alone"),
            Table("hidden widths of the modulations", ("first", "second", "shortcut"), modulations, "plain norms"),
        )

    def with_widths(self, widths: Mapping[str, int]) -> "GauganArch":
        blocks = []
        for place in self.places():
            first, second, shortcut = (
                widths.get(f"{place.name}.{part}.spade", 0) for part in ("first", "second", "shortcut")
            )
            hidden = widths.get(place.name, 0)
            blocks.append(GauganBlock(hidden, first if hidden else 0, second if hidden else 0, shortcut))
        return replace(self, ngf=widths["stem"] // STEM_UNIT, blocks=tuple(blocks))

    def _hidden(self, place: Place) -> Channels:
        return Channels(place.name, self.blocks[place.index].hidden, removable=True)

    def _parts(self, place: Place, hidden: Channels) -> Iterator[tuple[str, int, Channels, Channels]]:
        """(name, kernel size, group that is normalised and read, group that is written) of each convolution."""
        if hidden.width:
            yield "first", 3, place.reads, hidden
            yield "second", 3, hidden, place.writes
        if place.learns_shortcut:
            yield "shortcut", 1, place.reads, place.writes


def gaugan(ngf: int, encoding: Encoding, input_channels: int, size: Size) -> GauganArch:
    """The literature's network, at ngf 64 and 36 channels of 256x512 pixels; its head reads the label map, no noise.

    Raises UserError for numbers that make no network.
    """
    if ngf < 1:
        raise UserError(f"gaugan: ngf must be at least 1, found {ngf}")
    stem = GauganBlock(STEM_UNIT * ngf, MODULATION, MODULATION, 0)
    ups = (GauganBlock(unit * ngf, MODULATION, MODULATION, MODULATION) for unit in UP_UNITS)
    try:
        return GauganArch(size, encoding, input_channels, IMAGE_CHANNELS, "batch", ngf, (stem, stem, stem, *ups))
    except ValueError as error:
        raise UserError(f"gaugan: {error}") from None
