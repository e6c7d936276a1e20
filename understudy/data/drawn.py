"""The embedded data set: a short description in YAML, from which its pairs are drawn."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from understudy.data.scenes.classes import NAMES, PALETTE
from understudy.data.scenes.draw import draw
from understudy.data.source import Classes, Pair
from understudy.params.loader import parse, read, require


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
        for split in ("train", "val", "test"):
            require(getattr(self, split) > 0, split, f"must be positive, found {getattr(self, split)}")


@dataclass(frozen=True)
class DrawnSet:
    """A source whose pairs are drawn when they are asked for (`understudy.data.source.Source`)."""

    name: str
    classes: Classes
    description: _Description
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "DrawnSet":
        """Read a description. Raises UserError naming the file and the key."""
        description = parse(_Description, read(path), str(path))
        return cls(description.drawn, Classes(NAMES, PALETTE, None, description.licence), description)

    def names(self, split: str) -> tuple[str, ...]:
        """`SPLIT-00000` and so on."""
        return tuple(f"{split}-{index:05d}" for index in range(getattr(self.description, split)))

    def load(self, split: str, name: str, size: tuple[int, int]) -> Pair:
        """Draw one pair at `size` (height, width)."""
        photo, label = draw(self.description.seed, split, int(name.rpartition("-")[2]), size)
        return Pair(photo, label, size, "RGB", "L")
