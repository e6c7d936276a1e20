"""Cityscapes (Cordts et al., CVPR 2016) as it is distributed: leftImg8bit/ and gtFine/ with one folder for each city.

The labels of its own test split are withheld, so that papers report on its `val`: that is `test` here. `val` here, by
which checkpoints are chosen, is three whole cities of its training split (290 of 2,975 images), so that no street is in
two splits.

Label ids and colours are those of its public table. Five classes are drawn in black, and two more pairs share a colour;
the id decides. License plates have the id -1 there, which no pixel can have: they come last here.
"""

from collections.abc import Iterable

from understudy.data.layouts.splits import short
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
from understudy.data.source import Classes, Wanted
from understudy.errors import UserError

HELD_OUT = ("bochum", "krefeld", "ulm")
LICENCE = "Cityscapes (non-commercial research)"
PHOTO, LABEL, INSTANCE = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
LABELS: dict[str, tuple[int, int, int]] = {
    "unlabeled": (0, 0, 0),
    "ego vehicle": (0, 0, 0),
    "rectification border": (0, 0, 0),
    "out of roi": (0, 0, 0),
    "static": (0, 0, 0),
    "dynamic": (111, 74, 0),
    "ground": (81, 0, 81),
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "parking": (250, 170, 160),
    "rail track": (230, 150, 140),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "guard rail": (180, 165, 180),
    "bridge": (150, 100, 100),
    "tunnel": (150, 120, 90),
    "pole": (153, 153, 153),
    "polegroup": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "caravan": (0, 0, 90),
    "trailer": (0, 0, 110),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
    "license plate": (0, 0, 142),
}


def _fits(paths: Iterable[str]) -> bool:
    return any(path.startswith(("leftImg8bit/", "gtFine/")) for path in paths)


def _list(tree: Tree, wanted: Wanted) -> Listing:
    require_labels(tree, wanted, "Cityscapes")
    if described := tree.described():
        raise UserError(f"prepare.source: {tree.source}: {described}: Cityscapes has its own classes; remove it")
    problems: list[str] = []
    photos, labels = (
        {split: _named(tree, f"{folder}/{split}/", suffix, problems) for split in ("train", "val")}
        for folder, suffix in (("leftImg8bit", PHOTO), ("gtFine", LABEL))
    )
    files = {split: _files(paths) for split, paths in labels.items()}
    if wanted.instances:
        ids = {split: _named(tree, f"gtFine/{split}/", INSTANCE, problems) for split in labels}
        files = with_instances(tree, files, ids, f"gtFine/{{split}}/CITY/*{INSTANCE}", problems)
    official = {split: match(files[split], _files(photos[split]), "label map", problems) for split in files}
    held_out = {name: files for name, files in official["train"].items() if _city(files["photo"].path) in HELD_OUT}
    rest = {name: files for name, files in official["train"].items() if name not in held_out}
    pairs = {"train": rest, "val": held_out, "test": official["val"]}
    train, val = (f"{tree.root}leftImg8bit/{split}/" for split in ("train", "val"))
    cities = ", ".join(HELD_OUT)
    problems += short(pairs, {"train": train, "val": f"{train}{{{cities}}}/", "test": val})
    layout = f"Cityscapes; val: {cities} of its train; test: its val"
    classes = Classes(tuple(LABELS), tuple(LABELS.values()), 0, LICENCE)
    return Listing(layout, classes, pairs_of(pairs), problems)


def _named(tree: Tree, folder: str, suffix: str, problems: list[str]) -> dict[str, str]:
    """The paths of one kind of file in the cities' folders, by name."""
    start = tree.root + folder
    return by_name([path for path in tree.paths if path.startswith(start) and path.endswith(suffix)], problems, suffix)


def _files(names: dict[str, str]) -> dict[str, ImageFile]:
    return {name: ImageFile(path) for name, path in names.items()}


def _city(path: str) -> str:
    return path.split("/")[-2]


CITYSCAPES = Layout("leftImg8bit/{split}/CITY/ and gtFine/{split}/CITY/ (Cityscapes)", _fits, _list, instances=True)
