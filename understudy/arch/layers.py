"""A network as a list of its layers: what counting, choosing channels and cutting weights need to know of it.

Layers name the groups of channels that they read and write. A group's channels live and die together: a convolution
makes them, norms scale them, other convolutions read them.
"""

from dataclasses import dataclass

Size = tuple[int, int]  # (height, width) of a map, in pixels

INPUT, IMAGE = "input", "image"  # the groups that no pruning touches


@dataclass(frozen=True)
class Channels:
    """A group of channels. removable: it may lose all of them, and then the layers around it go too.

    unit: its width is a multiple of this, and a lower bound of widths counts such units. follows: the group whose
    number of units it always has; None where it has a width of its own.
    """

    name: str
    width: int
    removable: bool = False
    unit: int = 1
    follows: str | None = None


@dataclass(frozen=True)
class Convolution:
    """One convolution at one image size. name: of the module. Sizes: of its maps, before and after.

    reads: joined along the channels in this order. depthwise: each channel by itself; it reads what it writes.
    copies: how many channels it makes for each of `writes`, group after group: a modulation makes scales, then shifts.
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
    copies: int = 1

    @property
    def filters(self) -> int:
        """Channels that it makes."""
        return self.copies * self.writes.width

    @property
    def weights(self) -> int:
        depth = 1 if self.depthwise else sum(group.width for group in self.reads)  # of each filter
        return depth * self.filters * self.kernel**2

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
    """One norm. name: of the module. channels: the group that it normalises.

    scales: whether it has a scale and a shift for each, where the architecture's norms have any.
    """

    name: str
    channels: Channels
    scales: bool = True


@dataclass(frozen=True)
class Table:
    """Some of a network's widths as a person would lay them out.

    rows: name and group for each column; None where there is nothing. A group that was pruned away keeps its place.
    empty: what a row is that has lost every group.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str | None, ...]], ...]
    empty: str = "identity"
