"""Where images come from: what every source of inputs and photos offers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from understudy.data.terms import Direction, Kind, Side


@dataclass(frozen=True)
class Wanted:
    """What a run asks of a set: `prepare.kind`, `prepare.direction` and `prepare.instances`."""

    kind: Kind
    direction: Direction | None
    instances: bool = False


@dataclass(frozen=True)
class Item:
    """What is read at once: the name of a pair, which has both sides, or of an image that has no partner."""

    name: str
    sides: tuple[Side, ...]


class BadItem(Exception):
    """An item that cannot be used. problems: one `file: reason` for each of its files that is at fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Picture:
    """An image at the size that was asked for.

    path: from the set's own folder on, or the item's name where there is no file.
    pixels: uint8 [H, W, 3], or class indices uint8 [H, W], or classes and edges uint8 [H, W, 2] (edges.py).
    source_size: height and width before it was resized. mode: Pillow's name for how the file's pixels were stored.
    """

    path: str
    pixels: NDArray[np.uint8]
    source_size: tuple[int, int]
    mode: str

    @property
    def labels(self) -> NDArray[np.uint8] | None:
        """Class indices [H, W] of a label map, None of a photo."""
        if self.pixels.ndim == 2:
            return self.pixels
        return self.pixels[..., 0] if self.pixels.shape[2] == 2 else None


Example = Mapping[Side, Picture]  # an item, read: its pictures by side


@dataclass(frozen=True)
class Classes:
    """names and palette (RGB, 0-255) by class id, none where inputs are photos; ignore: the class that metrics leave
    out, or None."""

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore: int | None
    licence: str


class Source(Protocol):
    """A data set that can be prepared. problems: what is wrong with its files before any is opened.

    instances: whether its label maps come with the edges of instances. layout: how its files lie, and what each split
    was made of. workers: how many items `load` reads at a time.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def instances(self) -> bool: ...

    @property
    def layout(self) -> str: ...

    @property
    def classes(self) -> Classes: ...

    @property
    def problems(self) -> list[str]: ...

    @property
    def workers(self) -> int: ...

    def items(self, split: str) -> Sequence[Item]:
        """What a split holds, sorted by name; without pairs the inputs, then the photos."""

    def read(self, split: str, item: Item, size: tuple[int, int]) -> Example:
        """One item, brought to `size` (height, width). Raises BadItem."""

    def load(self, split: str, size: tuple[int, int]) -> Iterator[Example | BadItem]:
        """All items of a split in their order, brought to `size` (height, width), or why they cannot be."""
