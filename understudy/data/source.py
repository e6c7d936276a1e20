"""Where pairs come from: what every source of photo and label pairs offers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")


class BadPair(Exception):
    """A pair that cannot be used. problems: one `file: reason` for each of its files that is at fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Pair:
    """A pair at the size that was asked for.

    photo: uint8 [H, W, 3]. label: uint8 [H, W], class indices. source_size: height and width of the files before they
    were resized. source_mode, label_mode: Pillow's names for how their pixels were stored.
    """

    photo: NDArray[np.uint8]
    label: NDArray[np.uint8]
    source_size: tuple[int, int]
    source_mode: str
    label_mode: str


@dataclass(frozen=True)
class Classes:
    """names and palette (RGB, 0-255) by class id; ignore: the class that metrics leave out, or None."""

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore: int | None
    licence: str


class Source(Protocol):
    """A data set that can be prepared. problems: what is wrong with its files before any is opened."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> Classes: ...

    @property
    def problems(self) -> list[str]: ...

    def names(self, split: str) -> tuple[str, ...]:
        """The pairs of a split, sorted."""

    def load(self, split: str, size: tuple[int, int]) -> Iterator[Pair | BadPair]:
        """The pairs of a split by name, brought to `size` (height, width), or why they cannot be."""
