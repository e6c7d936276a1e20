"""What the inception and the ResNet generator share: a stem, a trunk of residual blocks, a head (Johnson et al., 2016).

The groups of channels: `down.I` after each convolution of the stem, `up.I` after each of the head but the last, and the
blocks' own. The trunk's is `down.2`: every block reads it and adds to it, so that it is cut in all of them at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from understudy.arch.base import IMAGE_CHANNELS, Arch, Norm, has_bias
from understudy.arch.layers import Channels, Convolution, NormLayer, Size, Table
from understudy.data.terms import Encoding
from understudy.params.loader import require

Padding = Literal["reflect", "replicate", "zero"]


@dataclass(frozen=True)
class ResidualArch(Arch):
    """Three stem convolutions, a trunk of residual blocks, three head convolutions.

    stem: widths at full, half and quarter resolution; the last is the trunk's. head: widths at half and full
    resolution, before the last convolution.
    """

    padding: Padding
    stem: tuple[int, int, int]
    head: tuple[int, int]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stem", "head"):
            require(min(getattr(self, name)) >= 1, name, f"widths must be at least 1, found {getattr(self, name)}")
        require(
            self.num_blocks >= 3 and self.num_blocks % 3 == 0,
            "blocks",
            f"a multiple of 3 is needed (three groups are tapped), found {self.num_blocks}",
        )

    @property
    def stride(self) -> int:
        return 4

    @property
    def num_blocks(self) -> int:
        raise NotImplementedError

    @property
    def depth(self) -> str:
        return f"{self.num_blocks} {self.family} blocks"

    @property
    def trunk(self) -> Channels:
        return Channels("down.2", self.stem[-1])

    @property
    def tap_widths(self) -> Mapping[str, int]:
        """The outputs of the stem and of each third of the blocks (CAT)."""
        third = self.num_blocks // 3
        blocks = (f"block.{index}" for index in (third - 1, 2 * third - 1, 3 * third - 1))
        return dict.fromkeys(("stem", *blocks), self.trunk.width)

    @property
    def middle(self) -> str:
        return f"block.{(self.num_blocks - 1) // 2}"

    def block_convolutions(self, size: Size) -> Iterator[Convolution]:
        """Of all blocks. size: of the trunk's maps."""
        raise NotImplementedError

    def block_norms(self) -> Iterator[NormLayer]:
        raise NotImplementedError

    def block_table(self) -> Table:
        raise NotImplementedError

    def convolutions(self) -> Iterator[Convolution]:
        full = self.size
        half, quarter = (full[0] // 2, full[1] // 2), (full[0] // 4, full[1] // 4)
        first, second, trunk, up_half, up_full = self._ends()
        bias = has_bias(self.norm)
        yield Convolution("down.0.conv", (self.input,), first, 7, full, full, bias)
        yield Convolution("down.1.conv", (first,), second, 3, full, half, bias)
        yield Convolution("down.2.conv", (second,), trunk, 3, half, quarter, bias)
        yield from self.block_convolutions(quarter)
        yield Convolution("up.0.conv", (trunk,), up_half, 3, quarter, half, bias, transposed=True)
        yield Convolution("up.1.conv", (up_half,), up_full, 3, half, full, bias, transposed=True)
        yield Convolution("up.2.conv", (up_full,), self.image, 7, full, full, bias=True)

    def norms(self) -> Iterator[NormLayer]:
        *stem, up_half, up_full = self._ends()
        for group in stem:
            yield NormLayer(f"{group.name}.norm", group)
        yield from self.block_norms()
        for group in (up_half, up_full):
            yield NormLayer(f"{group.name}.norm", group)

    def tables(self) -> tuple[Table, ...]:
        columns = ("stem 0", "stem 1", "stem 2", "head 0", "head 1")
        ends = Table("stem and head", columns, (("", tuple(group.name for group in self._ends())),))
        return ends, self.block_table()

    def _ends(self) -> tuple[Channels, ...]:
        """The groups of stem and head: three and two."""
        first, second, trunk = self.stem
        half, full = self.head
        widths = {"down.0": first, "down.1": second, "down.2": trunk, "up.0": half, "up.1": full}
        return tuple(Channels(name, width) for name, width in widths.items())


def end_widths(widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The fields `stem` and `head` from widths by group."""
    return {"stem": tuple(widths[f"down.{i}"] for i in range(3)), "head": tuple(widths[f"up.{i}"] for i in range(2))}


def whole_ends(
    ngf: int, norm: Norm, padding: Padding, encoding: Encoding, input_channels: int, size: Size
) -> dict[str, Any]:
    """The fields of everything but the blocks, at the widths of the literature."""
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
