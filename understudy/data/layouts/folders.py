"""Photos in one folder and label maps in another, paired by the name without its extension."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from understudy.data.classes import parse_description
from understudy.data.layouts.splits import completed, short
from understudy.data.layouts.tree import Layout, Listing, Picture, Tree, by_name, directed, match
from understudy.data.terms import SPLITS
from understudy.errors import UserError

LOSSY = (".jpg", ".jpeg", ".webp")


def beside(photo: str, label: str, two_splits: bool) -> Layout:
    """A layout by its two folders, in which {split} stands for a split.

    two_splits: whether such sets come with two splits, of which three are made.
    """
    return Layout(f"{photo} and {label}", partial(_fits, (photo, label)), partial(_pairs, photo, label, two_splits))


def by_side(folder: str) -> Layout:
    """A layout by its folder, in which {split} and {side} stand for a split and for A or B.

    `direction` in classes.json says which side is the photo. Label maps in a lossy format are told by their colours.
    """
    a, b = (folder.replace("{side}", side) for side in "AB")
    shape = folder.replace("{side}", "{A,B}")
    return Layout(shape, partial(_fits, (a, b)), partial(_sides, shape, a, b))


def _fits(folders: Iterable[str], paths: Iterable[str]) -> bool:
    starts = tuple(folder.format(split=split) for folder in folders for split in SPLITS)
    return any(path.startswith(starts) for path in paths)


def _pairs(photo: str, label: str, two_splits: bool, tree: Tree) -> Listing:
    content, where = tree.description()
    description = parse_description(content, where)
    if description.direction is not None:
        raise UserError(f"prepare.source: {where}: direction: is for pairs called A and B, and here is no A or B")
    pairs, problems = _matched(photo, label, tree)
    done = ""
    if two_splits:
        pairs, done = completed(pairs)
    problems += short(pairs, _places(photo, label, tree.root))
    return Listing(f"{photo} and {label}{done}", description.classes, pairs, problems)


def _sides(shape: str, a: str, b: str, tree: Tree) -> Listing:
    description = directed(tree, "A holds the photos and B the label maps")
    photo, label = (a, b) if description.direction == "BtoA" else (b, a)
    pairs, problems = _matched(photo, label, tree)
    pairs, done = completed(pairs)
    problems += short(pairs, _places(photo, label, tree.root))
    for names in pairs.values():
        for name, (picture, labels) in names.items():
            names[name] = picture, replace(labels, lossy=labels.path.lower().endswith(LOSSY))
    return Listing(f"{shape}, {description.direction}{done}", description.classes, pairs, problems)


def _matched(photo: str, label: str, tree: Tree) -> tuple[dict[str, dict[str, tuple[Picture, Picture]]], list[str]]:
    """The pairs by split and name, and the problems."""
    problems: list[str] = []
    pairs = {}
    for split in SPLITS:
        photos, labels = (
            by_name(_directly_in(tree.root + folder.format(split=split), tree.paths, problems), problems)
            for folder in (photo, label)
        )
        pairs[split] = match(photos, labels, problems)
    return pairs, problems


def _directly_in(folder: str, paths: Iterable[str], problems: list[str]) -> list[str]:
    """The files of a folder; those in folders below it are added to the problems."""
    found = [path for path in paths if path.startswith(folder)]
    deeper = [path for path in found if "/" in path[len(folder) :]]
    problems += [f"{path}: lies in a folder below {folder}; put the files directly there" for path in deeper]
    return [path for path in found if "/" not in path[len(folder) :]]


def _places(photo: str, label: str, root: str) -> dict[str, str]:
    return {split: f"{root}{photo.format(split=split)}, {root}{label.format(split=split)}" for split in SPLITS}


OWN = beside("{split}/photo/", "{split}/label/", two_splits=False)
LABEL_FOLDERS = beside("images/{split}/", "labels/{split}/", two_splits=True)
PIX2PIXHD = beside("{split}_img/", "{split}_label/", two_splits=True)
SPLIT_SIDE = by_side("{split}{side}/")
SIDE_SPLIT = by_side("{side}/{split}/")
