"""CAT's inception generator (Jin et al. 2021, section 3.1), whole or pruned.

Its blocks' groups of channels are `blocks.I.KIND.KERNEL`, the hidden width of a branch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from understudy.arch.base import Norm, has_bias
from understudy.arch.layers import Channels, Convolution, NormLayer, Size, Table
from understudy.arch.residual import Padding, ResidualArch, end_widths, whole_ends
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.params.loader import require

Kind = Literal["conv", "depthwise"]

KERNELS = (1, 3, 5)  # of a whole block's branches (CAT, released settings)


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
class InceptionArch(ResidualArch):
    blocks: tuple[Block, ...]

    family: ClassVar[str] = "inception"

    @property
    def num_blocks(self) -> int:
        return len(self.blocks)

    def block_convolutions(self, size: Size) -> Iterator[Convolution]:
        trunk, bias = self.trunk, has_bias(self.norm)
        for kind, kernel, hidden in self._branches():
            outer = kernel if kind == "conv" else 1
            yield Convolution(f"{hidden.name}.first", (trunk,), hidden, outer, size, size, bias)
            if kind == "depthwise":
                yield Convolution(f"{hidden.name}.spatial", (hidden,), hidden, kernel, size, size, bias, depthwise=True)
            yield Convolution(f"{hidden.name}.second", (hidden,), trunk, outer, size, size, bias)

    def block_norms(self) -> Iterator[NormLayer]:
        for index, block in enumerate(self.blocks):
            for kind, kernel, width in block.branches():
                hidden = _hidden(index, kind, kernel, width)
                yield NormLayer(f"{hidden.name}.norm", hidden)
                if kind == "depthwise":
                    yield NormLayer(f"{hidden.name}.spatial_norm", hidden)
            if block.conv or block.depthwise:
                yield NormLayer(f"blocks.{index}.norm", self.trunk)

    def block_table(self) -> Table:
        columns = sorted({(kind, kernel) for kind, kernel, _ in self._branches()})
        return Table(
            "hidden widths of the branches",
            tuple(f"{kind} {kernel}x{kernel}" for kind, kernel in columns),
            tuple(
                (f"block {index}", tuple(_hidden(index, kind, kernel, 0).name for kind, kernel in columns))
                for index in range(self.num_blocks)
            ),
        )

    def with_widths(self, widths: Mapping[str, int]) -> "InceptionArch":
        def survivors(index: int, kind: Kind, before: Mapping[str, int]) -> dict[str, int]:
            after = {kernel: widths[_hidden(index, kind, int(kernel), 0).name] for kernel in before}
            return {kernel: width for kernel, width in after.items() if width}

        blocks = tuple(
            Block(survivors(index, "conv", block.conv), survivors(index, "depthwise", block.depthwise))
            for index, block in enumerate(self.blocks)
        )
        ends: Any = end_widths(widths)
        return replace(self, **ends, blocks=blocks)

    def _branches(self) -> Iterator[tuple[Kind, int, Channels]]:
        """(kind, kernel size, hidden channels) of every branch of every block."""
        for index, block in enumerate(self.blocks):
            for kind, kernel, width in block.branches():
                yield kind, kernel, _hidden(index, kind, kernel, width)


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
    widths = {str(kernel): 4 * ngf // reduction for kernel in KERNELS}
    try:
        return InceptionArch(
            **whole_ends(ngf, norm, padding, encoding, input_channels, size),
            blocks=tuple(Block(conv=dict(widths), depthwise=dict(widths)) for _ in range(blocks)),
        )
    except ValueError as error:
        raise UserError(f"inception: {error}") from None


def _hidden(block: int, kind: Kind, kernel: int, width: int) -> Channels:
    """The hidden channels of a branch, which is also the name of its module."""
    return Channels(f"blocks.{block}.{kind}.{kernel}", width, removable=True)
