"""Sets whose two sides are called A and B: which of them is the input, and which images are pairs."""

from collections.abc import Mapping

from understudy.data.classes import UNKNOWN_LICENCE
from understudy.data.layouts.splits import completed, divided, short
from understudy.data.layouts.tree import Files, ImageFile, Listing, Tree, match, pairs_of
from understudy.data.pictures import Half
from understudy.data.source import Classes, Item, Wanted
from understudy.data.terms import SIDES, SPLITS, Side
from understudy.errors import UserError

Named = Mapping[str, ImageFile]  # files by name


def directed(tree: Tree, wanted: Wanted, shape: str) -> dict[Side, Half]:
    """Which of A and B is the input and which the photo. Raises UserError when no direction is given."""
    if wanted.direction is None:
        what = "label map" if wanted.kind == "labels" else "side that is translated"
        raise UserError(
            f"prepare.direction: missing, and the sides of {tree.source} are called A and B ({shape}); AtoB when A is "
            f"the {what}, BtoA when B is"
        )
    return {"input": "A", "photo": "B"} if wanted.direction == "AtoB" else {"input": "B", "photo": "A"}


def classes_of(tree: Tree, wanted: Wanted) -> Classes:
    """Those of classes.json, or none where inputs are photos. Raises UserError when it is missing or not expected."""
    if wanted.kind == "labels":
        return tree.classes()
    if path := tree.described():
        raise UserError(
            f"prepare.kind: {wanted.kind}, and {tree.source} has a {path}, which says what label maps mean; set "
            "prepare.kind to labels, or remove the file"
        )
    return Classes((), (), None, UNKNOWN_LICENCE)


def listing(
    tree: Tree,
    wanted: Wanted,
    shape: str,
    files: Mapping[Side, Mapping[str, Named]],
    places: Mapping[Side, Mapping[str, str]],
    problems: list[str],
    whole: bool = False,
) -> Listing:
    """The set, with three splits where it came with two.

    files: by side, split and name. places: by side and split, where they were looked for. problems: found so far.
    whole: it came without splits, and all files stand in `train`.
    """
    classes = classes_of(tree, wanted)
    layout = f"{shape}, {wanted.direction}"
    if wanted.kind == "unpaired":
        return _unpaired(layout, classes, files, places, problems, whole)
    word = "label map" if wanted.kind == "labels" else "input"
    _refuse_strangers(tree, wanted, files)
    named = {split: match(files["input"][split], files["photo"][split], word, problems) for split in SPLITS}
    pairs, done = divided(named["train"]) if whole else completed(named)
    problems += short(pairs, {split: ", ".join(dict.fromkeys(places[side][split] for side in SIDES))
                              for split in SPLITS})  # fmt: skip
    return Listing(layout + done, classes, pairs_of(pairs), problems)


def _refuse_strangers(tree: Tree, wanted: Wanted, files: Mapping[Side, Mapping[str, Named]]) -> None:
    """Raise UserError where no training image has a partner: one sentence, and not one for each of thousands."""
    inputs, photos = (files[side]["train"] for side in SIDES)
    if inputs and photos and not set(inputs) & set(photos):
        names = " and ".join(next(iter(side.values())).path for side in (inputs, photos))
        other = "set it to unpaired, or rename the files" if wanted.kind == "photos" else "rename the files"
        raise UserError(
            f"prepare.kind: {wanted.kind} takes pairs, which have the same name, and no training image of "
            f"{tree.source} has its name on both sides ({names}, for example); {other}"
        )


def _unpaired(
    layout: str,
    classes: Classes,
    files: Mapping[Side, Mapping[str, Named]],
    places: Mapping[Side, Mapping[str, str]],
    problems: list[str],
    whole: bool,
) -> Listing:
    items: dict[str, dict[Item, Files]] = {split: {} for split in SPLITS}
    done: dict[Side, str] = {}
    for side in SIDES:
        splits, done[side] = divided(files[side]["train"]) if whole else completed(files[side])
        problems += short(splits, places[side])
        for split in SPLITS:
            items[split] |= {Item(name, (side,)): {side: file} for name, file in splits[split].items()}
    how = "".join(f"; {side}s:{text.removeprefix(';')}" for side, text in done.items() if text)
    named = [set(files[side]["train"]) for side in SIDES]
    if named[0] == named[1]:
        how += "; both sides have the same names: if these are pairs, set prepare.kind to photos"
    return Listing(f"{layout}, without pairs{how}", classes, items, problems)
