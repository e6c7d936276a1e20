"""The UNet generator of pix2pix (Isola et al. 2017, section 3.2.1 and appendix 6.1), whole or pruned.

Each level halves the map on the way down and doubles it on the way up, where it reads what it handed across on the way
down (first) and the level below (second). Its groups of channels are `down.I` and `up.I`, both counted in the order of
the forward pass: down.0 is at half the image's size, and so is the last of `up`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from understudy.arch.base import IMAGE_CHANNELS, MIN_PIXELS, Arch, Norm, has_bias
from understudy.arch.layers import Channels, Convolution, NormLayer, Size, Table
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.params.loader import require

KERNEL = 4
WIDEST = 8  # widths double from level to level up to 8 ngf
SQUARE = 16  # pixels of the side of the map whose relations are compared, where there is one (SRPKD, section 3)


@dataclass(frozen=True)
class UnetArch(Arch):
    """down, up: widths of the down- and up-convolutions in the order of the forward pass, the image's left out.

    The first and the last of `down` have no norm (the outermost and the innermost level's).
    """

    down: tuple[int, ...]
    up: tuple[int, ...]

    family: ClassVar[str] = "unet"

    def __post_init__(self) -> None:
        require(len(self.down) >= 2, "down", f"at least 2 levels are needed, found {len(self.down)}")
        require(
            len(self.up) == self.levels - 1,
            "up",
            f"{self.levels - 1} widths are needed, one less than in down; found {len(self.up)}",
        )
        for name in ("down", "up"):
            require(min(getattr(self, name)) >= 1, name, f"widths must be at least 1, found {getattr(self, name)}")
        super().__post_init__()

    @property
    def levels(self) -> int:
        return len(self.down)

    @property
    def stride(self) -> int:
        return 1 << self.levels

    @property
    def depth(self) -> str:
        return f"{self.levels} {self.family} levels"

    @property
    def tap_widths(self) -> Mapping[str, int]:
        """Every level's features on the way down and up whose maps have enough pixels to be compared.

        The smallest image that an architecture may have leaves 64 pixels at the first level, so that there are some.
        """
        return {
            conv.writes.name: conv.writes.width
            for conv in self.convolutions()
            if conv.writes != self.image and math.prod(conv.output_size) >= MIN_PIXELS
        }

    @property
    def middle(self) -> str:
        """The deepest feature on the way down of at least 16x16 pixels, the 4th at 256 px (SRPKD, section 3).

        Of small images the deepest of at least 16 pixels: never the bottleneck of one pixel, which relates to nothing.
        """
        down = [conv for conv in self.convolutions() if not conv.transposed]
        square = [conv for conv in down if min(conv.output_size) >= SQUARE]
        enough = [conv for conv in down if math.prod(conv.output_size) >= MIN_PIXELS]
        return (square or enough)[-1].writes.name

    def convolutions(self) -> Iterator[Convolution]:
        down, up, bias, before = self._down(), self._up(), has_bias(self.norm), self.size
        source: tuple[Channels, ...] = (self.input,)
        for level, group in enumerate(down):
            after = self._size(level)
            yield Convolution(f"{group.name}.conv", source, group, KERNEL, before, after, bias)
            source, before = (group,), after
        for index, group in enumerate(up):
            level = self._opposite(index)
            after = self._size(level)
            yield Convolution(f"{group.name}.conv", source, group, KERNEL, before, after, bias, transposed=True)
            source, before = (down[level], group), after
        yield Convolution("image.conv", source, self.image, KERNEL, before, self.size, bias=True, transposed=True)

    def norms(self) -> Iterator[NormLayer]:
        for group in (*self._down()[1:-1], *self._up()):
            yield NormLayer(f"{group.name}.norm", group)

    def tables(self) -> tuple[Table, ...]:
        rows = []
        for level in range(self.levels):
            height, width = self._size(level)
            up = f"up.{self._opposite(level)}" if level < self.levels - 1 else None
            rows.append((f"{height}x{width}", (f"down.{level}", up)))
        return (Table("widths by the size of the map", ("down", "up"), tuple(rows)),)

    def with_widths(self, widths: Mapping[str, int]) -> "UnetArch":
        down, up = (tuple(widths[group.name] for group in groups) for groups in (self._down(), self._up()))
        return replace(self, down=down, up=up)

    def _down(self) -> tuple[Channels, ...]:
        return tuple(Channels(f"down.{index}", width) for index, width in enumerate(self.down))

    def _up(self) -> tuple[Channels, ...]:
        return tuple(Channels(f"up.{index}", width) for index, width in enumerate(self.up))

    def _opposite(self, index: int) -> int:
        """The I of the down.I at whose size up.`index` is, and of the up.I at the size of down.`index`."""
        return self.levels - 2 - index

    def _size(self, level: int) -> Size:
        """Of down.`level`."""
        return self.size[0] >> (level + 1), self.size[1] >> (level + 1)


def unet(ngf: int, levels: int, norm: Norm, encoding: Encoding, input_channels: int, size: Size) -> UnetArch:
    """The literature's network: widths ngf, 2 ngf, 4 ngf, 8 ngf and then 8 ngf; `unet_256` has 8 levels.

    Raises UserError for numbers that make no network, as when the size is no multiple of 2**levels.
    """
    down = tuple(ngf * min(1 << level, WIDEST) for level in range(levels))
    try:
        return UnetArch(size, encoding, input_channels, IMAGE_CHANNELS, norm, down, down[-2::-1])
    except ValueError as error:
        raise UserError(f"unet of {levels} levels: {error}") from None
