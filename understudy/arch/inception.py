"""CAT's inception generator (Jin et al. 2021, section 3.1), whole or pruned.

Its blocks' groups of channels are `blocks.I.KIND.KERNEL`, the hidden width of a branch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from understudy.arch.base import Norm, has_bias
from understudy.arch.branches import Branches, branch_columns, whole_branches
from understudy.arch.layers import Convolution, NormLayer, Size, Table
from understudy.arch.residual import Padding, ResidualArch, end_widths, whole_ends
from understudy.data.terms import Encoding
from understudy.errors import UserError


@dataclass(frozen=True)
class InceptionArch(ResidualArch):
    """blocks: the branches of each block; a block without any is the identity."""

    blocks: tuple[Branches, ...]

    family: ClassVar[str] = "inception"

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)

    def block_convolutions(self, size: Size) -> Iterator[Convolution]:
        for index, branches in enumerate(self.blocks):
            yield from branches.convolutions(f"blocks.{index}", self.trunk, self.trunk, size, bias=has_bias(self.norm))

    def block_norms(self) -> Iterator[NormLayer]:
        for index, branches in enumerate(self.blocks):
            yield from branches.norms(f"blocks.{index}")
            if branches:
                yield NormLayer(f"blocks.{index}.norm", self.trunk)

    def block_table(self) -> Table:
        headings, names = branch_columns(iter(self.blocks))
        rows = tuple(
            (f"block {index}", tuple(f"blocks.{index}.{name}" for name in names)) for index in range(self.num_blocks)
        )
        return Table("hidden widths of the branches", headings, rows)

    def with_widths(self, widths: Mapping[str, int]) -> "InceptionArch":
        blocks = tuple(branches.surviving(f"blocks.{index}", widths) for index, branches in enumerate(self.blocks))
        ends: Any = end_widths(widths)
        return replace(self, **ends, blocks=blocks)


def inception(
    ngf: int,
    blocks: int,
    reduction: int,
    norm: Norm,
    padding: Padding,
    encoding: Encoding,
    input_channels: int,
    size: Size,
) -> InceptionArch:
    """CAT's teacher: `blocks` blocks of width 4 ngf, each of six branches of hidden width floor(4 ngf / reduction).

    Raises UserError for numbers that make no network.
    """
    if not 1 <= reduction <= 4 * ngf:
        raise UserError(f"inception: reduction must be in [1, 4 ngf], found {reduction} at ngf {ngf}")
    try:
        return InceptionArch(
            **whole_ends(ngf, norm, padding, encoding, input_channels, size),
            blocks=tuple(whole_branches(4 * ngf // reduction) for _ in range(blocks)),
        )
    except ValueError as error:
        raise UserError(f"inception: {error}") from None
