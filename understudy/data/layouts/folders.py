"""The two sides of a set in two folders, where the files of a pair have the same name without the extension."""

from collections.abc import Iterable
from functools import partial

from understudy.data.layouts.sides import directed, listing
from understudy.data.layouts.splits import completed, short
from understudy.data.layouts.tree import (
    ImageFile,
    Layout,
    Listing,
    Tree,
    by_name,
    match,
    pairs_of,
    require_labels,
    with_instances,
)
from understudy.data.source import Wanted
from understudy.data.terms import SPLITS, Side

LOSSY = (".jpg", ".jpeg", ".webp")


def beside(photo: str, label: str, two_splits: bool, instance: str = "") -> Layout:
    """A layout of photos and label maps by its two folders, in which {split} stands for a split.

    two_splits: whether such sets come with two splits, of which three are made. instance: the folder of instance maps,
    where such sets may have one.
    """
    shape = f"{photo} and {label}"
    listed = partial(_labels, shape, photo, label, instance, two_splits)
    return Layout(shape, partial(_fits, (photo, label)), listed, instances=bool(instance))


def by_side(folder: str) -> Layout:
    """A layout by its folder, in which {split} and {side} stand for a split and for A or B; without {split} all images
    of a side lie in one.

    Label maps in a lossy format are told by their colours.
    """
    a, b = (folder.replace("{side}", side) for side in "AB")
    shape = folder.replace("{side}", "{A,B}")
    if "{split}" not in folder:
        return Layout(f"{shape} without splits", partial(_fits_whole, a, b), partial(_sides, shape, folder))
    return Layout(shape, partial(_fits, (a, b)), partial(_sides, shape, folder))


def _fits(folders: Iterable[str], paths: Iterable[str]) -> bool:
    starts = tuple(folder.format(split=split) for folder in folders for split in SPLITS)
    return any(path.startswith(starts) for path in paths)


def _fits_whole(a: str, b: str, paths: Iterable[str]) -> bool:
    """Whether both folders are there, and no folder in either: that would be a split."""
    inside = [path for path in paths if path.startswith((a, b))]
    return len({path.split("/")[0] for path in inside}) == 2 and all(path.count("/") == 1 for path in inside)


def _labels(shape: str, photo: str, label: str, instance: str, two_splits: bool, tree: Tree, wanted: Wanted) -> Listing:
    require_labels(tree, wanted, shape)
    classes, problems = tree.classes(), list[str]()
    photos, named = (_named(tree, folder, problems) for folder in (photo, label))
    labels = {split: _files(names) for split, names in named.items()}
    if wanted.instances:
        labels = with_instances(tree, labels, _named(tree, instance, problems), instance, problems)
    pairs = {split: match(labels[split], _files(photos[split]), "label map", problems) for split in SPLITS}
    done = ""
    if two_splits:
        pairs, done = completed(pairs)
    where = {split: ", ".join(tree.root + folder.format(split=split) for folder in (photo, label)) for split in SPLITS}
    problems += short(pairs, where)
    return Listing(shape + done, classes, pairs_of(pairs), problems)


def _sides(shape: str, folder: str, tree: Tree, wanted: Wanted) -> Listing:
    halves, problems = directed(tree, wanted, shape), list[str]()
    files: dict[Side, dict[str, dict[str, ImageFile]]] = {}
    places: dict[Side, dict[str, str]] = {}
    for side, letter in halves.items():
        own = folder.replace("{side}", letter)
        coloured = LOSSY if wanted.kind == "labels" and side == "input" else ()
        named = _named(tree, own, problems, SPLITS if "{split}" in folder else ("train",))
        if wanted.kind != "unpaired":
            named = {split: _without(f"_{letter}", names) for split, names in named.items()}
        files[side] = {split: _files(named.get(split, {}), coloured) for split in SPLITS}
        places[side] = {split: tree.root + own.format(split=split) for split in SPLITS}
    return listing(tree, wanted, shape, files, places, problems, whole="{split}" not in folder)


def _named(tree: Tree, folder: str, problems: list[str], splits: Iterable[str] = SPLITS) -> dict[str, dict[str, str]]:
    """Paths in a folder, in which {split} stands for a split, by split and name."""
    return {
        split: by_name(_directly_in(tree.root + folder.format(split=split), tree.paths, problems), problems)
        for split in splits
    }


def _without(ending: str, names: dict[str, str]) -> dict[str, str]:
    """The names without an ending that all of them have: CycleGAN's archives of pairs hold 1_A.jpg and 1_B.jpg."""
    if all(name.endswith(ending) and name != ending for name in names):
        return {name.removesuffix(ending): path for name, path in names.items()}
    return names


def _files(names: dict[str, str], coloured: tuple[str, ...] = ()) -> dict[str, ImageFile]:
    """coloured: endings of label maps whose classes are told by colours."""
    return {name: ImageFile(path, lossy=path.lower().endswith(coloured)) for name, path in names.items()}


def _directly_in(folder: str, paths: Iterable[str], problems: list[str]) -> list[str]:
    """The files of a folder; those in folders below it are added to the problems."""
    found = [path for path in paths if path.startswith(folder)]
    deeper = [path for path in found if "/" in path[len(folder) :]]
    problems += [f"{path}: lies in a folder below {folder}; put the files directly there" for path in deeper]
    return [path for path in found if "/" not in path[len(folder) :]]


OWN = beside("{split}/photo/", "{split}/label/", two_splits=False, instance="{split}/instance/")
LABEL_FOLDERS = beside("images/{split}/", "labels/{split}/", two_splits=True)
PIX2PIXHD = beside("{split}_img/", "{split}_label/", two_splits=True, instance="{split}_inst/")
SPLIT_SIDE = by_side("{split}{side}/")
SIDE_SPLIT = by_side("{side}/{split}/")
SIDE_ALONE = by_side("{side}/")
