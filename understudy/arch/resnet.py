"""The ResNet generator of CycleGAN and pix2pix (Zhu et al. 2017, appendix 7.2), whole or pruned.

Its blocks' groups of channels are `blocks.I`, the width between a block's two 3x3 convolutions. The norm after the
second one has the trunk's channels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from understudy.arch.base import Norm, has_bias
from understudy.arch.layers import Channels, Convolution, NormLayer, Size, Table
from understudy.arch.residual import Padding, ResidualArch, end_widths, whole_ends
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.params.loader import require


@dataclass(frozen=True)
class ResnetArch(ResidualArch):
    """blocks: hidden width of each residual block; a block of width 0 is the identity."""

    blocks: tuple[int, ...]

    family: ClassVar[str] = "resnet"

    def __post_init__(self) -> None:
        super().__post_init__()
        for index, width in enumerate(self.blocks):
            require(width >= 0, f"blocks[{index}]", f"width must be at least 0 (no block), found {width}")

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)

    def block_convolutions(self, size: Size) -> Iterator[Convolution]:
        for hidden in self._hidden():
            yield Convolution(f"{hidden.name}.first", (self.trunk,), hidden, 3, size, size, has_bias(self.norm))
            yield Convolution(f"{hidden.name}.second", (hidden,), self.trunk, 3, size, size, has_bias(self.norm))

    def block_norms(self) -> Iterator[NormLayer]:
        for hidden in self._hidden():
            yield NormLayer(f"{hidden.name}.first_norm", hidden)
            yield NormLayer(f"{hidden.name}.second_norm", self.trunk)

    def block_table(self) -> Table:
        rows = tuple((f"block {index}", (f"blocks.{index}",)) for index in range(self.num_blocks))
        return Table("hidden widths of the blocks", ("hidden",), rows)

    def with_widths(self, widths: Mapping[str, int]) -> "ResnetArch":
        blocks = tuple(widths.get(f"blocks.{index}", 0) for index in range(self.num_blocks))
        ends: Any = end_widths(widths)
        return replace(self, **ends, blocks=blocks)

    def _hidden(self) -> Iterator[Channels]:
        """The hidden channels of the blocks that are there."""
        for index, width in enumerate(self.blocks):
            if width:
                yield Channels(f"blocks.{index}", width, removable=True)


def resnet(
    ngf: int, blocks: int, norm: Norm, padding: Padding, encoding: Encoding, input_channels: int, size: Size
) -> ResnetArch:
    """The literature's baseline, at ngf 64 and 9 blocks the "Original" of CAT's tables.

    Raises UserError for numbers that make no network.
    """
    try:
        return ResnetArch(**whole_ends(ngf, norm, padding, encoding, input_channels, size), blocks=(4 * ngf,) * blocks)
    except ValueError as error:
        raise UserError(f"resnet: {error}") from None
