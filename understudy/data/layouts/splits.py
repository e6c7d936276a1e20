"""Three splits out of two, for the sets of the papers that have only training and test pairs."""

import re
from typing import TypeVar

from understudy.data.terms import SPLITS

HELD_OUT = 10  # one in ten training pairs
Files = TypeVar("Files")


def completed(pairs: dict[str, dict[str, Files]]) -> tuple[dict[str, dict[str, Files]], str]:
    """The pairs by split, and what was done, for people; as they are where all three splits are there.

    With training pairs and one other split, that one is `test`, as in the papers, and the last tenth of the training
    pairs by name (numbers in names by value) is `val`. A block, since neighbours in a recording look alike: drawn at
    random, `val` would only tell how well those are remembered.
    """
    others = [split for split in ("val", "test") if pairs[split]]
    training = sorted(pairs["train"], key=_natural)
    count = len(training) // HELD_OUT
    if len(others) != 1 or not count:
        return pairs, ""
    held_out = set(training[-count:])
    split = {
        "train": {name: files for name, files in pairs["train"].items() if name not in held_out},
        "val": {name: files for name, files in pairs["train"].items() if name in held_out},
        "test": pairs[others[0]],
    }
    renamed = "; test: its val" if others[0] == "val" else ""
    return split, f"; val: the last tenth of train, from {training[-count]} on{renamed}"


def short(pairs: dict[str, dict[str, Files]], place: dict[str, str]) -> list[str]:
    """One problem for each split without a pair. place: where the files of a split were looked for."""
    return [f"{place[split]}: no file there; each split needs pairs" for split in SPLITS if not pairs[split]]


def _natural(name: str) -> list[tuple[int, str]]:
    """A sorting key by which 9 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
