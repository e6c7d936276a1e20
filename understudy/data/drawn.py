"""The embedded data set: a short description in YAML, from which its pairs are drawn."""

import functools
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from understudy.data.scenes.classes import NAMES, PALETTE
from understudy.data.scenes.draw import draw
from understudy.data.source import Classes, Pair
from understudy.data.terms import SPLITS
from understudy.params.loader import parse, read, require

CHUNK = 8  # pairs that a process draws at a time


@dataclass(frozen=True)
class _Description:
    """seed: another one draws other streets. train, val, test: pairs of each split."""

    drawn: Literal["street-scenes"]
    seed: int
    train: int
    val: int
    test: int
    licence: str

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", f"must not be negative, found {self.seed}")
        for split in SPLITS:
            require(getattr(self, split) > 0, split, f"must be positive, found {getattr(self, split)}")


@dataclass(frozen=True)
class DrawnSet:
    """A source whose pairs are drawn when they are asked for (`understudy.data.source.Source`)."""

    name: str
    classes: Classes
    description: _Description
    problems: list[str] = field(default_factory=list)
    layout: str = "drawn"

    @classmethod
    def describe(cls, path: Path) -> "DrawnSet":
        """Read a description. Raises UserError naming the file and the key."""
        description = parse(_Description, read(path), str(path))
        return cls(description.drawn, Classes(NAMES, PALETTE, None, description.licence), description)

    def names(self, split: str) -> tuple[str, ...]:
        """`SPLIT-00000` and so on."""
        return tuple(_name(split, index) for index in range(getattr(self.description, split)))

    @property
    def workers(self) -> int:
        return os.cpu_count() or 1

    def read(self, split: str, name: str, size: tuple[int, int]) -> Pair:
        """Draw one pair here."""
        return _pair(self.description.seed, split, size, self.names(split).index(name))

    def load(self, split: str, size: tuple[int, int]) -> Iterator[Pair]:
        """Draw the pairs of a split at `size` (height, width), on all cores: pairs know nothing of one another."""
        one = functools.partial(_pair, self.description.seed, split, size)
        # Not forked: a fork of a process that runs threads may inherit a lock that nobody will release.
        with ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(one, range(len(self.names(split))), chunksize=CHUNK)


def _pair(seed: int, split: str, size: tuple[int, int], index: int) -> Pair:
    photo, label = draw(seed, split, index, size)
    return Pair(_name(split, index), photo, label, size, "RGB", "L")


def _name(split: str, index: int) -> str:
    return f"{split}-{index:05d}"
