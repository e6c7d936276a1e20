"""Photo and label map side by side in one image, as in the archives of pix2pix: SPLIT/NAME.jpg."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from understudy.data.layouts.splits import completed, short
from understudy.data.layouts.tree import Layout, Listing, Picture, Tree, by_name, directed
from understudy.data.pictures import Side
from understudy.data.terms import SPLITS

SHAPE = "{split}/NAME.jpg with A left and B right"
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".gif")


def _is_image(path: str) -> bool:
    """Whether a path from the set's folder on is one of its images."""
    parts = PurePosixPath(path)
    return len(parts.parts) == 2 and parts.parts[0] in SPLITS and parts.suffix.lower() in IMAGES


def _fits(paths: Iterable[str]) -> bool:
    return any(_is_image(path) for path in paths)


def _pairs(tree: Tree) -> Listing:
    description = directed(tree, "the left half (A) is the photo and the right one (B) the label map")
    photo: Side
    label: Side
    photo, label = ("A", "B") if description.direction == "BtoA" else ("B", "A")
    problems: list[str] = []
    pairs = {}
    for split in SPLITS:
        folder = f"{tree.root}{split}/"
        images = []
        for path in tree.paths:
            if path.startswith(folder) and _is_image(path[len(tree.root) :]):
                images.append(path)
            elif path.startswith(folder):
                problems.append(f"{path}: no image of this layout, {SHAPE}; take it out")
        names = by_name(images, problems)
        pairs[split] = {
            name: (Picture(path, photo), Picture(path, label, lossy=True)) for name, path in sorted(names.items())
        }
    pairs, done = completed(pairs)
    problems += short(pairs, {split: f"{tree.root}{split}/" for split in SPLITS})
    layout = f"{SHAPE}, {description.direction}{done}"
    return Listing(layout, description.classes, pairs, problems)


ALIGNED = Layout(SHAPE, _fits, _pairs)
