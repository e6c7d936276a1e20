"""A network as a list of its layers: what counting, choosing channels and cutting weights need to know of it.

Layers name the groups of channels that they read and write. A group's channels live and die together: a convolution
makes them, norms scale them, other convolutions read them.
"""

from dataclasses import dataclass

Size = tuple[int, int]  # (height, width) of a map, in pixels

INPUT, IMAGE = "input", "image"  # the groups that no pruning touches


@dataclass(frozen=True)
class Channels:
    """A group of channels. removable: it may lose all of them, and then the layers around it go too."""

    name: str
    width: int
    removable: bool = False


@dataclass(frozen=True)
class Convolution:
    """One convolution at one image size. name: of the module. Sizes: of its maps, before and after.

    reads: joined along the channels in this order. depthwise: each channel by itself; it reads what it writes.
    """

    name: str
    reads: tuple[Channels, ...]
    writes: Channels
    kernel: int
    input_size: Size
    output_size: Size
    bias: bool
    depthwise: bool = False
    transposed: bool = False

    @property
    def weights(self) -> int:
        filters = 1 if self.depthwise else sum(group.width for group in self.reads)  # input channels of each filter
        return filters * self.writes.width * self.kernel**2

    @property
    def macs_true(self) -> int:
        """Multiplications done: a transposed convolution uses its weights once for each input position."""
        height, width = self.input_size if self.transposed else self.output_size
        return self.weights * height * width

    @property
    def macs_legacy(self) -> int:
        """The literature's count, at the output size always: 4 times too much for a transposed one of stride 2."""
        height, width = self.output_size
        return self.weights * height * width


@dataclass(frozen=True)
class NormLayer:
    """One norm. name: of the module. channels: the group that it scales."""

    name: str
    channels: Channels


@dataclass(frozen=True)
class Table:
    """Some of a network's widths as a person would lay them out.

    rows: name and group for each column; None where there is nothing. A group that was pruned away keeps its place.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str | None, ...]], ...]
