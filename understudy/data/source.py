"""Where pairs come from: what every source of photo and label pairs offers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class BadPair(Exception):
    """A pair that cannot be used. problems: one `file: reason` for each of its files that is at fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Pair:
    """A pair at the size that was asked for.

    path: of the photo, from the folder of classes.json on, or the pair's name where there is no file.
    photo: uint8 [H, W, 3]. label: uint8 [H, W], class indices.
    source_size: height and width of the files before they were resized.
    source_mode, label_mode: Pillow's names for how their pixels were stored.
    """

    path: str
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
    """A data set that can be prepared. problems: what is wrong with its files before any is opened.

    layout: how its files lie, and what each split was made of. workers: how many pairs `load` makes at a time.
    """

    @property
    def name(self) -> str: ...

    @property
    def layout(self) -> str: ...

    @property
    def classes(self) -> Classes: ...

    @property
    def problems(self) -> list[str]: ...

    @property
    def workers(self) -> int: ...

    def names(self, split: str) -> tuple[str, ...]:
        """The pairs of a split, sorted."""

    def read(self, split: str, name: str, size: tuple[int, int]) -> Pair:
        """One pair, brought to `size` (height, width). Raises BadPair."""

    def load(self, split: str, size: tuple[int, int]) -> Iterator[Pair | BadPair]:
        """All pairs of a split by name, brought to `size` (height, width), or why they cannot be."""
