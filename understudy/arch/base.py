"""An architecture as data: what arch.json holds, and the only thing that a network is built from.

Reading, comparing and costing an architecture needs no torch.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from understudy.arch.layers import IMAGE, INPUT, Channels, Convolution, NormLayer, Size, Table
from understudy.data.terms import Encoding
from understudy.errors import UserError
from understudy.params.loader import require

Norm = Literal["batch", "instance", "instance_affine"]

IMAGE_CHANNELS = 3
SMALLEST = 16  # pixels of a side: at a quarter of it a 7x7 branch has 4 to reflect, and every family can be tapped
MIN_PIXELS = 16  # of a feature whose pixels are compared; at a UNet's 1x1 bottleneck there is nothing to compare

AnyArch = TypeVar("AnyArch", bound="Arch")


def has_bias(norm: Norm) -> bool:
    """Whether convolutions before such a norm have a bias (CycleGAN's rule, kept by CAT: instance norms only)."""
    return norm != "batch"


@dataclass(frozen=True)
class Arch:
    """What all generators share; a family adds its widths and says which layers they make.

    size: height and width in pixels that costs are stated for; the networks take any other multiples of `stride`.
    encoding, input_channels: how a label map enters. output_channels: of the image, 3.
    """

    size: Size
    encoding: Encoding
    input_channels: int
    output_channels: int
    norm: Norm

    family: ClassVar[str]

    def __post_init__(self) -> None:
        require(
            all(side >= SMALLEST and side % self.stride == 0 for side in self.size),
            "size",
            f"multiples of {self.stride}, at least {SMALLEST}; found {self.size}",
        )
        require(self.input_channels >= 1, "input_channels", f"must be at least 1, found {self.input_channels}")
        require(self.output_channels == IMAGE_CHANNELS, "output_channels", f"must be 3, found {self.output_channels}")

    @property
    def stride(self) -> int:
        """What height and width must be multiples of."""
        raise NotImplementedError

    @property
    def depth(self) -> str:
        """How deep the network is, in the family's own words."""
        raise NotImplementedError

    @property
    def tap_widths(self) -> Mapping[str, int]:
        """Channels of the features that distillation matches, by tap, in the order of the forward pass."""
        raise NotImplementedError

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the features that distillation matches."""
        return tuple(self.tap_widths)

    @property
    def middle(self) -> str:
        """The tap of the semantic relation: the features between encoder and decoder (SRPKD, section 3)."""
        raise NotImplementedError

    def convolutions(self) -> Iterator[Convolution]:
        """Every convolution of the network, in the order of its modules."""
        raise NotImplementedError

    def norms(self) -> Iterator[NormLayer]:
        """Every norm of the network, in the order of its modules."""
        raise NotImplementedError

    def tables(self) -> tuple[Table, ...]:
        """The layout of every width that pruning may change."""
        raise NotImplementedError

    def with_widths(self: AnyArch, widths: Mapping[str, int]) -> AnyArch:
        """The same network with other widths, by group. What a group of width 0 belongs to is removed."""
        raise NotImplementedError

    @property
    def has_scales(self) -> bool:
        """Whether the norms have a scale and a shift for each channel."""
        return self.norm != "instance"

    @property
    def input(self) -> Channels:
        return Channels(INPUT, self.input_channels)

    @property
    def image(self) -> Channels:
        return Channels(IMAGE, self.output_channels)

    def require_batch(self, images: int) -> None:
        """Raise UserError when a norm would see one value of a channel alone in a batch of so many, which it cannot."""
        normed = {norm.channels.name for norm in self.norms()}
        maps = (math.prod(conv.output_size) for conv in self.convolutions() if conv.writes.name in normed)
        if min(maps, default=2) * (images if self.norm == "batch" else 1) == 1:
            raise UserError(
                f"schedule.batch_size: {images}: at {self.size[0]}x{self.size[1]} pixels this generator norms maps of "
                "one pixel, which leaves nothing of them; train on larger images"
                + (", or on 2 or more at a time" if self.norm == "batch" else "")
            )

    def groups(self) -> dict[str, Channels]:
        """Every group of channels inside the network, by name, in the order in which they are first written."""
        written = {conv.writes.name: conv.writes for conv in self.convolutions()}
        del written[IMAGE]
        return written

    def widths(self) -> dict[str, int]:
        """Width by group."""
        return {name: group.width for name, group in self.groups().items()}
