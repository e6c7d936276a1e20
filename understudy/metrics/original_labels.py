"""Label maps at their own resolution, from which `prepare` made a split's: published mIoU is measured against them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from understudy.data.pictures import BadImage, read_label
from understudy.data.prepared import DatasetInfo, Split, class_plane
from understudy.data.source import Classes
from understudy.errors import UserError
from understudy.params.evaluate import Originals

KEY = "evaluate.segmentation.originals"


def original_labels(asked: Originals, split: Split, info: DatasetInfo) -> Callable[[int], Tensor]:
    """Reads the original of the split's image of that index: uint8 [H', W'], class indices.

    Raises UserError when a label map is missing or there twice; reading one does when it cannot be read, or does not
    become the prepared one when it is brought to the prepared size.
    """
    folder = Path(asked.folder)
    found: dict[str, Path] = {}
    wanted = {f"{name}{asked.suffix}" for name in split.names}
    for path in sorted(folder.rglob(f"*{asked.suffix}")):
        if path.name not in wanted:
            continue
        if path.name in found:
            raise UserError(f"{KEY}: {path}: has the same name as {found[path.name]}; leave one of them")
        found[path.name] = path
    if missing := sorted(wanted - set(found)):
        raise UserError(f"{KEY}: {folder}: holds no {missing[0]}, at any depth ({len(missing)} of {len(wanted)} are "
                        "missing); folder and suffix say where the set's own label maps lie")  # fmt: skip
    prepared = class_plane(split.inputs)
    paths = [found[f"{name}{asked.suffix}"] for name in split.names]
    classes = Classes(info.classes, info.palette, info.ignore, info.licence)

    def read(index: int) -> Tensor:
        path = paths[index]
        try:
            label, _ = read_label(path.read_bytes(), classes)
        except (OSError, BadImage) as error:
            raise UserError(f"{KEY}: {path}: {error}") from error
        reduced = Image.fromarray(label).resize((info.size[1], info.size[0]), Image.Resampling.NEAREST)
        if not np.array_equal(np.asarray(reduced), prepared[index].numpy()):
            raise UserError(f"{KEY}: {path}: brought to {info.size[0]} x {info.size[1]} it is not the prepared label "
                            f"map of {split.names[index]}; name the files that prepare.source has")  # fmt: skip
        return torch.from_numpy(label)

    return read
