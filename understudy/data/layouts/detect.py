"""Which of the known layouts a folder or an archive has."""

from pathlib import Path

from understudy.data.container import Container, is_litter
from understudy.data.layouts.aligned import ALIGNED
from understudy.data.layouts.cityscapes import CITYSCAPES
from understudy.data.layouts.folders import LABEL_FOLDERS, OWN, PIX2PIXHD, SIDE_ALONE, SIDE_SPLIT, SPLIT_SIDE
from understudy.data.layouts.tree import Layout, Tree
from understudy.errors import UserError

LAYOUTS = (OWN, CITYSCAPES, ALIGNED, SPLIT_SIDE, SIDE_SPLIT, SIDE_ALONE, LABEL_FOLDERS, PIX2PIXHD)


def detect(source: Path, files: Container) -> tuple[Layout, Tree]:
    """The layout, and the set from its own folder on: the container's top, or else one folder there.

    Raises UserError that lists the known layouts when none fits, or more than one.
    """
    paths = [path for path in files.paths if not is_litter(path)]
    tops = sorted({path.split("/")[0] + "/" for path in paths if "/" in path})
    fitting = _fitting([Tree(source, files, "", paths)])
    if not fitting:
        fitting = _fitting([Tree(source, files, top, [p for p in paths if p.startswith(top)]) for top in tops])
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        found = "no known layout"
    else:
        found = "more than one layout: " + ", ".join(f"{tree.root}{layout.shape}" for layout, tree in fitting)
    known = "\n  ".join(layout.shape for layout in LAYOUTS)
    raise UserError(
        f"prepare.source: {source}: {found}; a set lies at the top or in its one folder, with train, val and test for "
        f"{{split}}, in one of these (docs/add-a-dataset.md):\n  {known}"
    )


def _fitting(trees: list[Tree]) -> list[tuple[Layout, Tree]]:
    return [(layout, tree) for tree in trees for layout in LAYOUTS if layout.fits(tree.relative)]
