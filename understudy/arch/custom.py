"""A network of a user's own as data: the graph of its operations, as it was traced from its code.

Which channels belong together follows from the graph (the idea of DepGraph, Fang et al. 2023): each convolution makes a
group of its own, but for those whose maps are added or multiplied, which share one, and depthwise ones, whose channels
are those that they read. A group has the name of the first convolution that makes it, and none may vanish. The code
that the graph was traced from is not needed again, and a reader of arch.json never looks for it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from understudy.arch.base import MIN_PIXELS, Arch
from understudy.arch.layers import IMAGE, INPUT, Channels, Convolution, NormLayer, Size, Table
from understudy.params.loader import require

Operation = Literal[
    "conv", "depthwise", "conv_transposed", "batch_norm", "instance_norm",
    "relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "plus", "times",
    "pad_zero", "pad_reflect", "pad_replicate",
    "upsample_nearest", "upsample_bilinear", "max_pool", "avg_pool", "global_pool",
    "add", "multiply", "cat",
]  # fmt: skip
WINDOW = ("kernel", "stride", "padding")
SIDES = ("left", "right", "top", "bottom")
SETTINGS: Mapping[str, tuple[str, ...]] = {  # of the operations that have any
    "conv": ("channels", *WINDOW, "dilation", "bias"),
    "depthwise": (*WINDOW, "dilation", "bias"),
    "conv_transposed": ("channels", *WINDOW, "output_padding", "bias"),
    "batch_norm": ("affine",),
    "instance_norm": ("affine",),
    "pad_zero": SIDES,
    "pad_reflect": SIDES,
    "pad_replicate": SIDES,
    "upsample_nearest": ("scale",),
    "upsample_bilinear": ("scale", "align_corners"),
    "max_pool": WINDOW,
    "avg_pool": WINDOW,
}
MOST = 4096  # more of anything, and 64 times the image's pixels in a map, are no network but a damaged file
LARGEST = 64
AT_LEAST_ONE = ("channels", "kernel", "stride", "dilation", "scale")
VALUED = ("batch_norm", "instance_norm", "leaky_relu", "plus", "times")  # by eps, slope, or a number
CONVOLUTIONS = ("conv", "depthwise", "conv_transposed")
WRITERS = ("conv", "conv_transposed")
NORMS = ("batch_norm", "instance_norm")
WEIGHTED = (*CONVOLUTIONS, *NORMS)
JOINING = ("add", "multiply", "cat")


@dataclass(frozen=True)
class Node:
    """One operation. name: of the module that has its weights, or any other. reads: nodes before it, or `input`.

    settings: whole numbers by name, the `SETTINGS` of its operation. value: of one that has a real number, `VALUED`.
    """

    name: str
    op: Operation
    reads: tuple[str, ...]
    settings: dict[str, int]
    value: float | None

    def __post_init__(self) -> None:
        names = SETTINGS.get(self.op, ())
        require(set(self.settings) == set(names), "settings", f"{self.op} has {', '.join(names) or 'none'}")
        for name, number in self.settings.items():
            least = 1 if name in AT_LEAST_ONE else 0
            require(least <= number <= MOST, f"settings.{name}", f"must be in [{least}, {MOST}], found {number}")
        require((self.value is not None) == (self.op in VALUED), "value", f"{self.op}: given, or missing")
        require(self.value is None or math.isfinite(self.value), "value", f"{self.op}: found {self.value}")
        require(self.op not in NORMS or (self.value or 0) > 0, "value", f"{self.op}: must be positive")
        least = 2 if self.op in JOINING else 1
        enough = len(self.reads) >= least and (least == 2 or len(self.reads) == 1)
        require(enough, "reads", f"{self.op} of {', '.join(self.reads) or 'nothing'}")


@dataclass(frozen=True)
class CustomArch(Arch):
    """source: FILE:CLASS, for people. multiple: what height and width must be multiples of.

    tapped: node by tap, in the order of the forward pass. relation: the tap of the semantic relation. nodes: in the
    order of the forward pass; the last one's output is the image.
    """

    source: str
    multiple: int
    tapped: dict[str, str]
    relation: str
    nodes: tuple[Node, ...]

    family: ClassVar[str] = "custom"

    def __post_init__(self) -> None:
        require(self.multiple >= 1, "multiple", f"must be at least 1, found {self.multiple}")
        super().__post_init__()
        require(len(self.nodes) > 0, "nodes", "there are none")
        known = {INPUT}
        for node in self.nodes:
            for name in node.reads:
                require(name in known, "nodes", f"{node.name} reads {name}, which is not before it")
            require(node.name not in known, "nodes", f"two are called {node.name}")
            known.add(node.name)
        twice = len(self.tapped) - len(set(self.tapped.values()))
        require(not twice, "tapped", f"{twice} of the taps are nodes that other taps are")
        for tap, name in self.tapped.items():
            require(name in known, "tapped", f"{tap} is node {name}, which there is not")
        require(self.relation in self.tapped, "relation", f"{self.relation} is no tap; taps: {', '.join(self.tapped)}")
        self._layouts()
        for size in (self.size, (self.size[0] + self.multiple, self.size[1] + self.multiple)):
            after = self._sizes(size)[self.nodes[-1].name]
            fits = f"make an image of {after} from one of {size}; does stride, {self.multiple}, allow that size?"
            require(after == size, "nodes", fits)
        pixels = math.prod(self._sizes(self.size)[self.tapped[self.relation]])
        require(pixels >= MIN_PIXELS, "relation", f"{self.relation} has {pixels} pixels, fewer than {MIN_PIXELS}")

    @property
    def stride(self) -> int:
        return self.multiple

    @property
    def depth(self) -> str:
        return f"{sum(node.op in CONVOLUTIONS for node in self.nodes)} convolutions of {self.source}"

    @property
    def tap_widths(self) -> Mapping[str, int]:
        """Of the taps whose maps have enough pixels to be compared."""
        layouts, sizes = self._layouts(), self._sizes(self.size)
        return {
            tap: sum(group.width for group in layouts[name])
            for tap, name in self.tapped.items()
            if math.prod(sizes[name]) >= MIN_PIXELS
        }

    @property
    def middle(self) -> str:
        return self.relation

    @property
    def has_scales(self) -> bool:
        return any(norm.scales for norm in self.norms())

    def convolutions(self) -> Iterator[Convolution]:
        layouts, sizes = self._layouts(), self._sizes(self.size)
        for node in self.nodes:
            if node.op in CONVOLUTIONS:
                (writes,), (source,) = layouts[node.name], node.reads
                yield Convolution(
                    node.name,
                    layouts[source],
                    writes,
                    node.settings["kernel"],
                    sizes[source],
                    sizes[node.name],
                    bool(node.settings["bias"]),
                    depthwise=node.op == "depthwise",
                    transposed=node.op == "conv_transposed",
                )

    def norms(self) -> Iterator[NormLayer]:
        layouts = self._layouts()
        for node in self.nodes:
            if node.op in NORMS:
                yield NormLayer(node.name, layouts[node.name][0], bool(node.settings["affine"]))

    def tables(self) -> tuple[Table, ...]:
        rows = tuple((name, (name,)) for name in self.groups())
        return (Table("widths by the first convolution that makes them", ("channels",), rows),)

    def with_widths(self, widths: Mapping[str, int]) -> "CustomArch":
        layouts, nodes = self._layouts(), []
        for node in self.nodes:
            (group, *_) = layouts[node.name]
            if node.op in WRITERS and group.name in widths:
                node = replace(node, settings={**node.settings, "channels": widths[group.name]})
            nodes.append(node)
        return replace(self, nodes=tuple(nodes))

    def channels(self) -> dict[str, int]:
        """Of what each node makes, and of the input."""
        return {name: sum(group.width for group in layout) for name, layout in self._layouts().items()}

    def _layouts(self) -> dict[str, tuple[Channels, ...]]:
        """Of what each node makes, and of the input, the groups that are joined in it. Raises ValueError."""
        widths = {INPUT: self.input_channels}
        leaders = {INPUT: INPUT}  # by convolution, one of the same group that is before it, or itself
        layouts: dict[str, tuple[str, ...]] = {INPUT: (INPUT,)}

        def leader(name: str) -> str:
            while leaders[name] != name:
                name = leaders[name]
            return name

        def tie(one: str, other: str, node: Node) -> None:
            one, other = leader(one), leader(other)
            equal = widths[one] == widths[other]
            require(equal, "nodes", f"{node.name} puts {widths[one]} channels to {widths[other]}: not equal")
            first, second = sorted((one, other), key=list(widths).index)
            leaders[second] = first

        for node in self.nodes:
            first, *others = (layouts[name] for name in node.reads)
            if node.op in WRITERS:
                widths[node.name], leaders[node.name] = node.settings["channels"], node.name
                layouts[node.name] = (node.name,)
                continue
            if node.op in WEIGHTED:
                require(len(first) == 1, "nodes", f"{node.name} ({node.op}) reads channels of several convolutions")
            if node.op == "cat":
                layouts[node.name] = sum(others, first)
                continue
            for other in others:
                require(len(other) == len(first), "nodes", f"{node.name} puts maps together that were joined otherwise")
                for one, another in zip(first, other, strict=True):
                    tie(one, another, node)
            layouts[node.name] = first
        end = layouts[self.nodes[-1].name]
        require(len(end) == 1, "nodes", "the image is joined from several maps")
        image = leader(end[0])
        require(widths[image] == self.output_channels, "nodes", f"the image has {widths[image]} channels")
        tied = [name for name in leaders if leader(name) == INPUT != name]
        require(not tied or image == INPUT, "nodes", f"{', '.join(tied)} cannot be cut: added to the input")

        def group(name: str) -> Channels:
            first = leader(name)
            return Channels(IMAGE if first == image else first, widths[first])

        return {name: tuple(group(part) for part in layout) for name, layout in layouts.items()}

    def _sizes(self, image: Size) -> dict[str, Size]:
        """Of the map that each node makes of an image of this size, and of the input. Raises ValueError."""
        sizes = {INPUT: image}
        for node in self.nodes:
            maps = [sizes[name] for name in node.reads]
            height, width = (max(side) for side in zip(*maps, strict=True))
            # A map of one pixel stands for all.
            fits = all(one == (height, width) or (one == (1, 1) and node.op != "cat") for one in maps)
            require(fits, "nodes", f"{node.name} puts maps of {maps} together; is size a multiple of what it needs?")
            sizes[node.name] = (_after(node, height, "top", "bottom"), _after(node, width, "left", "right"))
            require(min(sizes[node.name]) >= 1, "nodes", f"nothing is left of the image at {node.name}")
            larger = math.prod(sizes[node.name]) / math.prod(image)
            require(larger <= LARGEST, "nodes", f"{node.name} makes a map {larger:g} times as large as the image")
        return sizes


def _after(node: Node, side: int, before: str, behind: str) -> int:
    """A side of the map that a node makes of a map with this side."""
    of = node.settings
    if node.op == "conv_transposed":
        return (side - 1) * of["stride"] - 2 * of["padding"] + of["kernel"] + of["output_padding"]
    if "kernel" in of:
        return (side + 2 * of["padding"] - of.get("dilation", 1) * (of["kernel"] - 1) - 1) // of["stride"] + 1
    if node.op == "global_pool":
        return 1
    return side * of.get("scale", 1) + of.get(before, 0) + of.get(behind, 0)
