"""The embedded data set: a short description in YAML, from which its pairs are drawn."""

import functools
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from understudy.data.edges import with_edges
from understudy.data.scenes.classes import NAMES, PALETTE
from understudy.data.scenes.draw import draw, draw_instances
from understudy.data.source import Classes, Example, Item, Picture, Wanted
from understudy.data.terms import SIDES, SPLITS, Kind
from understudy.errors import UserError
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
    wanted: Wanted
    problems: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        return self.wanted.kind

    @property
    def instances(self) -> bool:
        return self.wanted.instances

    @property
    def layout(self) -> str:
        direction = self.wanted.direction
        return f"drawn, photos (A) and label maps in colours (B), {direction}" if direction else "drawn"

    @classmethod
    def describe(cls, path: Path, wanted: Wanted) -> "DrawnSet":
        """Read a description. What is drawn are label maps with their photos, or as photos (A) with the label maps in
        colours (B), either way. Raises UserError naming the file and the key, or when something else is wanted."""
        description = parse(_Description, read(path), str(path))
        if wanted.kind == "unpaired" or (wanted.kind == "labels") != (wanted.direction is None):
            raise UserError(
                f"{path}: draws pairs; set prepare.kind to labels and prepare.direction to null, for label maps with "
                "their photos, or prepare.kind to photos, for photos (AtoB) or label maps in colours (BtoA) as inputs"
            )
        labels = wanted.kind == "labels"
        classes = Classes(NAMES if labels else (), PALETTE if labels else (), None, description.licence)
        return cls(description.drawn, classes, description, wanted)

    def items(self, split: str) -> tuple[Item, ...]:
        """`SPLIT-00000` and so on."""
        return tuple(Item(_name(split, index), SIDES) for index in range(getattr(self.description, split)))

    @property
    def workers(self) -> int:
        return os.cpu_count() or 1

    def read(self, split: str, item: Item, size: tuple[int, int]) -> Example:
        """Draw one pair here."""
        return _pair(self.description.seed, split, size, self.wanted, self.items(split).index(item))

    def load(self, split: str, size: tuple[int, int]) -> Iterator[Example]:
        """Draw the pairs of a split at `size` (height, width), on all cores: pairs know nothing of one another."""
        one = functools.partial(_pair, self.description.seed, split, size, self.wanted)
        # Not forked: a fork of a process that runs threads may inherit a lock that nobody will release.
        with ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(one, range(len(self.items(split))), chunksize=CHUNK)


def _pair(seed: int, split: str, size: tuple[int, int], wanted: Wanted, index: int) -> Example:
    name = _name(split, index)
    if wanted.instances:
        photo, label, ids = draw_instances(seed, split, index, size)
        pixels = with_edges(label, ids)
    else:
        photo, pixels = draw(seed, split, index, size)
    if wanted.direction is None:
        return {"input": Picture(name, pixels, size, "L"), "photo": Picture(name, photo, size, "RGB")}
    ends = (photo, np.array(PALETTE, np.uint8)[pixels])  # A, B: each [H, W, 3]
    first, second = ends if wanted.direction == "AtoB" else ends[::-1]
    return {"input": Picture(name, first, size, "RGB"), "photo": Picture(name, second, size, "RGB")}


def _name(split: str, index: int) -> str:
    return f"{split}-{index:05d}"
