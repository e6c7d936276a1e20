"""The six branches of CAT: of a residual block and of a modulation (Jin et al. 2021, section 3.1 and figure 3).

A branch's group of hidden channels is `OWNER.KIND.KERNEL`, where OWNER is the module that sums the branches.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from understudy.arch.layers import Channels, Convolution, NormLayer, Size
from understudy.params.loader import require

Kind = Literal["conv", "depthwise"]

KERNELS = (1, 3, 5)  # of a whole set of branches (CAT, released settings)


@dataclass(frozen=True)
class Branches:
    """Hidden widths by kernel size ("1", "3", "5" or "7"). A branch that is not there is left out of its mapping."""

    conv: dict[str, int]
    depthwise: dict[str, int]

    def __post_init__(self) -> None:
        for kind in ("conv", "depthwise"):
            for kernel, width in getattr(self, kind).items():
                require(kernel in ("1", "3", "5", "7"), kind, f"kernel must be 1, 3, 5 or 7, found {kernel!r}")
                require(
                    width >= 1, f"{kind}.{kernel}", f"width must be at least 1 (leave the branch out), found {width}"
                )

    def __bool__(self) -> bool:
        return bool(self.conv or self.depthwise)

    def __iter__(self) -> Iterator[tuple[Kind, int, int]]:
        """(kind, kernel size, hidden width) of each branch: conventional ones first, by growing kernel."""
        for kernel, width in sorted(self.conv.items()):
            yield "conv", int(kernel), width
        for kernel, width in sorted(self.depthwise.items()):
            yield "depthwise", int(kernel), width

    def convolutions(
        self, owner: str, reads: Channels, writes: Channels, size: Size, *, bias: bool, copies: int = 1
    ) -> Iterator[Convolution]:
        """Every convolution of maps of `size`; the sum of the branches has `copies` times the channels of `writes`."""
        for kind, kernel, width in self:
            hidden = _hidden(owner, kind, kernel, width)
            outer = kernel if kind == "conv" else 1
            yield Convolution(f"{hidden.name}.first", (reads,), hidden, outer, size, size, bias)
            if kind == "depthwise":
                yield Convolution(f"{hidden.name}.spatial", (hidden,), hidden, kernel, size, size, bias, depthwise=True)
            yield Convolution(f"{hidden.name}.second", (hidden,), writes, outer, size, size, bias, copies=copies)

    def norms(self, owner: str, *, spatial_scales: bool = True) -> Iterator[NormLayer]:
        """Every norm. spatial_scales: whether a depthwise branch's second norm has scales, where norms have any."""
        for kind, kernel, width in self:
            hidden = _hidden(owner, kind, kernel, width)
            yield NormLayer(f"{hidden.name}.norm", hidden)
            if kind == "depthwise":
                yield NormLayer(f"{hidden.name}.spatial_norm", hidden, spatial_scales)

    def surviving(self, owner: str, widths: Mapping[str, int]) -> "Branches":
        """The same with other widths, by group; what has width 0, or is not among them, is left out."""

        def survivors(kind: Kind, before: Mapping[str, int]) -> dict[str, int]:
            after = {kernel: widths.get(_hidden(owner, kind, int(kernel), 0).name, 0) for kernel in before}
            return {kernel: width for kernel, width in after.items() if width}

        return Branches(survivors("conv", self.conv), survivors("depthwise", self.depthwise))


def whole_branches(hidden: int) -> Branches:
    """All six, each of `hidden` channels."""
    widths = {str(kernel): hidden for kernel in KERNELS}
    return Branches(conv=dict(widths), depthwise=dict(widths))


def branch_columns(every: Iterator[Branches]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of a table with a column for each branch that any of these has: headings, and what follows OWNER in a name."""
    kinds = sorted({(kind, kernel) for branches in every for kind, kernel, _ in branches})
    return tuple(f"{kind} {kernel}x{kernel}" for kind, kernel in kinds), tuple(f"{k}.{size}" for k, size in kinds)


def _hidden(owner: str, kind: Kind, kernel: int, width: int) -> Channels:
    """The hidden channels of a branch, which is also the name of its module."""
    return Channels(f"{owner}.{kind}.{kernel}", width, removable=True)
