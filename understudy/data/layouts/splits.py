"""Three splits out of two, for the sets of the papers that have only training and test images, and out of one."""

import re
from collections.abc import Mapping
from typing import TypeVar

from understudy.data.terms import SPLITS

HELD_OUT = 10  # one in ten training images, or in ten of all
Files = TypeVar("Files")


def completed(files: Mapping[str, Mapping[str, Files]]) -> tuple[dict[str, dict[str, Files]], str]:
    """The pairs, or the images of one side, by split, and what was done, for people; as they are where all three splits
    are there.

    With `train` and one other split, that one is `test`, as in the papers, and the last tenth of `train` by name
    (numbers in names by value) is `val`. A block, since neighbours in a recording look alike: drawn at random, `val`
    would only tell how well those are remembered.
    """
    pairs = {split: dict(names) for split, names in files.items()}
    others = [split for split in ("val", "test") if pairs[split]]
    training = sorted(pairs["train"], key=_natural)
    count = len(training) // HELD_OUT
    if len(others) != 1 or not count:
        return pairs, ""
    held_out = set(training[-count:])
    split = {
        "train": {name: file for name, file in pairs["train"].items() if name not in held_out},
        "val": {name: file for name, file in pairs["train"].items() if name in held_out},
        "test": pairs[others[0]],
    }
    renamed = "; test: its val" if others[0] == "val" else ""
    return split, f"; val: the last tenth of train, from {training[-count]} on{renamed}"


def divided(files: Mapping[str, Files]) -> tuple[dict[str, dict[str, Files]], str]:
    """The pairs, or the images of one side, that came without splits, and what was done, for people.

    The last tenth by name is `test`, the tenth before it `val`, at least one each: blocks, as in `completed`. With
    fewer than three all are `train`.
    """
    ordered = sorted(files, key=_natural)
    count = max(len(ordered) // HELD_OUT, 1)
    if len(ordered) < len(SPLITS):
        return {split: dict(files) if split == "train" else {} for split in SPLITS}, ""
    val, test = ordered[-2 * count : -count], ordered[-count:]
    place = dict.fromkeys(val, "val") | dict.fromkeys(test, "test")
    splits: dict[str, dict[str, Files]] = {split: {} for split in SPLITS}
    for name, file in files.items():
        splits[place.get(name, "train")][name] = file
    return splits, f"; val: a tenth, from {val[0]} on; test: the last tenth, from {test[0]} on"


def short(files: Mapping[str, Mapping[str, Files]], place: Mapping[str, str]) -> list[str]:
    """One problem for each split without a file. place: where the files of a split were looked for.

    One for all where they came without splits, and so from one place.
    """
    if len(set(place.values())) == 1 and not all(files.values()):
        return [f"{place[SPLITS[0]]}: fewer than {len(SPLITS)} images, and each split needs one"]
    return [f"{place[split]}: no file there; each split needs images" for split in SPLITS if not files[split]]


def _natural(name: str) -> list[tuple[int, str]]:
    """A sorting key by which 9 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
