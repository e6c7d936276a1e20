"""The two sides of a pair beside one another in one image, as in the archives of pix2pix: SPLIT/NAME.jpg."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from understudy.data.container import IMAGES
from understudy.data.layouts.sides import directed, listing
from understudy.data.layouts.tree import ImageFile, Layout, Listing, Tree, by_name
from understudy.data.source import Wanted
from understudy.data.terms import SPLITS, Side

SHAPE = "{split}/NAME.jpg with A left and B right"


def _is_image(path: str) -> bool:
    """Whether a path from the set's folder on is one of its images."""
    parts = PurePosixPath(path)
    return len(parts.parts) == 2 and parts.parts[0] in SPLITS and parts.suffix.lower() in IMAGES


def _fits(paths: Iterable[str]) -> bool:
    return any(_is_image(path) for path in paths)


def _list(tree: Tree, wanted: Wanted) -> Listing:
    halves = directed(tree, wanted, SHAPE)
    problems: list[str] = []
    files: dict[Side, dict[str, dict[str, ImageFile]]] = {"input": {}, "photo": {}}
    for split in SPLITS:
        folder = f"{tree.root}{split}/"
        images = []
        for path in tree.paths:
            if path.startswith(folder) and _is_image(path[len(tree.root) :]):
                images.append(path)
            elif path.startswith(folder):
                problems.append(f"{path}: no image of this layout, {SHAPE}; take it out")
        names = by_name(images, problems)
        for side, half in halves.items():
            lossy = wanted.kind == "labels" and side == "input"
            files[side][split] = {name: ImageFile(path, half, lossy) for name, path in names.items()}
    place = {split: f"{tree.root}{split}/" for split in SPLITS}
    return listing(tree, wanted, SHAPE, files, {"input": place, "photo": place}, problems)


ALIGNED = Layout(SHAPE, _fits, _list)
